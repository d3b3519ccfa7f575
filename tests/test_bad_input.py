"""What nobody should type, and what prokerja says to it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.harness.home import PROGRAM, Home, Told, opened
from tests.harness.jobs import SOME

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = "x" * 10_000
MANY_DIGITS = "9" * 5000
RTL = "שלום"
TEXTS = {
    "emoji": "🙂🏳️‍🌈",
    "right to left": RTL,
    "override": "a\u202egnp.exe",
    "newline": "a\nb",
    "escape": "\x1b[31mred",
    "long": LONG,
    "long emoji": "🙂" * 10_000,
    "quote": "'; DROP TABLE declaration; --",
    "spaces": "  ",
}
"""What may come as a name or a value, from a person or from a program."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One pending and one failed job; for what leaves no trace."""
    with opened(tmp_path_factory.mktemp("bad"), "some.py", SOME, "my jobs") as shell:
        shell.declare_job("fail")
        shell.work()
        shell.declare("noop", "--in", "1d")
        yield shell


def refused(shell: Home, *words: object, code: int = 2, stdin: str | bytes = b"") -> str:
    """The one line that says why; nothing else has come of it."""
    before = shell.dump()
    told = shell(*words, stdin=stdin)
    assert (told.code, told.out) == (code, "")
    assert shell.dump() == before
    return complaint(told)


def complaint(told: Told) -> str:
    assert "Traceback" not in told.err
    assert told.err.startswith("prokerja: ")
    assert told.err.endswith("\n")
    line = told.err.removeprefix("prokerja: ").removesuffix("\n")
    assert line.isprintable()
    assert len(line) < 1000
    return line


# Jobs and fields


@pytest.mark.parametrize("name", ["dance", "", "Noop", "noop ", "../noop", *TEXTS.values()])
def test_an_unknown_job_is_named(shared: Home, name: str) -> None:
    line = refused(shared, "declare:job", "--", name)
    assert line.startswith("unknown job ")
    assert "`prokerja jobs`" in line or "did you mean noop?" in line


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["send"], "'to' is missing"),
        (["send", "to=x", "colour=red"], "'colour' is unknown"),
        (["send", "to=x", "copies=many"], "'copies' is 'many', not int"),
        (["send", "to=x", "copies=1.5"], "'copies' is '1.5', not int"),
        (["send", "to:=5"], "'to' is 5, not str"),
        (["send", "to:=null"], "'to' is None, not str"),
        (["send", "to=x", "urgent=perhaps"], "'urgent' is 'perhaps', not bool"),
        (["send", "to=x", "tags:=[1]"], "'tags' is an array"),
        (["send", "to=x", f"copies={MANY_DIGITS}"], "'copies' is '999"),
        (["send", "to=x", f"{LONG}=1"], "'xxx"),
        (["send", f"to:={json.dumps({LONG: LONG})}"], "'to' is an object"),
    ],
)
def test_a_payload_that_does_not_fit_is_reported_with_what_the_job_takes(
    shared: Home, words: list[str], fault: str
) -> None:
    line = refused(shared, "declare:job", *words)
    assert fault in line
    assert line.startswith("send cannot take this payload: ")
    assert "give what it takes: send(to: str, subject: str = '', copies: int = 1" in line


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["noop", "n"], "'n' is not a field"),
        (["noop", "=5"], "'=5' names no field"),
        (["noop", ""], "'' is not a field"),
        (["noop", "n=1", "n=2"], "'n' is given twice"),
        (["noop", "n:={"], "is not JSON"),
        (["noop", "n:=NaN"], "NaN"),
        (["noop", "n:=1e999"], "1e999"),
        (["noop", f"n:={MANY_DIGITS}"], "digits"),
        (["noop", "n=1", "--data", "{}"], "both by --data and by key=value"),
        (["noop", "--data", "[1]"], "the payload must be a JSON object"),
        (["noop", "--data", "5"], "the payload must be a JSON object"),
        (["noop", "--data", "null"], "the payload must be a JSON object"),
        (["noop", "--data", "{"], "--data is not JSON: "),
        (["noop", "--data", ""], "--data is not JSON: "),
        (["noop", "--data", '{"n": NaN}'], "NaN has no place in JSON"),
        (["noop", "--data", '{"n": -Infinity}'], "-Infinity has no place in JSON"),
        (["noop", "--data", '{"n": 1e999}'], "'n' is inf, not int"),
        (["noop", "--data", f'{{"n": {MANY_DIGITS}}}'], "too many digits"),
        (["send", "--data", '{"to": ' + "[" * 100_000], "nested too deeply"),
        (["noop", "--data", "@nowhere"], "cannot read '@nowhere': No such file or directory"),
        (["noop", "--data", "@."], "cannot read '@.': Is a directory"),
        (["noop", "--data", "@" + LONG], "cannot read '@xxx"),
        (["noop", "--data", "-", "--each", "n"], "both read stdin"),
        (["noop", "n=1", "--each", "n"], "'n' is given both by --each and in the payload"),
        (["noop", "-0"], "-0 goes with --each"),
    ],
)
def test_a_payload_that_is_not_one_is_refused(shared: Home, words: list[str], fault: str) -> None:
    assert fault in refused(shared, "declare:job", *words, stdin="1\n")


