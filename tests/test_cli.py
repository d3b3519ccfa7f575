"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from prokerja import cli
from prokerja.commandline import parameters
from prokerja.commands import COMMANDS, load
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.harness.home import PROGRAM, Home
from tests.harness.processes import has_open
from tests.harness.terminal import Terminal
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = sorted(COMMANDS)
NOBODY = 65534
HEAVY = {"typer", "rich", "msgspec", "dataclasses", "inspect", "psutil", "subprocess", "ast"}
HEAVY |= {"platformdirs", "pathlib", "tempfile", "threading", "ctypes", "signal", "tomllib"}
DECLARING = {"json", "prokerja.declaring", "prokerja.spec"}
"""What only declaring needs."""


# Help, versions, ways in


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_each_of_its_options(shell: Home, name: str) -> None:
    told = shell(name, "--help")
    assert (told.code, told.err) == (0, "")
    text = " ".join(told.out.split())
    assert text.startswith(f"Usage: prokerja {name} ")
    for parameter in parameters(load(name)):
        assert parameter.marker.help in text
        for shown in parameter.flags or [parameter.marker.metavar]:
            assert shown in text
    assert "Traceback" not in text
    assert not shell.db.exists()


@pytest.mark.parametrize("words", [[], ["-h"]])
def test_the_help_lists_every_command_with_a_whole_sentence(shell: Home, words: list[str]) -> None:
    told = shell(*words)
    assert (told.code, told.err) == (0, "")
    for name in NAMES:
        assert re.search(rf"^  {name}  +[A-Z]", told.out, re.MULTILINE), name
    assert "75 try again" in told.out


def test_the_version_is_that_of_the_package(shell: Home) -> None:
    assert shell("--version") == (0, "0.1.0\n", "")


def test_python_m_prokerja_does_the_same(shell: Home) -> None:
    module = [sys.executable, "-m", "prokerja"]
    assert shell.execute([*module, "declare:job", "noop"]) == (0, "1\n", "")
    assert shell.execute([*module, "report:job", "7"]) == shell("report:job", "7")
    assert shell.execute([*module, "report", "--help"]) == shell("report", "--help")


@pytest.mark.parametrize("words", [["polka"], ["report", "x"], ["report:job"]])
def test_a_wrong_command_line_is_reported_in_one_line_with_where_to_look(
    shell: Home, words: list[str]
) -> None:
    told = shell(*words)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("prokerja: ")
    assert told.err.endswith("--help`\n")
    assert told.err.count("\n") == 1


# Where things are


def test_database_and_jobs_may_be_named_after_the_command(shell: Home, tmp_path: Path) -> None:
    there = ["--db", tmp_path / "there.sqlite3", "--jobs", shell.jobs]
    nowhere = {"PROKERJA_DB": "/nowhere/db", "PROKERJA_JOBS": "/nowhere/jobs"}
    assert shell("declare:job", *there, "noop", environment=nowhere).out == "1\n"
    assert shell("declare:job", "noop", *there, environment=nowhere).out == "2\n"
    assert shell("report", *there, environment=nowhere).lines[1] == "pending: 2"
    assert shell("jobs", *there, environment=nowhere).code == 0
    for name in ("report:jobs", "retry", "purge"):
        more = ["--failed"] if name == "retry" else []
        assert shell(name, *there, *more, environment=nowhere).code == 0
    assert not shell.db.exists()


