"""Commands as jobs: what they are given, how their end steers, and what they leave behind."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.harness.processes import gone, has_open
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.home import Home


def declare(shell: Home, *words: object, stdin: str | bytes = b"") -> int:
    """The id that `declare:shell` prints."""
    told = shell("declare:shell", *words, stdin=stdin)
    assert (told.code, told.err) == (0, ""), told.err
    return int(told.out)


def ended(shell: Home, *words: object, stdin: str | bytes = b"") -> dict[str, Any]:
    """A command that a worker has run, as `report:job --json` tells of it."""
    id = declare(shell, *words, stdin=stdin)
    shell.work()
    return shell.job(id)


def wrote(shell: Home, *words: object, stdin: str | bytes = b"") -> bytes:
    """What a command has written into the file `out`."""
    assert ended(shell, *words, stdin=stdin)["status"] == "completed"
    return (shell.path / "out").read_bytes()


# What it is given

SAVE = ["sh", "-c", "printf '%s\\0' \"$@\" > out", "sh"]
"""A command that writes down its arguments."""


@pytest.mark.parametrize(
    "arguments",
    [
        [b"plain", b"two words", b"", b"$HOME", b"*", b"'\"\\", b"--", b"--queue", b"-0"],
        [b"line\nbreak", b"\x01\x1b[2J", "שלום 🙂".encode(), b"\xff\xfe", b"\xed\xa0\x80"],
        [b"x" * 100_000],
    ],
    ids=["words", "bytes", "long"],
)
def test_a_command_is_given_its_arguments_byte_for_byte(
    shell: Home, arguments: list[bytes]
) -> None:
    assert wrote(shell, "--", *SAVE, *arguments).split(b"\0")[:-1] == arguments


def test_options_end_where_the_command_begins(shell: Home) -> None:
    declare(shell, "--queue", "q", "sh", "-c", "exit 0", "--queue", "other")
    assert shell.job(1)["queue"] == "q"
    assert shell.job(1)["payload"]["argv"][-2:] == ["--queue", "other"]


def test_a_line_is_run_by_the_shell(shell: Home) -> None:
    assert wrote(shell, "--sh", "echo one two | tr a-z A-Z > out") == b"ONE TWO\n"


def test_it_runs_where_it_was_declared_unless_it_is_sent_elsewhere(
    shell: Home, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    assert wrote(shell, "--sh", "pwd > out").decode().strip() == str(shell.path)
    assert wrote(shell, "--cwd", "there", "--sh", "pwd > ../out").decode().strip() == str(
        tmp_path / "there"
    )


def test_it_has_the_workers_environment_and_what_is_passed_on_by_name(shell: Home) -> None:
    shell.in_environment({"PASSED": "as it is", "SECRET": "not stored"})
    words = ["--env", "PASSED", "--env", "GIVEN=a=b", "--sh", "env > out"]
    id = declare(shell, *words)
    assert "not stored" not in str(shell.dump())
    del shell.environment["SECRET"]
    shell.in_environment({"PASSED": "the worker's", "WORKERS": "own"})
    shell.work()
    lines = (shell.path / "out").read_text().splitlines()
    assert {"PASSED=as it is", "GIVEN=a=b", "WORKERS=own", f"PROKERJA_JOB_ID={id}"} <= set(lines)
    assert not any(line.startswith("SECRET") for line in lines)


def test_its_stdin_is_empty_or_a_file_that_is_read_when_it_runs(shell: Home) -> None:
    assert wrote(shell, "--sh", "cat > out") == b""
    file = shell.path / "in"
    file.write_text("before")
    id = declare(shell, "--stdin", "in", "--sh", "cat > out")
    file.write_text("after")
    shell.work()
    assert (shell.job(id)["status"], (shell.path / "out").read_text()) == ("completed", "after")


@pytest.mark.parametrize(
    "text", [b"", b"\x00\xff\n", os.urandom(2**20)], ids=["empty", "few", "MiB"]
)
def test_its_stdin_may_be_kept_with_the_job(shell: Home, text: bytes) -> None:
    assert wrote(shell, "--stdin", "-", "--sh", "cat > out", stdin=text) == text


def test_it_takes_all_that_a_job_takes(shell: Home) -> None:
    options = ["--priority", 7, "--retries", 2, "--retry-after", "5s", "--timeout", "1h"]
    id = declare(shell, *options, "--label", "nightly", "--in", "1h", "true")
    job = shell.job(id)
    keys = ("priority", "retries", "retry_after", "timeout", "label", "command", "status")
    assert [job[key] for key in keys] == [7, 2, 5.0, 3600.0, "nightly", "true", "pending"]


# Many at once


def test_one_command_is_declared_for_each_value(shell: Home) -> None:
    told = shell(
        "declare:shell", "-0", "--each", "{}", "--", *SAVE[:2], "echo $1 >> out", "sh", "v={};{}",
        stdin=b"a\0two words\0line\nbreak\0\xff\0",
    )  # fmt: skip
    assert (told.code, told.lines) == (0, ["1", "2", "3", "4"])
    argv = [shell.job(id)["payload"]["argv"][-1] for id in (1, 2, 3, 4)]
    assert argv == [f"v={v};{v}" for v in ("a", "two words", "line\nbreak", "\udcff")]


def test_a_value_without_a_place_is_the_last_argument(shell: Home) -> None:
    told = shell("declare:shell", "--each", "{}", "flac", "--best", stdin="a.wav\nb.wav\n")
    assert told.lines == ["1", "2"]
    assert shell.job(2)["command"] == "flac --best b.wav"


def test_a_batch_may_have_commands_among_its_jobs(shell: Home) -> None:
    lines = """
        {"job": "noop"}
        {"shell": ["sh", "-c", "exit 4"], "ok": [4], "label": "words", "queue": "q"}
        {"shell": "exit 5", "cwd": "there", "env": {"A": "b"}, "stdin": "in", "retry_on": []}
    """
    assert shell("declare:batch", stdin=lines).out == "3 1 3\n"
    second, third = shell.job(2), shell.job(3)
    assert (second["queue"], second["label"], second["payload"]["ok"]) == ("q", "words", [4])
    assert third["payload"] == {
        "line": "exit 5", "cwd": str(shell.path / "there"), "env": {"A": "b"},
        "stdin": str(shell.path / "in"), "retry_on": [],
    }  # fmt: skip


# How it ends


def outcome(job: dict[str, Any]) -> tuple[Any, ...]:
    """How a job stands, and the exit code and error of each attempt."""
    attempts = [(one["exit_code"], one["error"]) for one in job["history"]]
    return job["status"], job["result"], attempts


def test_exit_code_0_completes(shell: Home) -> None:
    assert outcome(ended(shell, "true")) == ("completed", 0, [(0, None)])


def test_any_other_exit_code_is_retried_as_asked(shell: Home) -> None:
    job = ended(shell, "--retries", 1, "--retry-after", "0s", "--sh", "exit 3")
    assert outcome(job) == ("failed", None, [(3, "exit code 3")] * 2)


def test_exit_code_65_fails_for_good(shell: Home) -> None:
    job = ended(shell, "--retries", 5, "--retry-after", "0s", "--sh", "exit 65")
    assert outcome(job) == ("failed", None, [(65, "exit code 65")])


def test_exit_code_75_waits_and_uses_no_retry(shell: Home) -> None:
    job = ended(shell, "--retry-after", "1h", "--sh", "exit 75")
    assert (job["status"], job["attempts"], job["history"][0]["exit_code"]) == ("pending", 1, 75)
    assert 3240 <= due_in(shell, 1) <= 3960


def due_in(shell: Home, id: int) -> float:
    """In how many seconds a job is due after the end of its last attempt."""
    query = f"""
        SELECT declaration.due_at - max(attempt.finished_at) FROM declaration, attempt
        WHERE attempt.declaration = declaration.id AND declaration.id = {id}"""
    [[seconds]] = shell.look(query)
    return float(seconds)


def test_exit_code_75_ends_after_a_hundred_times(shell: Home) -> None:
    job = ended(shell, "--retry-after", "0s", "--sh", "exit 75")
    assert (job["status"], job["attempts"]) == ("failed", 101)
    shell("retry", 1)
    shell.work()
    assert shell.job(1)["attempts"] == 202


def test_what_exit_codes_mean_can_be_changed(shell: Home) -> None:
    words = ["--retry-after", "0s", "--ok", "0,1", "--retry-on", "2,3"]
    assert outcome(ended(shell, *words, "--sh", "exit 1")) == ("completed", 1, [(1, None)])
    script = "test -e again && exit 75; touch again; exit 3"
    job = ended(shell, *words, "--sh", script)
    assert outcome(job) == ("failed", None, [(3, "exit code 3"), (75, "exit code 75")])


def test_death_by_a_signal_is_told_in_words(shell: Home) -> None:
    job = ended(shell, "--sh", "kill -SEGV $$")
    assert outcome(job) == ("failed", None, [(-11, "killed by SIGSEGV (Segmentation fault)")])


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["nowhere/to be found"], 127, "nowhere/to be found: command not found"),
        (["."], 126, ".: cannot be run: Permission denied"),
        (["./text"], 126, "./text: cannot be run: Permission denied"),
        (["true", "x" * 200_000], 126, "true: cannot be run: Argument list too long"),
        (["--stdin", "gone", "cat"], None, "cannot read its stdin"),
        (["--cwd", "gone", "true"], None, "its directory"),
    ],
    ids=["missing", "directory", "text", "long", "stdin", "cwd"],
)
def test_a_command_that_cannot_be_started_says_why(
    shell: Home, words: list[str], code: int | None, error: str
) -> None:
    (shell.path / "text").write_text("no program")
    if "x" * 200_000 in words:  # more than a command line takes, so it comes in a batch
        shell("declare:batch", stdin='{"shell": ["true", "%s"]}' % ("x" * 200_000))
        shell.work()
        job = shell.job(1)
    else:
        job = ended(shell, *words)
    [attempt] = job["history"]
    assert (job["status"], attempt["exit_code"]) == ("failed", code)
    assert attempt["error"].startswith(error)
    assert attempt["traceback"] is None


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "there is no command"),
        ([""], "there is no command"),
        (["--sh", ""], "there is no command"),
        (["--sh", "a", "b"], "both by --sh and by its words"),
        (["--env", "NOT_SET_HERE", "true"], "'NOT_SET_HERE' is not set here"),
        (["--env", "=x", "true"], "has no name"),
        (["--ok", "0,x", "true"], "--ok: '0,x' is no list of exit codes"),
        (["--retry-on", "256", "true"], "--retry-on: '256' is no list"),
        (["--ok", "0,7", "--retry-on", "7", "true"], "exit code 7 cannot mean both success"),
        (["-0", "true"], "-0 goes with --each"),
        (["--each", "", "true"], "--each needs a word"),
        (["--each", "{}", "--sh", "echo {}"], "--each does not go with --sh"),
        (["--each", "{}", "--stdin", "-", "cat"], "both read stdin"),
        (["--label", "two\nlines", "true"], "label: "),
        (["--sh"], "requires an argument"),
        (["--surplus", "true"], "No such option: --surplus"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    shell: Home, words: list[str], complaint: str
) -> None:
    told = shell("declare:shell", *words)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert complaint in told.err
    assert shell.report() == [0, 0, 0, 0]


def test_a_stdin_that_is_too_long_is_refused(shell: Home) -> None:
    told = shell("declare:shell", "--stdin", "-", "cat", stdin=b"x" * (2**20 + 1))
    assert (told.code, told.out) == (2, "")
    assert "longer than 1 MiB" in told.err


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"shell": []}', "there is no command"),
        ('{"shell": 5}', "shell: '5' does not fit; give a list of words, or a line"),
        ('{"shell": ["a\\u0000b"]}', "contains a NUL"),
        ('{"shell": "x", "env": {"A=B": "c"}}', "env: "),
        ('{"shell": "x", "ok": [true]}', "ok: "),
        ('{"shell": "x", "payload": {}}', "unknown key 'payload'"),
    ],
)
def test_a_batch_names_the_line_and_the_key_at_fault(
    shell: Home, line: str, complaint: str
) -> None:
    told = shell("declare:batch", stdin=f'{{"job": "noop"}}\n{line}\n')
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("prokerja: line 2: ")
    assert complaint in told.err
    assert shell.report() == [0, 0, 0, 0]


# What it leaves behind


def pid_in(file: Path) -> int:
    """The process id that a command writes into a file, once it has."""
    return int(wait_until(lambda: file.exists() and file.read_text().strip()))


def test_a_command_leads_a_process_group_of_its_own(shell: Home) -> None:
    declare(shell, "--sh", "echo $$ > out; exec sleep 60")
    worker = shell.worker()
    pid = pid_in(shell.path / "out")
    assert os.getpgid(pid) == pid != os.getpgid(worker.pid)


def left_by(shell: Home, script: str) -> int:
    """A process that a command has left in its group, which is not for its realizer to end."""
    declare(shell, "--sh", script)
    assert "leaves something running" not in shell.work().said()
    return pid_in(shell.path / "out")


def test_what_a_command_leaves_in_its_group_ends_with_it(shell: Home) -> None:
    assert not psutil.pid_exists(left_by(shell, "sleep 60 & echo $! > out"))


def test_what_ignores_a_term_is_killed(shell: Home) -> None:
    deaf = "(trap '' TERM; echo > ready; sleep 60) & echo $! > out"
    pid = left_by(shell, f"{deaf}; until test -e ready; do :; done")
    wait_until(lambda: not psutil.pid_exists(pid), SOON)


def test_a_daemon_outlives_its_command_but_not_the_worker(shell: Home) -> None:
    declare(
        shell, "--sh", "setsid sh -c 'echo $$ > out; exec sleep 60' & until test -s out; do :; done"
    )
    worker = shell.worker()
    daemon = psutil.Process(pid_in(shell.path / "out"))
    shell.wait(1)
    assert not gone(daemon)
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    wait_until(lambda: gone(daemon), SOON)


@pytest.mark.parametrize("end", ["a time limit", "a kill of the worker", "a stop"])
def test_nothing_of_a_command_is_left_when_it_has_to_end(shell: Home, end: str) -> None:
    script = "trap '' TERM; sleep 60 & echo $! > out; while :; do sleep 60; done"
    limit = ["--timeout", "0.3s"] if end == "a time limit" else []
    declare(shell, *limit, "--sh", script)
    worker = shell.worker("--grace", "0.1s")
    left = psutil.Process(pid_in(shell.path / "out"))
    family = [left, *left.parents()[:1]]
    if end == "a time limit":
        assert shell.wait(1, "failed")["error"] == "ran longer than 0.3 s"
    elif end == "a stop":
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    else:
        worker.kill()
    wait_until(lambda: all(map(gone, family)), SOON)


def test_a_command_that_stops_in_good_order_is_heard(shell: Home) -> None:
    script = "trap 'echo cleaned > out; exit 0' TERM; echo > ready; while :; do sleep 0.01; done"
    declare(shell, "--timeout", "1s", "--sh", script)
    shell.worker()
    job = shell.wait(1, "failed")
    assert job["error"] == "ran longer than 1 s"
    assert (shell.path / "out").read_text() == "cleaned\n"


def test_a_command_whose_worker_is_killed_is_run_again(shell: Home) -> None:
    declare(shell, "--sh", "echo $$ >> out; test -e gate || sleep 60")
    worker = shell.worker()
    wait_until(lambda: shell.running(1) and (shell.path / "out").exists())
    worker.kill()
    (shell.path / "gate").touch()
    shell.work()
    assert shell.job(1)["status"] == "completed"
    assert len((shell.path / "out").read_text().split()) == 2


# Workers and waiting


def test_a_worker_needs_no_job_files_for_commands(shell: Home, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bare = {"PROKERJA_JOBS": ""}
    where: dict[str, Any] = {"cwd": tmp_path / "empty", "environment": bare}
    assert shell("declare:shell", "true", **where).code == 0
    told = shell("realization:start", "--until-empty", **where)
    assert told.code == 0
    assert "no job file was found, so only commands run" in told.err
    assert shell.report() == [0, 0, 1, 0]


def test_no_class_may_have_the_name_of_commands(shell: Home) -> None:
    shell.write("mine.py", "class Shell:\n    def handle(self): ...\n    def payload(self): ...\n")
    assert (
        "Shell.name is 'shell'; make it 1 to 255 printable characters, not shell"
        in shell("jobs").err
    )
    assert ended(shell, "true")["status"] == "completed"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["--sh", "exit 3"], 3),
        (["--ok", "0,1", "false"], 1),
        (["--sh", "kill -9 $$"], 137),
        (["nowhere"], 127),
        (["--timeout", "0.1s", "sleep", "60"], 1),
    ],
)
def test_wait_exits_as_the_command_has(shell: Home, words: list[str], code: int) -> None:
    id = declare(shell, *words)
    shell.work()
    assert shell("wait", id) == (code, "", "")


def test_wait_for_several_says_whether_all_completed(shell: Home) -> None:
    for words in (["true"], ["--sh", "exit 3"]):
        declare(shell, *words)
    shell.work()
    assert shell("wait", 1, 2).code == 1
    assert shell("wait", 1, 2, "--any") == (1, "1\n2\n", "")


def test_wait_may_be_for_all_of_a_queue_or_a_label_that_have_not_ended(shell: Home) -> None:
    declare(shell, "--queue", "q", "false")
    shell.work()
    declare(shell, "--queue", "q", "--label", "a", "true")
    declare(shell, "--queue", "q", "--label", "b", "--sh", "exit 3")
    declare(shell, "--in", "1h", "true")
    told = shell("wait", "--queue", "q", "--timeout", "0")
    assert (told.code, "2 jobs, the first is 2" in told.err) == (124, True)
    waiting = [shell.start("wait", *words) for words in (["--queue", "q"], ["--label", "a"])]
    wait_until(lambda: all(has_open(one.pid, "inotify") for one in waiting))
    shell.work()
    assert [one.wait(30) for one in waiting] == [1, 0]
    assert shell("wait", "--label", "none").code == 0
    for words in ([], ["1", "--queue", "q"]):
        told = shell("wait", *words)
        assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)


def test_wait_for_any_ends_with_the_first(shell: Home) -> None:
    declare(shell, "--in", "1h", "true")
    declare(shell, "--sh", "exit 9")
    waiting = shell.start("wait", 1, 2, "--any", "--timeout", "60")
    shell.work()
    out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out, err) == (9, b"2\n", b"")


def test_lists_show_commands_and_labels(shell: Home) -> None:
    declare(shell, "rsync", "-a", "two words", "\x1b[2J")
    declare(shell, "--label", "nightly", "true")
    first, second = sorted(shell("report:jobs").cells, key=lambda row: int(row[0]))
    assert first[-1] == "rsync -a 'two words' '\\x1b[2J'"
    assert second[-1] == "nightly"
    shown = shell("report:job", 2).out
    assert "label:       nightly\n" in shown
    assert "command:     true\n" in shown


def test_a_label_may_be_given_to_any_job(shell: Home) -> None:
    shell.declare("noop", "--label", "שלום")
    shell("declare:batch", stdin='{"job": "noop", "label": "batch"}')
    shell.declare_job("noop", options={"label": "python"})
    assert [shell.job(id)["label"] for id in (1, 2, 3)] == ["שלום", "batch", "python"]


@pytest.mark.parametrize("words", [["declare:shell", "true"], ["declare:job", "noop"]])
def test_no_values_make_no_jobs_and_a_word(shell: Home, words: list[str]) -> None:
    each = ["--each", "{}" if "true" in words else "n"]
    said = "prokerja: stdin has no values, so nothing was declared\n"
    assert shell(words[0], *each, *words[1:], stdin="\n\n") == (0, "", said)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"shell": ["\\udcff\\ud800"]}', "shell: "),
        ('{"shell": ["true"], "env": {"A": "\\ud800"}}', "env: "),
        ('{"shell": ["cat"], "stdin": "-"}', "stdin: '-' does not fit; give the path of a file"),
        ('{"shell": ["true"], "job": "noop"}', "both a job and a command; give one of the keys"),
        ('{"shell": []}', "shell: there is no command; give a list of words, or a line"),
        ('{"shell": [""]}', "shell: there is no command; give a list of words, or a line"),
    ],
)
def test_a_batch_says_what_no_command_can_be(shell: Home, line: str, complaint: str) -> None:
    told = shell("declare:batch", stdin=line)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert complaint in told.err
    assert shell.report() == [0, 0, 0, 0]


def test_a_word_of_any_bytes_passes_through_a_batch(shell: Home) -> None:
    shell("declare:batch", stdin='{"shell": ["printf", "\\udcff"]}')
    shell.work()
    assert shell("output", 1).out == "\udcff"