@pytest.mark.parametrize("key", ["", "a=b", "m", LONG])
def test_a_key_that_is_no_field_is_refused(shared: Home, key: str) -> None:
    line = refused(shared, "declare:job", "noop", "--each", key, stdin="1\n")
    assert "is not a field" in line or "is unknown" in line


def test_a_payload_above_a_mebibyte_is_refused_however_it_is_declared(
    shared: Home, tmp_path: Path
) -> None:
    big = "x" * 2 * 2**20
    (tmp_path / "big.json").write_text(json.dumps({"to": big}))
    (tmp_path / "big.jsonl").write_text(json.dumps({"job": "send", "payload": {"to": big}}))
    (tmp_path / "edge.jsonl").write_text(
        json.dumps({"job": "send", "payload": {"to": big[: 2**20]}})
    )
    doors: list[tuple[list[object], str]] = [
        (["declare:job", "send", "--data", f"@{tmp_path / 'big.json'}"], ""),
        (["declare:job", "send", "--data", "-"], json.dumps({"to": big})),
        (["declare:job", "send", "--each", "to"], big),
        (["declare:job", "send", "--each", "to"], f"small\n{big}\nsmall\n"),
        (["declare:batch", tmp_path / "big.jsonl"], ""),
        (["declare:batch", tmp_path / "edge.jsonl"], ""),
    ]
    for words, stdin in doors:
        line = refused(shared, *words, stdin=stdin)
        assert re.search("(larger|more) than 1 MiB|longer than 2 MiB", line), line
        assert re.search("pass the path", line), line


def test_a_payload_of_just_a_mebibyte_is_taken(shell: Home) -> None:
    text = "x" * (2**20 - len('{"to":""}'))
    assert shell.declare("send", "--data", "-", stdin=json.dumps({"to": text})) == [1]
    assert shell.ask("report:job", 1)["payload"] == {"to": text}
    assert shell("report:job", 1).code == 0


def test_an_endless_value_is_refused_before_memory_runs_out(shared: Home) -> None:
    with subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE) as endless:
        told = subprocess.run(
            [PROGRAM, "declare:job", "send", "--each", "to"],
            stdin=endless.stdout,
            capture_output=True,
            env=shared.environment,
            timeout=60,
            check=False,
        )
        endless.kill()
    assert (told.returncode, told.stdout) == (2, b"")
    assert b"value 1 is larger than 1 MiB" in told.stderr


# Text in every field


def test_any_text_is_kept_as_it_came_and_breaks_no_report(shell: Home) -> None:
    texts = [*TEXTS.values(), "a\0b", "\ud800", "\udcff and \ud83d alone"]
    lines = [json.dumps({"job": "fail", "payload": {"why": text}}) for text in texts]
    assert shell("declare:batch", stdin="\n".join(lines)).code == 0
    shell.work()
    for id, text in enumerate(texts, 1):
        job = shell.ask("report:job", id)
        assert job["payload"] == {"why": text}
        assert (job["status"], job["error"][:10]) == ("failed", "ValueError")
        told = shell("report:job", id)
        assert (told.code, told.err) == (0, "")
        assert all(map(str.isprintable, told.lines))
    told = shell("report:jobs")
    assert (told.code, len(told.lines)) == (0, len(texts))
    assert all(cell.isprintable() for row in told.cells for cell in row)


@pytest.mark.parametrize(
    "name", ["", LONG, "a\nb", "a\0b", "\ud800", "x" * 256, "a\u202eb", "\x1b["]
)
def test_a_queue_needs_a_name_that_can_be_shown(shared: Home, name: str) -> None:
    line = refused(shared, "declare:batch", stdin=json.dumps({"job": "noop", "queue": name}))
    assert line.startswith("line 1: queue: ")
    assert "1 to 255 printable characters" in line
    if "\0" not in name and "\ud800" not in name:
        assert refused(shared, "declare:job", "noop", "--queue", name) == line[len("line 1: ") :]