def test_without_a_word_the_file_is_in_the_users_data_directory_and_private(shell: Home) -> None:
    data = {"PROKERJA_DB": "", "XDG_DATA_HOME": str(shell.path / "data")}
    assert shell("declare:job", "noop", environment=data).code == 0
    file = shell.path / "data" / "prokerja" / "prokerja.sqlite3"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_directory_jobs_is_used_where_it_is_and_otherwise_what_was_recorded(
    shell: Home, tmp_path: Path
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    shell.jobs.rename(project / "jobs")
    unnamed = {"PROKERJA_JOBS": ""}
    assert shell("declare:job", "noop", cwd=elsewhere, environment=unnamed).code == 2
    assert shell("declare:job", "noop", cwd=project, environment=unnamed).out == "1\n"
    assert shell("declare:job", "noop", cwd=elsewhere, environment=unnamed).out == "2\n"


# What declare:job prints, takes and stores


def test_an_id_is_all_that_declare_job_prints(shell: Home) -> None:
    assert shell("declare:job", "noop") == (0, "1\n", "")
    assert shell("declare:job", "noop", "n=5", "--json") == (0, '{"id": 2, "job": "noop"}\n', "")


def test_on_a_terminal_a_sentence_follows_the_id(shell: Home) -> None:
    code, text = Terminal(shell, "declare:job", "noop").end()
    assert (code, text.splitlines()[0]) == (0, "1")
    assert "Declared 1 noop job" in text


def test_a_payload_is_typed_by_the_fields_of_the_job(shell: Home) -> None:
    pairs = ["to=1", "copies=2", "urgent=yes", "weight=3", 'tags:=["a"]', "subject="]
    [id] = shell.declare("send", *pairs)
    payload = {"to": "1", "copies": 2, "urgent": True, "weight": 3, "tags": ["a"], "subject": ""}
    job = shell.ask("report:job", id)
    assert job["payload"] == payload
    assert (job["queue"], job["priority"]) == ("emails", 3)


@pytest.mark.parametrize("source", ["text", "file", "stdin"])
def test_a_payload_may_be_json_from_anywhere(shell: Home, source: str, tmp_path: Path) -> None:
    text = '{"to": "a@example.com", "tags": ["é", "\\ud83d\\ude00"]}'
    (tmp_path / "payload.json").write_text(text)
    data = {"text": text, "file": "@payload.json", "stdin": "-"}[source]
    [id] = shell.declare("send", "--data", data, stdin=text if source == "stdin" else "")
    assert shell.ask("report:job", id)["payload"] == json.loads(text)


def test_the_options_of_a_declaration_come_before_those_of_the_job(shell: Home) -> None:
    words = ["--queue", "q", "--priority", "-5", "--retries", "2", "--retry-after", "5m"]
    [id] = shell.declare("send", "to=x", *words, "--timeout", "2h", "--in", "1d")
    job = shell.ask("report:job", id)
    assert [job[key] for key in ("queue", "priority", "retries")] == ["q", -5, 2]
    assert (job["retry_after"], job["timeout"]) == (300, 7200)
    assert job["why_not_running"].startswith(("it is due in 1d, at", "it is due in 23h 59m, at"))


def test_a_time_that_has_passed_is_now(shell: Home) -> None:
    [id] = shell.declare("noop", "--at", "2001-01-01T00:00Z")
    job = shell.ask("report:job", id)
    assert job["due_at"] == job["declared_at"]


def test_each_line_of_stdin_becomes_a_job_and_each_id_a_line(shell: Home) -> None:
    ids = shell.declare("send", "--each", "to", "copies=3", stdin="a b\n\nc=d\n\té\r\nlast")
    assert ids == [1, 2, 3, 4]
    payloads = [shell.ask("report:job", id)["payload"] for id in ids]
    assert [payload["to"] for payload in payloads] == ["a b", "c=d", "\té\r", "last"]
    assert {payload["copies"] for payload in payloads} == {3}
    assert shell.ask("declare:job", "noop", "--each", "n") == {"ids": [], "job": "noop"}


def test_names_that_are_no_utf8_survive_each_and_come_back_as_they_were(
    shell: Home, tmp_path: Path
) -> None:
    shell.write("size.py", SIZE)
    folder = tmp_path / "files"
    folder.mkdir()
    for number, name in enumerate([b"plain", b"\xff\xfe", b"line\nbreak", "\U0001f600".encode()]):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"x" * number)
    told = shell.sh("find files -type f -print0 | prokerja declare:job size --each path -0")
    assert (told.code, told.lines) == (0, ["1", "2", "3", "4"])
    shell.work()
    jobs = [shell.ask("report:job", id) for id in range(1, 5)]
    assert sorted(job["result"] for job in jobs) == [0, 1, 2, 3]
    assert all(shell("report:job", id).code == 0 for id in range(1, 5))


SIZE = """
    import os
    from dataclasses import dataclass

    @dataclass
    class Size:
        path: str

        def handle(self):
            return os.stat(self.path).st_size
"""


def test_a_value_that_does_not_fit_is_numbered_and_nothing_is_declared(shell: Home) -> None:
    told = shell("declare:job", "noop", "--each", "n", stdin="1\n\nthree\n4\n")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("prokerja: value 3: noop cannot take this payload: 'n' is 'three'")
    assert shell.report() == [0, 0, 0, 0]


