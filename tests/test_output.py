"""What jobs print: what is kept of it, by attempt and stream, and how it is shown."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from prokerja.commands.declared import cancel_open
from prokerja.output.folder import OutputFolder
from prokerja.output.lines import last_lines
from prokerja.output.pieces import STDERR, STDOUT, Piece
from prokerja.output.reading import Reading
from prokerja.output.recording import Recording
from prokerja.worker.output.announcements import NOBODY, Announcements, announcement
from tests.harness.terminal import Terminal
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.home import Home


def sh(shell: Home, script: str, *words: object) -> int:
    """Declare a line for the shell; its id."""
    told = shell("declare:shell", *words, "--sh", script)
    assert (told.code, told.err) == (0, ""), told.err
    return int(told.out)


# What is kept


def test_both_streams_are_kept_and_shown_in_order_together_or_apart(shell: Home) -> None:
    id = sh(shell, "echo one; sleep 0.5; echo two >&2; sleep 0.5; printf three")
    worker = shell.work()
    assert shell("output", id) == (0, "one\ntwo\nthree", "")
    assert shell("output", id, "--stdout").out == "one\nthree"
    assert shell("output", id, "--stderr").out == "two\n"
    assert "two" not in worker.said()


def test_what_a_python_job_prints_is_kept_by_whatever_way(home: Home) -> None:
    id = home.run(
        """
        print("print")
        print("error", file=sys.stderr, flush=True)
        subprocess.run(["echo", "child"])
        os.write(1, b"descriptor\\n")
        """
    )
    home.work()
    assert sorted(home.cli("output", id).split()) == ["child", "descriptor", "error", "print"]


def test_each_attempt_has_its_own(shell: Home) -> None:
    id = sh(shell, "echo attempt $PROKERJA_ATTEMPT; exit 1", "--retries", 1, "--retry-after", "0s")
    shell.work()
    assert shell("output", id).out == "attempt 2\n"
    assert shell("output", id, "--attempt", 1).out == "attempt 1\n"
    told = shell("output", id, "--attempt", 3)
    assert (told.code, told.out) == (1, "")
    assert "job 1 has had 2 attempts; there is no attempt 3" in told.err


def test_a_job_that_prints_nothing_leaves_no_file(shell: Home) -> None:
    shell.declare("noop")
    id = sh(shell, "exit 0")
    shell.work()
    assert shell("output", id) == (0, "", "")
    assert not [path for path in shell.path.iterdir() if "output" in path.name]


def test_whoever_sees_that_a_job_has_ended_can_read_all_it_printed(home: Home) -> None:
    ids = home.run_each([f"print('x' * 50_000); print({n})" for n in range(20)])
    worker = home.worker()
    for id in ids:
        home.wait(id)
        assert home.cli("output", id).endswith(f"x\n{id - ids[0]}\n")
    worker.kill()


def test_all_is_there_at_the_end_of_a_job_even_if_nobody_reads_what_the_worker_shows(
    shell: Home,
) -> None:
    flood, late = sh(shell, "seq 15000"), sh(shell, "echo late")
    worker = shell.start("realization:start", "--verbose")  # into a pipe that is soon full
    assert shell.wait(late)["status"] == "completed"
    assert shell("output", late).out == "late\n"
    assert shell("output", flood).out.endswith("\n15000\n")
    assert worker.poll() is None


def test_what_was_printed_before_a_death_is_kept(shell: Home) -> None:
    id = sh(shell, "echo before; kill -9 $$")
    other = sh(shell, "echo long; exec sleep 60", "--timeout", "0.5s")
    shell.work()
    assert shell("output", id).out == "before\n"
    assert shell("output", other).out == "long\n"


def test_what_very_short_jobs_write_to_the_bare_descriptors_bears_no_other_jobs_id(
    home: Home,
) -> None:
    worker = home.worker()
    home.warm(worker)
    quick = [f"os.write(1, b'from {n};')" if n % 7 == 0 else f"print('{n}')" for n in range(50)]
    ids = home.run_each(quick)
    wait_until(lambda: set(home.statuses(ids)) == {"completed"})
    for n, id in enumerate(ids):
        said = home.cli("output", id)
        assert said in ("", f"from {n};") if n % 7 == 0 else said == f"{n}\n"


def test_any_bytes_come_back_as_they_were(shell: Home) -> None:
    file = shell.path / "bytes"
    file.write_bytes(bytes(range(256)) * 300)
    id = sh(shell, "cat bytes")
    shell.work()
    done = subprocess.run(
        shell.command("output", id), env=shell.environment, capture_output=True, check=True
    )
    assert done.stdout == file.read_bytes()


def test_the_beginning_and_the_end_are_kept_of_what_is_long(shell: Home) -> None:
    shell.in_environment({"PROKERJA_KEEP_OUTPUT": "10K"})
    id = sh(shell, "seq 1 100000")
    shell.work()
    whole = b"".join(b"%d\n" % n for n in range(1, 100_001))
    told = shell("output", id)
    assert told.code == 0
    said = told.out.encode()
    missing = len(whole) - len(said)
    assert told.err == f"prokerja: {missing:,} bytes were not kept\n"
    assert 20 * 2**10 <= len(said) <= 30 * 2**10
    assert said == whole[: 10 * 2**10] + whole[10 * 2**10 + missing :]


def test_nothing_is_kept_if_nothing_is_to_be(shell: Home) -> None:
    shell.in_environment({"PROKERJA_KEEP_OUTPUT": "0"})
    id = sh(shell, "echo one")
    shell.work()
    assert shell("output", id) == (0, "", "")


def test_a_job_that_floods_its_output_neither_slows_nor_swells_its_worker(home: Home) -> None:
    home.run("for _ in range(2000): os.write(1, b'y' * 2**20)")
    worker = home.worker("--realizers", "2").ready()
    wait_until(lambda: home.running(1))
    for _ in range(5):
        home.wait(home.run("pass"), limit=5.0)
    assert home.statuses([1]) == ["processing"]
    assert memory(worker.pid) < 100 * 2**20
    worker.kill()


def memory(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        [found] = re.findall(r"VmHWM:\s+(\d+) kB", file.read())
    return int(found) * 1024


def test_it_is_as_private_as_the_queue(shell: Home) -> None:
    sh(shell, "echo secret")
    shell.work()
    top = shell.path / "queue.sqlite3-output"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (top, top / "0", top / "0" / "1-1")]
    assert modes == [0o700, 0o700, 0o600]


def test_it_goes_with_its_job(shell: Home) -> None:
    first = sh(shell, "echo one")
    shell.work()
    second = sh(shell, "echo two; exit 1")
    shell.work()
    assert shell("purge", "--yes").out == "1\n"
    assert shell("output", first).code == 1
    assert shell("output", second).out == "two\n"
    assert shell("purge", "--yes", "--status", "failed").out == "1\n"
    assert not list((shell.path / "queue.sqlite3-output").iterdir())


def test_an_attempt_that_is_run_again_after_a_stop_leaves_its_last_run_only(shell: Home) -> None:
    shell.in_environment({"PROKERJA_KEEP_OUTPUT": "1K"})
    script = "test -e gate && echo second && exit; seq 5000; exec sleep 60"
    id = sh(shell, script)
    worker = shell.worker("--grace", "0")
    following = shell.start("output", id, "--follow")
    wait_until(lambda: "5000\n" in shell("output", id).out)
    (shell.path / "gate").touch()
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert shell.job(id)["attempts"] == 0
    shell.work()
    assert shell("output", id) == (0, "second\n", "")
    out, _ = following.communicate(timeout=30)
    assert (following.returncode, out[-12:]) == (0, b"5000\nsecond\n")


def test_a_queue_in_memory_shows_what_its_jobs_print(home: Home) -> None:
    program = """
        from prokerja import Queue, Worker
        from prokerja.options import NO_OPTIONS
        from prokerja.shell import declaration
        with Queue(":memory:") as queue:
            asked = declaration({"line": "echo shown", "cwd": "/"}, 0.0, NO_OPTIONS)
            queue.register([asked], 0.0)
            Worker(queue, until_empty=True).run()
        """
    told = home.execute([sys.executable, "-c", textwrap.dedent(program)])
    assert told == (0, "", "[1] shown\n")


# How it is shown


def test_lines_may_be_shown_with_their_times(shell: Home) -> None:
    id = sh(shell, "echo one; echo two >&2")
    shell.work()
    lines = shell("output", id, "--timestamps").lines
    assert [line.split(" ")[1] for line in lines] == ["one", "two"]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 ", line) for line in lines)


def test_a_terminal_shows_what_would_move_its_cursor_and_does_not_obey(shell: Home) -> None:
    id = sh(shell, r"printf 'a\033[2Jb\t🙂\n'")
    shell.work()
    assert Terminal(shell, "output", id).end() == (0, "a\\x1b[2Jb\t🙂\n")
    screen = Terminal(shell, "output", id, "--raw")
    screen.end()
    assert b"\x1b[2J" in screen.shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, ""), (1, "cc\n"), (2, "bb\ncc\n"), (3, "a\nbb\ncc\n"), (9, "a\nbb\ncc\n")],
)
def test_the_last_lines_may_be_shown_alone(shell: Home, count: int, shown: str) -> None:
    id = sh(shell, "printf 'a\\nb'; sleep 0.1; printf 'b\\nc'; sleep 0.1; printf 'c\\n'")
    shell.work()
    assert shell("output", id, "--tail", count) == (0, shown, "")


def test_the_last_lines_of_both_streams_are_counted_together() -> None:
    pieces = [
        Piece(STDOUT, 0, 0, b"a\nb\n"),
        Piece(STDERR, 0, 4, b"c\n"),
        Piece(STDOUT, 0, 6, b"d"),
    ]
    assert [one.data for one in last_lines(pieces, 3)] == [b"b\n", b"c\n", b"d"]
    assert last_lines(pieces, 3)[0].offset == 2


def test_the_last_lines_of_failed_jobs_are_shown_at_once(shell: Home) -> None:
    sh(shell, "seq 1 20; exit 3")
    shell.declare("fail", "why=no\x1b reason")
    sh(shell, "echo fine")
    shell.work()
    told = shell("output", "--failed", "--tail", 2)
    assert (told.code, told.err) == (0, "")
    assert told.lines == [
        "job 2 fail: ValueError: no\\x1b reason", "job 1 shell: exit code 3", "19", "20",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ([], 2, "give the id of a job, or --failed"),
        (["1", "--failed"], 2, "give the id of a job, or --failed"),
        (["1", "--tail", "-1"], 2, "--tail: -1 is too few"),
        (["1", "--follow", "--tail", "1"], 2, "--follow goes with an id"),
        (["1"], 1, "job 1 has not been started"),
        (["7"], 1, "there is no job 7"),
        (["7", "--follow"], 1, "there is no job 7"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    shell: Home, words: list[str], code: int, complaint: str
) -> None:
    shell.declare("noop", "--in", "1h")
    told = shell("output", *words)
    assert (told.code, told.out, told.err.count("\n")) == (code, "", 1)
    assert complaint in told.err


# While it runs


def test_following_shows_what_comes_until_the_end_and_exits_like_the_command(shell: Home) -> None:
    id = sh(shell, "echo one; until test -e gate; do sleep 0.01; done; echo two; exit 7")
    shell.worker()
    following = shell.start("output", id, "--follow")
    assert following.stdout is not None
    assert following.stdout.readline() == b"one\n"
    (shell.path / "gate").touch()
    out, err = following.communicate(timeout=30)
    assert (following.returncode, out, err) == (7, b"two\n", b"")


def test_following_goes_on_through_a_retry(shell: Home) -> None:
    script = "echo attempt $PROKERJA_ATTEMPT; test -e again || { touch again; exit 1; }"
    id = sh(shell, script, "--retries", 1, "--retry-after", "0.2s")
    following = shell.start("output", id, "--follow")
    shell.worker()
    out, err = following.communicate(timeout=30)
    assert (following.returncode, out, err) == (0, b"attempt 1\nattempt 2\n", b"")


def test_following_an_attempt_that_never_comes_ends_with_the_job(shell: Home) -> None:
    id = sh(shell, "echo only; exit 3")
    shell.work()
    assert shell("output", id, "--follow", "--attempt", 9) == (3, "", "")
    assert shell("output", id, "--follow", "--attempt", 1) == (3, "only\n", "")


def test_a_declaration_may_wait_and_feel_like_the_command_itself(shell: Home) -> None:
    shell.worker()
    told = shell("declare:shell", "--wait", "--sh", "echo out; echo err >&2; exit 5")
    assert told == (5, "out\n", "err\n")
    assert shell("declare:job", "fail", "--wait").code == 1
    assert shell("declare:shell", "--wait", "--each", "{}", "true", stdin="a\nb\n").code == 0
    assert shell("declare:shell", "--wait", "--json", "true").code == 2
    lines = '{"shell": "exit 3"}\n{"shell": "exit 0"}\n'
    said = "prokerja: 1 of 2 jobs failed, the first is 5\n"
    assert shell("declare:batch", "--wait", stdin=lines) == (1, "", said)
    assert shell("declare:batch", "--wait", stdin="") == (0, "", "")
    assert shell("declare:batch", "--wait", "--ids", stdin=lines).code == 2


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (["no-such-command"], 127, "no-such-command: command not found"),
        (["--cwd", "/no/such/place", "true"], 1, "its directory '/no/such/place' is gone"),
        (["--timeout", "0.3s", "sleep", "60"], 1, "ran longer than 0.3 s"),
        (["--sh", "kill -9 $$"], 137, "killed by SIGKILL (Killed)"),
        (["--ok", "1", "true"], 1, "exit code 0"),
        (["--ok", "3", "--sh", "exit 3"], 3, ""),
        (["--sh", "exit 4"], 4, ""),
    ],
)
def test_a_wait_says_what_no_exit_code_does(
    shell: Home, words: list[str], code: int, err: str
) -> None:
    shell.worker()
    said = f"prokerja: job 1 failed: {err}\n" if err else ""
    assert shell("declare:shell", "--wait", *words) == (code, "", said)


def test_an_interrupt_of_a_wait_leaves_the_job_running(shell: Home) -> None:
    shell.worker()
    waiting = shell.start(
        "declare:shell", "--wait", "--sh", "echo up; until test -e gate; do :; done"
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == b"up\n"
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert err == b"prokerja: job 1 goes on; `prokerja output 1 -f` shows it again\n"
    (shell.path / "gate").touch()
    assert shell.wait(1)["status"] == "completed"


def test_a_second_interrupt_at_a_terminal_cancels_the_job(shell: Home) -> None:
    shell.worker()
    waiting = Terminal(shell, "declare:shell", "--wait", "--sh", "echo up; sleep 1000")
    waiting.expect("up\n")
    waiting.process.send_signal(signal.SIGINT)
    waiting.expect("another Ctrl-C cancels\n")
    waiting.process.send_signal(signal.SIGINT)
    code, shown = waiting.end()
    assert code == 130
    assert shown.endswith("prokerja: cancelled\n")
    assert shell.wait(1, "failed")["error"] == "cancelled"


def test_of_several_jobs_those_are_cancelled_that_have_not_ended(shell: Home) -> None:
    shell("declare:shell", "true")
    shell.work()
    for _ in range(3):
        shell("declare:shell", "--in", "1h", "true")
    cancel_open(shell.queue, range(1, 5))
    assert shell.statuses(range(1, 5)) == ["completed", "failed", "failed", "failed"]


# Its parts


def test_an_announcement_is_found_wherever_it_is_cut() -> None:
    mark = "0123456789abcdef"
    text = b"a\x1eb" + announcement(mark, (7, 2)) + b"c\x1e" + announcement(mark, NOBODY) + b"\x1e"
    for cut in range(len(text)):
        announcements = Announcements(mark)
        said = [*announcements.feed(text[:cut]), *announcements.feed(text[cut:])]
        said += announcements.feed(b"")
        by = {speaker: b"".join(d for s, d in said if s == speaker) for speaker in ((7, 2), NOBODY)}
        assert by == {(7, 2): b"c\x1e", NOBODY: b"a\x1eb\x1e"}


def test_a_disk_that_is_full_leaves_a_gap_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue").touch()
    folder = OutputFolder(str(tmp_path / "queue"))
    recording = Recording(folder, 1, 1, 1000)
    recording.write(STDOUT, 0.0, b"before")
    write = os.write
    for short in (lambda fd, data: write(fd, data[:9]), no_room):
        monkeypatch.setattr(os, "write", short)
        recording.write(STDOUT, 0.0, b"lost")
        monkeypatch.setattr(os, "write", write)
        recording.write(STDOUT, 0.0, b"after")
    recording.close()
    found = [(piece.offset, piece.data) for piece in Reading(folder, 1, 1).pieces()]
    assert found == [(0, b"before"), (10, b"after"), (19, b"after")]


def no_room(descriptor: int, data: bytes) -> int:
    """What `os.write` does on a full disk."""
    raise OSError(28, "No space left on device")