@pytest.mark.parametrize("name", ["🙂", RTL, "x" * 255, "--queue", "'; --", "a b"])
def test_any_name_that_can_be_shown_is_a_queue(shell: Home, name: str) -> None:
    [id] = shell.declare("noop", f"--queue={name}")
    assert shell.ask("report:job", id)["queue"] == name
    assert shell.ask("report", f"--queue={name}")["pending"] == 1
    assert shell("purge", "--yes", "--status", "pending", f"--queue={name}").out == "1\n"


@pytest.mark.parametrize("text", ["", RTL, LONG, "'; DROP TABLE declaration; --"])
def test_filters_that_match_nothing_find_nothing(shared: Home, text: str) -> None:
    for name in ("report:jobs", "report", "retry", "purge"):
        more = {"report:jobs": ["--job", text], "retry": ["--failed"]}.get(name, [])
        told = shared(name, *more, f"--queue={text}")
        assert (told.code, told.err) == (0, ""), name
    assert shared.report() == [1, 0, 0, 1]


# Numbers, durations and times


DURATIONS = ["-5", "-5s", "soon", "", "5 m", "1e9", "nan", "inf", "5y", "٣", "1d2h"]
DURATIONS += ["99999999999d", MANY_DIGITS, LONG]


@pytest.mark.parametrize("text", DURATIONS)
def test_a_duration_that_is_not_one_is_named_with_its_option(shared: Home, text: str) -> None:
    line = refused(shared, "declare:job", "noop", f"--in={text}")
    assert line.startswith("--in: ")
    assert "write 90, 30s, 5m, 2h or 7d" in line or "longer than a hundred years" in line


def test_every_command_that_takes_a_duration_refuses_what_is_not_one(shared: Home) -> None:
    for option, words in (
        ("--grace", ["realization:start", "--until-empty"]),
        ("--older-than", ["purge"]),
        ("--timeout", ["wait", "2"]),
        ("--timeout", ["declare:job", "noop"]),
        ("--retry-after", ["declare:job", "noop"]),
    ):
        line = refused(shared, *words, option, "-1s")
        assert line == f"{option}: '-1s' is not a duration; write 90, 30s, 5m, 2h or 7d"


def test_a_job_needs_time_to_run(shared: Home) -> None:
    assert "timeout" in refused(shared, "declare:job", "noop", "--timeout", "0")


TIMES = [
    "tomorrow",
    "",
    "2030-13-01",
    "2030-02-30T00:00",
    "25:00",
    "5",
    "0000-01-01",
    "10000-01-01",
]


@pytest.mark.parametrize("text", [*TIMES, LONG, MANY_DIGITS])
def test_a_time_that_is_not_one_is_refused(shared: Home, text: str) -> None:
    line = refused(shared, "declare:job", "noop", f"--at={text}")
    assert line.startswith("--at: ")
    assert "write 2030-01-31T18:00" in line


@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00Z", "0001-01-01T00:00Z", "2001-01-01", "20010101T0000"]
)
def test_a_time_in_the_past_is_due_now(shell: Home, text: str) -> None:
    [id] = shell.declare("noop", "--at", text)
    shell.work()
    assert shell.ask("report:job", id)["status"] == "completed"


def test_the_last_time_that_can_be_written_is_shown(shell: Home) -> None:
    [id] = shell.declare("noop", "--at", "9999-12-31T23:59:59Z")
    assert shell.ask("report:job", id)["due_at"].startswith("9999-12-31T23:59:59")
    assert shell("report:job", id).code == 0


def test_a_delay_and_a_time_at_once_contradict_each_other(shared: Home) -> None:
    line = refused(shared, "declare:job", "noop", "--in", "1h", "--at", "2030-01-01")
    assert "not both" in line


NUMBERS = ["1001", "-1001", "9" * 18, "9" * 19, "1.5", "high", "", "--5", "1_0", "٣"]