def test_a_slow_source_keeps_nobody_from_declaring(shell: Home) -> None:
    shell.declare_job("noop")
    slow = [PROGRAM, "declare:job", "noop", "--each", "n"], [PROGRAM, "declare:batch"]
    sources = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=shell.environment
        )
        for command in slow
    ]
    for source, line in zip(sources, (b"5\n", b'{"job": "noop"}\n'), strict=True):
        assert source.stdin is not None
        source.stdin.write(line)
        source.stdin.flush()
        asleep(source.pid)
    assert shell.declare("noop") == [2]
    assert [source.communicate()[0] for source in sources] == [b"3\n", b"1 4 4\n"]


def asleep(pid: int) -> None:
    """Wait until a process waits for its stdin."""
    import psutil

    def idle() -> bool:
        with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
            waits = "pipe" in file.read()
        return waits or psutil.Process(pid).status() == psutil.STATUS_SLEEPING

    wait_until(idle)


# Declaring runs no code of the jobs


def test_declaring_runs_nothing_of_the_job_files_new_or_changed(shell: Home) -> None:
    marker = shell.path / "ran"
    source = f"""
        open({str(marker)!r}, "w").close()
        from dataclasses import dataclass
        @dataclass
        class Marked:
            {{fields}}
            def handle(self): pass
    """
    shell.write("marked.py", source.format(fields="a: int"))
    assert shell.declare("marked", "a=1") == [1]
    shell.write("marked.py", source.format(fields="a: int; b: str"))
    assert shell("declare:job", "marked", "a=1").code == 2
    assert shell.declare("marked", "a=1", "b=2") == [2]
    assert shell("declare:batch", stdin='{"job": "marked", "payload": {"a": 1, "b": ""}}').code == 0
    for words in (["report"], ["report:jobs"], ["report:job", 1], ["purge"], ["retry", "--failed"]):
        assert shell(*words).code == 0
    assert not marker.exists()
    assert shell("jobs").code == 0
    assert not marker.exists()
    assert shell("jobs", "--load").code == 0
    assert marker.exists()


def test_new_changed_and_deleted_files_are_noticed(shell: Home) -> None:
    assert shell("declare:job", "later").code == 2
    file = shell.write("sub/later.py", SIZE.replace("Size", "Later").replace("path: str", "n: int"))
    assert shell.declare("later", "n=1") == [1]
    shell.write("sub/later.py", SIZE.replace("Size", "Later").replace("path: str", "n: float = 0"))
    assert shell.declare("later") == [2]
    file.unlink()
    told = shell("declare:job", "later")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("prokerja: unknown job 'later'")


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("declare:job noop", set()),
        ("declare:shell true", {"prokerja.repository.sqlite.catalog", "prokerja.spec"}),
        ("report", DECLARING - {"json"}),
        ("wait 1", DECLARING),
        ("retry 1", DECLARING),
    ],
)
def test_a_command_imports_what_it_needs(shell: Home, line: str, more: set[str]) -> None:
    shell.declare_job("fail")
    shell.work()
    shell.declare_job("noop")
    told = shell.execute([sys.executable, "-X", "importtime", PROGRAM, *line.split()])
    imported = {row.rpartition("|")[2].strip() for row in told.err.splitlines()}
    assert told.code == (1 if line == "wait 1" else 0)
    assert "prokerja.queue" in imported
    assert not (HEAVY | more) & imported


# Batches


def test_a_batch_tells_how_many_and_the_first_and_last_id(shell: Home, tmp_path: Path) -> None:
    lines = (
        '{"job": "noop"}\n\n{"job": "send", "payload": {"to": "x"}, "queue": "q", "priority": 9}\n'
    )
    (tmp_path / "jobs.jsonl").write_text(lines)
    assert shell("declare:batch", "jobs.jsonl") == (0, "2 1 2\n", "")
    assert shell("declare:batch", stdin=lines) == (0, "2 3 4\n", "")
    assert shell("declare:batch", "-", "--ids", stdin=lines) == (0, "5\n6\n", "")
    told = shell("declare:batch", "--json", "--ids", stdin=lines)
    assert json.loads(told.out) == {"count": 2, "first": 7, "last": 8, "ids": [7, 8]}
    assert shell("declare:batch", stdin="") == (0, "0\n", "")
    assert json.loads(shell("declare:batch", "--json").out)["count"] == 0
    assert shell.ask("report:job", 8)["queue"] == "q"


def test_a_batch_takes_every_option(shell: Home) -> None:
    line = {"job": "noop", "payload": {"n": 4}, "queue": "q", "priority": 2, "in": "1h",
            "retries": 3, "retry_after": 7.5, "timeout": 60}  # fmt: skip
    dated = {"job": "noop", "at": "2200-01-01T00:00Z", "in": None}
    text = f"{json.dumps(line)}\n{json.dumps(dated)}"
    assert shell("declare:batch", stdin=text).code == 0
    first, second = shell.ask("report:job", 1), shell.ask("report:job", 2)
    assert [first[key] for key in ("queue", "priority", "retries")] == ["q", 2, 3]
    assert [first[key] for key in ("retry_after", "timeout", "payload")] == [7.5, 60, {"n": 4}]
    assert second["due_at"].startswith("2200-01-01T00:00:00")


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a declaration"),
        ('{"payload": {}}', "is not a declaration"),
        ('{"job": 5}', "is not a declaration"),
        ('{"job": "dance"}', "unknown job 'dance'"),
        ('{"job": "noop", "payload": {"x": 1}}', "'x' is unknown"),
        ('{"job": "noop", "payload": [1]}', "JSON object"),
        ('{"job": "noop", "payload": {"n": NaN}}', "NaN"),
        ('{"job": "noop", "colour": "red"}', "unknown key 'colour'"),
        ('{"job": "noop", "priority": "high"}', "priority"),
        ('{"job": "noop", "priority": true}', "priority"),
        ('{"job": "noop", "in": "soon"}', "'soon' is not a duration"),
        ('{"job": "noop", "in": -1}', "'-1' is not a duration"),
        ('{"job": "noop", "at": 5}', "at:"),
        ('{"job": "noop", "retries": -1}', "retries"),
        ('{"job": "noop", "queue": 7}', "queue"),
        ('{"job": "noop", "timeout": 0}', "timeout"),
    ],
)
def test_a_bad_line_is_numbered_and_nothing_of_the_batch_is_declared(
    shell: Home, bad: str, why: str
) -> None:
    shell.declare_job("noop")
    before = shell.dump()
    told = shell("declare:batch", stdin='{"job": "noop"}\n\n' + bad + '\n{"job": "noop"}\n')
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("prokerja: line 3: ")
    assert why in told.err
    assert told.err.count("\n") == 1
    assert shell.dump() == before


def test_a_batch_of_any_size_needs_little_memory(shell: Home, tmp_path: Path) -> None:
    few, many = tmp_path / "few.jsonl", tmp_path / "many.jsonl"
    few.write_text('{"job": "noop"}\n' * 3000)
    many.write_text('{"job": "noop", "payload": {"n": 123456}}\n' * 200_000)
    small = peak(shell, "declare:batch", few)
    large = peak(shell, "declare:batch", many)
    assert large < small + 40 * 2**20
    assert shell.report() == [203_000, 0, 0, 0]


def peak(shell: Home, *words: object) -> int:
    """Bytes of memory that a command needs at most."""
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    told = shell.execute([sys.executable, "-c", measure, PROGRAM, *map(str, words)])
    assert told.code == 0, told.err
    unit = 1 if sys.platform == "darwin" else 1024
    return int(told.lines[-1]) * unit


def test_a_batch_counts_on_the_terminal(shell: Home, tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text('{"job": "noop"}\n' * 2500)
    code, text = Terminal(shell, "declare:batch", "some.jsonl").end()
    assert code == 0
    assert "2500 1 2500" in text
    assert text.rstrip().endswith("Declared 2,500 jobs.")


# retry, purge, wait


def test_retry_gives_failed_jobs_a_fresh_start_and_keeps_their_history(shell: Home) -> None:
    id = shell.declare_job("fail", why="first")
    shell.work()
    assert shell("retry", id) == (0, "1\n", "")
    assert shell.report() == [1, 0, 0, 0]
    shell.work()
    job = shell.ask("report:job", id)
    assert (job["status"], len(job["history"])) == ("failed", 2)
    assert shell.ask("retry", id, id) == {"retried": 1}


def test_retry_of_all_that_failed_may_be_narrowed(shell: Home) -> None:
    shell.declare("fail", "--queue", "a")
    shell.declare("fail", "--queue", "b")
    shell.write("other.py", SIZE)
    shell.declare("size", "path=/nowhere/at/all", "--queue", "b")
    shell.work()
    assert shell("retry", "--failed", "--queue", "b", "--job", "size").out == "1\n"
    assert shell("retry", "--failed", "--queue", "a").out == "1\n"
    assert shell("retry", "--failed", "--job", "fail").out == "1\n"
    assert shell("retry", "--failed").out == "0\n"
    assert shell.report() == [3, 0, 0, 0]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ([], 2, "say which jobs"),
        (["1", "--failed"], 2, "not both"),
        (["1", "--queue", "a"], 2, "go with --failed"),
        (["1"], 2, "job 1 has not failed"),
        (["2", "99"], 1, "there is no job 99"),
        (["2", "1"], 2, "job 1 has not failed"),
        (["0"], 1, "there is no job 0"),
        (["one"], 2, "not a whole number"),
    ],
)
def test_a_retry_that_cannot_be_changes_nothing(
    shell: Home, words: list[str], code: int, why: str
) -> None:
    shell.declare("noop")
    shell.declare_job("fail")
    shell.work()
    before = shell.dump()
    told = shell("retry", *words)
    assert (told.code, told.out) == (code, "")
    assert why in told.err
    assert shell.dump() == before