@pytest.mark.parametrize("number", [*NUMBERS, LONG, MANY_DIGITS])
def test_a_priority_is_a_small_whole_number(shared: Home, number: str) -> None:
    assert "priority" in refused(shared, "declare:job", "noop", f"--priority={number}")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["declare:job", "noop", "--retries", "-1"], "retries"),
        (["declare:job", "noop", "--retries", "1001"], "retries"),
        (["report:jobs", "--limit", "0"], "--limit"),
        (["report:jobs", "--limit", "-5"], "--limit"),
        (["report:jobs", "--limit", "9" * 30], "--limit"),
        (["report:jobs", "--status", "lost"], "--status: 'lost' is none of pending"),
        (["report:jobs", "--status", LONG], "--status: 'xxx"),
        (["purge", "--status", ""], "--status"),
        (["realization:start", "--realizers", "0"], "realizers"),
        (["realization:start", "--realizers", "-1"], "realizers"),
        (["realization:start", "--realizers", "1000000000"], "realizers"),
        (["realization:start", "--max-jobs", "0"], "max_jobs"),
        (["realization:start", "--queue", ""], "queue"),
        (["realization:start", "--queue", LONG], "queue"),
    ],
)
def test_an_option_out_of_its_range_is_named(shared: Home, words: list[str], what: str) -> None:
    assert what in refused(shared, *words)


# Ids


@pytest.mark.parametrize("id", ["99", "0", "9" * 18])
def test_an_id_that_is_not_there_is_reported(shared: Home, id: str) -> None:
    for name, code in {"retry": 1, "wait": 2, "report:job": 1, "output": 1}.items():
        line = refused(shared, name, id, code=code)
        assert line == f"there is no job {id}; `prokerja report:jobs` lists them"


@pytest.mark.parametrize("id", ["one", "", "1.0", "0x1", "9" * 19, MANY_DIGITS, *TEXTS.values()])
def test_what_is_not_an_id_is_reported(shared: Home, id: str) -> None:
    assert "not a whole number" in refused(shared, "report:job", "--", id)


@pytest.mark.parametrize("name", ["retry", "wait"])
def test_every_command_that_takes_ids_names_what_is_not_one(shared: Home, name: str) -> None:
    assert "'one' is not a whole number" in refused(shared, name, "2", "one")


def test_what_has_not_failed_and_is_due_cannot_be_retried(shell: Home) -> None:
    shell.declare("noop")
    assert refused(shell, "retry", "1") == (
        "job 1 has not failed, and is due already; `prokerja report:job 1` says why it is not"
        " running"
    )
    shell.work()
    assert refused(shell, "retry", "1") == (
        "job 1 has not failed; only failed jobs, and pending ones that are not due yet, can be"
        " retried"
    )


# Files


def test_a_line_that_is_no_utf8_is_taken_byte_by_byte(shell: Home) -> None:
    told = shell("declare:batch", stdin=b'{"job": "send", "payload": {"to": "caf\xe9"}}')
    assert told.out == "1 1 1\n"
    assert shell.ask("report:job", 1)["payload"] == {"to": "caf\udce9"}


def test_a_byte_order_mark_is_no_trouble(shell: Home) -> None:
    assert shell("declare:batch", stdin=b'\xef\xbb\xbf{"job": "noop"}\r\n').out == "1 1 1\n"


@pytest.mark.parametrize("name", ["nowhere", ".", "x/y", LONG, ""])
def test_a_batch_that_cannot_be_read_is_named(shared: Home, name: str) -> None:
    line = refused(shared, "declare:batch", "--", name)
    assert line.startswith("cannot read ")
    assert line.endswith("; check the path")