def test_purge_takes_completed_jobs_and_others_only_if_it_is_told_to(shell: Home) -> None:
    shell.declare("noop", "--each", "n", stdin="1\n2\n3")
    shell.declare_job("fail")
    shell.declare("noop", "--in", "1h", "--queue", "late")
    shell.work()
    assert shell("purge", "--older-than", "1h").out == "0\n"
    assert shell("purge", "--queue", "late").out == "0\n"
    assert shell.report() == [1, 0, 3, 1]
    assert shell.ask("purge") == {"purged": 3}
    assert shell("purge", "--status", "failed").out == "1\n"
    assert shell.report() == [1, 0, 0, 0]
    assert shell("purge", "--status", "pending", "--older-than", "1m").out == "0\n"
    assert shell("purge", "--status", "pending").out == "1\n"
    assert shell.report() == [0, 0, 0, 0]


def test_purge_never_takes_what_is_running(shell: Home) -> None:
    gate = shell.path / "gate"
    shell.declare_job("hold", gate=str(gate))
    worker = shell.worker("--max-jobs", "1").ready()
    wait_until(lambda: shell.report()[1] == 1)
    told = shell("purge", "--status", "processing", "--yes")
    assert (told.code, told.out) == (2, "")
    assert "cannot be purged" in told.err
    for status in ("pending", "completed", "failed"):
        assert shell("purge", "--yes", "--status", status).out == "0\n"
    gate.touch()
    assert worker.end() == 0
    assert shell.report() == [0, 0, 1, 0]


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("yes", 0), ("n", 1), ("", 1), ("\x04", 1)])
def test_purge_asks_at_a_terminal(shell: Home, answer: str, left: int) -> None:
    shell.declare_job("noop")
    shell.work()
    screen = Terminal(shell, "purge", "--queue", "default")
    screen.expect("Delete all completed jobs of the queue 'default' from ")
    screen.expect("[y/N] ")
    screen.type(answer if answer == "\x04" else f"{answer}\n")
    code, text = screen.end()
    assert shell.report() == [0, 0, left, 0]
    assert code == left
    assert ("Deleted nothing." if left else "Deleted 1 completed job.") in text


def test_purge_does_not_ask_who_has_said_yes(shell: Home) -> None:
    shell.declare_job("noop")
    shell.work()
    code, text = Terminal(shell, "purge", "-y").end()
    assert (code, text.splitlines()) == (0, ["1", "Deleted 1 completed job."])


def test_purge_deletes_nothing_at_a_terminal_where_its_question_cannot_be_seen(
    shell: Home,
) -> None:
    shell.declare_job("noop")
    shell.work()
    code, text = Terminal(shell, "purge", stderr=subprocess.DEVNULL).end()
    assert (code, text) == (2, "")
    assert shell.report() == [0, 0, 1, 0]


def test_wait_tells_by_its_exit_code_how_jobs_have_ended(shell: Home) -> None:
    shell.declare_job("noop")
    shell.declare_job("fail")
    shell.work()
    assert shell("wait", 1, 1) == (0, "", "")
    assert shell("wait", 1, 2).code == 1
    assert json.loads(shell("wait", "1", "2", "--json").out) == {"1": "completed", "2": "failed"}
    assert shell("wait", 3) == (
        2, "", "prokerja: there is no job 3; `prokerja report:jobs` lists them\n"
    )  # fmt: skip


def test_wait_ends_when_the_job_does(shell: Home) -> None:
    gate = shell.path / "gate"
    shell.declare_job("hold", gate=str(gate))
    waiting = shell.start("wait", "1", "--timeout", "60")
    worker = shell.worker("--until-empty").ready()
    wait_until(lambda: shell.report()[1] == 1)
    assert waiting.poll() is None
    gate.touch()
    assert waiting.wait(30) == 0
    assert worker.end() == 0


def test_wait_runs_out_of_time(shell: Home) -> None:
    shell.declare("noop", "--each", "n", stdin="1\n2\n3\n")
    told = shell("wait", 1, "--timeout", "0.05s")
    assert (told.code, told.out) == (124, "")
    assert told.err == (
        "prokerja: waited 0.05 s and job 1 has not ended; `prokerja report:job 1` says why\n"
    )
    told = shell("wait", "2", "3", "--timeout", "0", "--json")
    assert (told.code, json.loads(told.out)["exit_code"]) == (124, 124)
    assert "2 jobs, the first is 2, have not ended" in told.err


@pytest.mark.parametrize("words", [["1"], ["+1"]])
def test_an_interrupt_ends_a_wait_without_a_word(shell: Home, words: list[str]) -> None:
    shell.declare_job("noop")
    waiting = shell.start("wait", *words)
    wait_until(lambda: os.path.exists(f"{shell.db}-wal") and has_open(waiting.pid, "inotify"))
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out, err) == (130, b"", b"")


# jobs


def test_jobs_lists_what_each_takes(shell: Home) -> None:
    told = shell("jobs")
    assert (told.code, told.err) == (0, "")
    noop = ["noop(n: int = 0)", "default", "some.py", "Do nothing."]
    assert told.cells[2] == noop
    answer = shell.ask("jobs")
    assert [job["name"] for job in answer["jobs"]] == ["fail", "hold", "noop", "send"]
    assert answer["broken"] == []
    assert answer["jobs"][2]["signature"] == noop[0]
    assert answer["jobs"][3]["queue"] == "emails"
    code, text = Terminal(shell, "jobs").end()
    assert code == 0
    assert "what it does" in text
    assert "Do nothing." in text


def test_a_broken_file_is_named_and_hides_no_other(shell: Home) -> None:
    shell.write("broken.py", "def (:")
    shell.write("sub/lacking.py", "import a_module_that_nobody_has\n")
    told = shell("jobs")
    assert (told.code, len(told.lines), told.err.count("\n")) == (1, 4, 1)
    assert told.err.startswith(f"prokerja: {shell.jobs}/broken.py: line 1: SyntaxError")
    told = shell("jobs", "--load")
    assert (told.code, len(told.lines)) == (1, 4)
    first, second = told.err.splitlines()
    assert first.startswith(f"prokerja: {shell.jobs}/broken.py: SyntaxError")
    assert second.startswith(f"prokerja: {shell.jobs}/sub/lacking.py: ModuleNotFoundError")
    assert "a_module_that_nobody_has" in second
    told = shell("jobs", "--load", "--json")
    assert told.code == 1
    assert [entry["file"] for entry in json.loads(told.out)["broken"]] == [
        str(shell.jobs / "broken.py"), str(shell.jobs / "sub/lacking.py")
    ]  # fmt: skip
    assert shell.declare("noop") == [1]
    assert "lacking.py cannot be used: ModuleNotFoundError" in shell.work().said()


def test_two_jobs_of_one_name_are_told_with_both_files(shell: Home) -> None:
    shell.write("twin.py", SIZE.replace("Size", "Noop"))
    told = shell("jobs")
    assert told.code == 1
    assert told.err.count("\n") == 1
    for part in ("two jobs are called 'noop'", f"{shell.jobs}/some.py", f"{shell.jobs}/twin.py"):
        assert part in told.err


def test_a_jobs_directory_that_is_not_there_is_named(shell: Home) -> None:
    for words in (["jobs"], ["declare:job", "noop"], ["realization:start"]):
        told = shell(*words, "--jobs", "nowhere")
        assert (told.code, told.out) == (2, "")
        assert f"{shell.path}/nowhere" in told.err
        assert "--jobs DIR" in told.err
        assert told.err.count("\n") == 1


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that other users may look into, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_jobs_directory_that_this_user_may_not_read_is_named(shell: Home, public: Path) -> None:
    closed = public / "closed"
    closed.mkdir(mode=0o000)
    home = public / "home"
    home.mkdir()
    if os.getuid() == 0:
        os.chown(home, NOBODY, NOBODY)
    script = (
        "import os, sys\n"
        "from prokerja import cli, settings  # Python itself may be out of sight soon\n"
        "cli.load('jobs'); settings.settings()\n"
        f"if os.getuid() == 0: os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        f"sys.argv[1:] = ['jobs', '--jobs', {str(closed)!r}, '--db', {str(home / 'db')!r}]\n"
        "cli.main()"
    )
    source = str(Path(cli.__file__).parents[1])
    told = shell.execute(
        [sys.executable, "-c", script],
        cwd=public,
        environment={"PYTHONPATH": source, "HOME": str(home)},
    )
    closed.chmod(0o700)
    assert told == (
        2,
        "",
        f"prokerja: {closed}: Permission denied; let this user read it, or move it elsewhere\n",
    )