@pytest.mark.parametrize("kind", ["text", "directory", "database", "newer", "device"])
def test_a_file_that_is_no_queue_is_left_as_it_is(shell: Home, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "other"
    if kind == "text":
        file.write_text("Dear diary, " * 100)
    elif kind == "directory":
        file.mkdir()
    elif kind == "device":
        file = Path("/dev/null")
    else:
        make_database(file, newer=kind == "newer")
    before = file.read_bytes() if file.is_file() else b""
    for words in (["declare:job", "noop"], ["report"], ["realization:start"], ["declare:batch"]):
        told = shell(*words, "--db", str(file))
        assert (told.code, told.out) == (1, "")
        assert str(file) in complaint(told)
        assert ";" in told.err
    assert before == (file.read_bytes() if file.is_file() else b"")


def test_a_path_that_is_too_long_is_shortened_where_it_is_reported(shared: Home) -> None:
    for words in (
        ["report", "--db", LONG],
        ["jobs", "--jobs", LONG],
        ["declare:job", "noop", "--db", LONG],
    ):
        told = shared(*words)
        assert told.code in (1, 2)
        assert "…" in complaint(told)


def make_database(file: Path, *, newer: bool) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE diary (entry TEXT)")
    if newer:
        connection.execute("PRAGMA user_version = 1000")
        connection.execute(f"PRAGMA application_id = {0x50524B4A}")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "toml", ["db = 5", "colour = 'red'", "db =", "keep_failed = 'long'", "\xff"]
)
def test_a_configuration_that_is_wrong_is_named(shell: Home, tmp_path: Path, toml: str) -> None:
    folder = tmp_path / "config" / "prokerja"
    folder.mkdir(parents=True)
    (folder / "prokerja.toml").write_bytes(toml.encode("latin-1"))
    told = shell("report", environment={"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert (told.code, told.out) == (2, "")
    assert "prokerja.toml" in complaint(told) or "keep_failed" in complaint(told)


# Jobs that misbehave, as report:job tells of them

UNRULY = """
    import os, sys, time
    from dataclasses import dataclass

    from prokerja import Job

    @dataclass
    class Unruly(Job):
        how: str

        def handle(self):
            return getattr(self, self.how)()

        def print_binary(self):
            sys.stdout.buffer.write(bytes(range(256)) * 10)
            os.write(1, b"\\xff\\x00\\x1b")

        def close_stdout(self):
            sys.stdout.close()
            os.close(1)

        def fork_a_daemon(self):
            if os.fork() == 0:
                os.setsid()
                open(f"{os.environ['HOME']}.daemon", "w").write(str(os.getpid()))
                time.sleep(600)
                os._exit(0)

        def exit(self):
            sys.exit(3)

        def exit_in_peace(self):
            sys.exit()

        def interrupt(self):
            raise KeyboardInterrupt

        def return_a_set(self):
            return {1, 2}

        def return_nan(self):
            return float("nan")

        def return_itself(self):
            return self

        def return_a_surrogate(self):
            return "\\ud800"

        def delete_its_file(self):
            os.remove(__file__)

        def print_much(self):
            for _ in range(128):
                sys.stdout.write("x" * 2**16 + "\\n")
"""
OUTCOMES: dict[str, tuple[str, str | None]] = {
    "print_binary": ("completed", None),
    "close_stdout": ("completed", None),
    "fork_a_daemon": ("completed", None),
    "exit": ("failed", "SystemExit"),
    "exit_in_peace": ("failed", "SystemExit"),
    "interrupt": ("failed", "KeyboardInterrupt"),
    "return_a_set": ("failed", "set"),
    "return_nan": ("failed", "not JSON"),
    "return_itself": ("failed", "JSON"),
    "return_a_surrogate": ("completed", None),
    "delete_its_file": ("completed", None),
    "print_much": ("completed", None),
}


def test_jobs_that_misbehave_are_told_of_and_take_nothing_with_them(shell: Home) -> None:
    shell.write("unruly.py", UNRULY)
    values = "\n".join(OUTCOMES)
    ids = shell.declare("unruly", "--each", "how", stdin=values)
    shell.declare("noop", "--priority", "-1")
    log = shell.path / "log"
    with log.open("wb") as stderr:
        command = [PROGRAM, "realization:start", "--until-empty"]
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stderr=stderr, env=shell.environment, timeout=90,
            check=False,
        ).returncode  # fmt: skip
    assert not psutil.pid_exists(int((shell.path / "home.daemon").read_text()))
    assert code == 0
    assert b"Traceback" not in log.read_bytes()
    found = {how: shell.ask("report:job", id) for how, id in zip(OUTCOMES, ids, strict=True)}
    for how, (status, error) in OUTCOMES.items():
        assert (how, found[how]["status"]) == (how, status)
        assert error is None or error in found[how]["error"], found[how]["error"]
    assert shell.ask("report:job", ids[-1] + 1)["status"] == "completed"


def test_a_jobs_directory_with_a_file_that_cannot_be_imported_serves_the_others(
    shell: Home,
) -> None:
    shell.write("lacking.py", "import nothing_of_that_name\n")
    shell.declare_job("noop")
    assert "lacking.py cannot be used: ModuleNotFoundError" in shell.work().said()
    assert shell.report() == [0, 0, 1, 0]


def test_a_file_of_jobs_that_no_parser_takes_is_named_where_its_job_is_asked_for(
    shell: Home,
) -> None:
    file = shell.write("later.py", "class Later(Job:\n    def handle(self): pass\n")
    line = complaint(shell("declare:job", "later"))
    assert line.startswith("unknown job 'later'")
    assert f"{file}, line 1: SyntaxError" in line


def test_no_bad_input_is_too_much_for_a_program_without_a_home() -> None:
    bare: dict[str, Any] = {"env": {"PATH": os.environ["PATH"]}, "capture_output": True}
    done = subprocess.run([sys.executable, "-m", "prokerja", "dance"], check=False, **bare)
    assert done.returncode == 2
    assert b"No such command 'dance'" in done.stderr