# Streams


@pytest.mark.parametrize(
    "name", ["report", "report:jobs", "jobs", "report:job 1", "declare:job noop"]
)
def test_nobody_minds_a_reader_that_has_gone(shell: Home, name: str) -> None:
    shell.declare_job("noop")
    told = shell.sh(f"exec 3>&1; {{ prokerja {name}; echo $? >&3; }} | head -c 0; wait")
    assert told.out in ("0\n", "141\n")
    assert told.err == ""


def test_a_complaint_that_nobody_reads_is_no_trouble(shell: Home) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([PROGRAM, "dance"], stderr=write, env=shell.environment, check=False)
    os.close(write)
    assert done.returncode == 141


@pytest.mark.parametrize(
    "words", ["report", "report --json", "declare:job noop", "jobs", "report --help"]
)
def test_an_output_that_takes_no_more_is_reported_in_one_line(shell: Home, words: str) -> None:
    shell.declare_job("noop")
    told = shell.sh(f"prokerja {words} >/dev/full")
    assert told == (1, "", "prokerja: No space left on device; check the disk and the output\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_trouble(shell: Home, closed: str) -> None:
    shell.declare_job("noop")
    for words in ("report", "declare:job noop --each n", "purge"):
        told = shell.sh(f"prokerja {words} {closed}")
        assert told.code == 0, words
        assert told.err in ("", "prokerja: stdin has no values, so nothing was declared\n"), words
    told = shell.sh(f"prokerja dance {closed}")
    assert told.code == 2
    assert "Traceback" not in told.err


def test_an_ascii_terminal_gets_escapes_and_no_traceback(shell: Home) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    told = shell("declare:job", "send", "to=é😀", "--queue", "é😀", environment=ascii_only)
    assert told.code == 0
    assert shell("report:jobs", environment=ascii_only).cells[0][2] == "\\xe9\\U0001f600"
    assert shell("report:jobs").cells[0][2] == "é😀"


# JSON


PARK = """
from prokerja import Await, Job


class Park(Job):
    def payload(self):
        return {}

    def handle(self):
        return Await()
"""


def test_every_answer_is_json_if_asked_for(shell: Home) -> None:
    shell.write("park.py", PARK)
    settings = shell.path / "home" / ".config" / "prokerja"
    settings.mkdir(parents=True)
    (settings / "prokerja.toml").write_text('[notify]\nfailed = ["true"]\n')
    for name in ("noop", "fail", "park"):
        shell.declare_job(name)
    shell.work()
    shell.worker()
    shell.cli("declare:shell", "sleep", "1000")
    wait_until(lambda: shell.running(3))
    answers = {
        ("declare:job", "noop"): dict,
        ("declare:batch",): dict,
        ("declare:shell", "--sh", "true"): dict,
        ("report",): dict,
        ("report:jobs",): list,
        ("report:job", "1"): dict,
        ("events", "--limit", "1"): dict,
        ("retry", "2"): dict,
        ("cancel", "2"): dict,
        ("hold", "4"): dict,
        ("change", "4", "--priority", "1"): dict,
        ("release", "4"): dict,
        ("report", "--why", "4"): dict,
        ("suspend", "4"): dict,
        ("resume", "4"): dict,
        ("resolve", "3"): dict,
        ("queue:pause", "idle"): dict,
        ("queue:resume", "idle"): dict,
        ("queue:limit", "idle", "1"): dict,
        ("queue:rate", "idle", "1/h"): dict,
        ("queue:list",): dict,
        ("schedule:next", "hourly"): dict,
        ("notify:test", "failed"): dict,
        ("purge",): dict,
        ("wait", "3", "--timeout", "0"): dict,
        ("result", "1"): dict,
        ("jobs",): dict,
        ("doctor",): list,
        ("systemd:unit", "--user"): dict,
        ("systemd:install", "--user", "--root", str(shell.path)): dict,
    }
    assert {words[0] for words in answers} == set(NAMES) - {
        "realization:start",
        "help",
        "output",
        "completion",
    }
    for words, kind in answers.items():
        told = shell(*words, "--json")
        assert isinstance(json.loads(told.out), kind), words
        assert told.out.count("\n") == 1
        assert told.out.isascii()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ["declare:job", "dance"]),
        (2, ["declare:job", "noop", "--in", "soon"]),
        (2, ["declare:job", "noop", "--priority", "high"]),
        (2, ["declare:batch", "nowhere.jsonl"]),
        (1, ["report", "--db", "nowhere"]),
        (2, ["report", "surplus"]),
        (2, ["report:jobs", "--status", "lost"]),
        (2, ["report:jobs", "--limit", "0"]),
        (1, ["report:job", "77"]),
        (1, ["result", "77"]),
        (1, ["retry", "77"]),
        (2, ["retry"]),
        (1, ["cancel", "77"]),
        (2, ["cancel"]),
        (1, ["suspend", "77"]),
        (1, ["suspend", "1"]),
        (2, ["suspend"]),
        (1, ["resume", "77"]),
        (1, ["resume", "1"]),
        (1, ["resolve", "77"]),
        (1, ["resolve", "1"]),
        (2, ["resolve"]),
        (2, ["purge", "--older-than", "long"]),
        (2, ["purge", "--status", "processing"]),
        (2, ["wait", "77"]),
        (124, ["wait", "1", "--timeout", "0"]),
        (2, ["jobs", "--jobs", "nowhere"]),
        (2, ["dance"]),
    ],
)
def test_every_error_is_one_line_and_json_if_asked_for(
    shell: Home, code: int, words: list[str]
) -> None:
    shell.declare_job("noop")
    before = shell.dump()
    told = shell(*words, "--json")
    answer = json.loads(told.out)
    assert told.code == code
    assert answer.keys() == {"error", "exit_code"}
    assert answer["exit_code"] == code
    assert told.err == f"prokerja: {answer['error']}\n"
    assert shell.dump() == before
    assert not (shell.path / "nowhere").exists()


def test_a_file_that_stays_locked_is_for_another_time(shell: Home) -> None:
    shell.declare_job("noop")
    script = (
        "import sqlite3, sys\n"
        "from prokerja.repository.sqlite import database; database.PATIENCE_SECONDS = 0.1\n"
        f"held = sqlite3.connect({str(shell.db)!r}); held.execute('BEGIN IMMEDIATE')\n"
        "sys.argv[1:] = ['declare:job', 'noop', '--json']\n"
        "from prokerja.cli import main; main()"
    )
    told = shell.execute([sys.executable, "-c", script])
    assert told.code == 75
    assert json.loads(told.out)["exit_code"] == 75
    assert "try again" in told.err


def test_a_file_that_others_are_just_closing_opens_all_the_same(shell: Home) -> None:
    shell.declare_job("noop")
    script = (
        "import sqlite3\n"
        "for _ in range(500):\n"
        f"    connection = sqlite3.connect({str(shell.db)!r}, timeout=30)\n"
        "    connection.execute('SELECT * FROM lane').fetchall()\n"
        "    connection.close()"
    )
    other = subprocess.Popen([sys.executable, "-c", script])
    opened = 0
    while other.poll() is None:
        SQLiteRepository(str(shell.db)).close()
        opened += 1
    assert other.returncode == 0
    assert opened > 1


def test_a_worker_says_on_stderr_what_it_does_one_line_an_event(shell: Home) -> None:
    shell.declare_job("noop")
    shell.declare_job("fail", why="two\nlines")
    said = shell.work().said()
    names = "fail, hold, noop, send"
    assert (
        said.splitlines()[0]
        == f"prokerja: worker 1 started: 1 realizer, queues: all, jobs: {names}"
    )
    assert "prokerja: job 2 fail: attempt 1 failed, for good: ValueError: two lines\n" in said
    assert said.splitlines()[-1] == ("prokerja: worker stopped: 1 attempt completed, 1 failed")
    assert all(line.startswith("prokerja: ") for line in said.splitlines())


def test_a_worker_at_a_terminal_shows_a_bar_until_the_queue_is_empty(shell: Home) -> None:
    shell.declare("noop", "--each", "n", stdin="\n".join(map(str, range(50))))
    code, text = Terminal(shell, "realization:start", "--until-empty", "--realizers", "2").end()
    assert code == 0
    assert "50/50" in text
    assert "worker stopped: 50 attempts completed" in text


def test_a_worker_obeys_an_interrupt_and_leaves_in_good_order(shell: Home) -> None:
    shell.declare("noop", "--in", "1h")
    worker = shell.worker("--queue", "default", "--grace", "5s").ready()
    worker.send(signal.SIGINT)
    assert worker.end() == 0
    assert worker.said().endswith("worker stopped: 0 attempts completed, 0 failed\n")
    assert "Traceback" not in worker.said()
