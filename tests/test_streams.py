"""Standard streams that a neighbour has made non-blocking: the program waits, and loses nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import termios
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest

from tests.harness.home import PROGRAM, Home, opened
from tests.harness.jobs import SOME
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BATCH = b'{"job": "noop", "payload": {"n": 1}}\n'
ROOM_BYTES = 2**16
"""What a pipe of Linux or macOS holds at most, unless it is told otherwise."""


class Pair(NamedTuple):
    """Two ends: one is ours, the other is shared with a program."""

    ours: int
    theirs: int


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def shell(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    with opened(tmp_path, "some.py", SOME, "my jobs") as shell:
        shell.environment["PYTHONUNBUFFERED"] = request.param
        yield shell


@pytest.fixture
def source() -> Iterator[Pair]:
    """A pipe to a program's stdin."""
    theirs, ours = os.pipe()
    yield from closing(Pair(ours, theirs))


@pytest.fixture
def sink() -> Iterator[Pair]:
    """A pipe from a program's output."""
    yield from closing(Pair(*os.pipe()))


@pytest.fixture
def terminal() -> Iterator[Pair]:
    yield from closing(Pair(*os.openpty()))


def closing(pair: Pair) -> Iterator[Pair]:
    yield pair
    for end in pair:
        with contextlib.suppress(OSError):
            os.close(end)


def started(
    shell: Home,
    *words: object,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """The program, with our ends of its streams."""
    return subprocess.Popen(
        [PROGRAM, *map(str, words)],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=shell.path,
        env=shell.environment,
    )


def waits(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has opened its database and sleeps, or has left."""
    if process.poll() is not None:
        return True
    with contextlib.suppress(psutil.Error):
        child = psutil.Process(process.pid)
        is_open = any(file.path.endswith("sqlite3") for file in child.open_files())
        return is_open and child.status() == psutil.STATUS_SLEEPING
    return False


def unread_bytes(end: int) -> int:
    return int.from_bytes(fcntl.ioctl(end, termios.FIONREAD, bytes(4)), "little")


def drained(pair: Pair, process: subprocess.Popen[bytes]) -> bytes:
    """All that the program has written, which is the only one that still can."""
    os.close(pair.theirs)
    written = b""
    with contextlib.suppress(OSError):  # how Linux says that nobody is at a terminal any more
        while piece := os.read(pair.ours, ROOM_BYTES):
            written += piece
    process.wait()
    return written


def fill(shell: Home) -> None:
    """Declare more jobs than a pipe can hold a list of."""
    told = shell("declare:batch", stdin=BATCH * 2000)
    assert (told.code, told.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "first", "last", "told"),
    [
        (["declare:batch"], BATCH, BATCH, b"2 1 2\n"),
        (["declare:batch", "-"], BATCH + b'{"job": ', b'"noop"}', b"2 1 2\n"),
        (["declare:job", "noop", "--each", "n"], b"1\n2", b"3\n", b"1\n2\n"),
        (["declare:job", "noop", "--each", "n", "-0"], b"1\0", b"2", b"1\n2\n"),
        (["declare:job", "noop", "--data", "-"], b'{"n": ', b"5}", b"1\n"),
    ],
)
def test_a_gap_in_an_input_that_does_not_block_is_not_its_end(
    shell: Home, source: Pair, words: list[str], first: bytes, last: bytes, told: bytes
) -> None:
    os.set_blocking(source.theirs, False)
    os.write(source.ours, first)
    process = started(shell, *words, stdin=source.theirs)
    wait_until(lambda: waits(process) and not unread_bytes(source.theirs))
    os.write(source.ours, last)
    os.close(source.ours)
    assert process.communicate() == (told, b"")
    assert process.returncode == 0


def test_an_input_may_stop_blocking_at_any_time(shell: Home, source: Pair) -> None:
    process = started(shell, "declare:batch", stdin=source.theirs)
    for blocks in (True, False, True, False):
        os.write(source.ours, BATCH)
        wait_until(lambda: waits(process) and not unread_bytes(source.theirs))
        os.set_blocking(source.theirs, blocks)
    os.close(source.ours)
    assert process.communicate() == (b"4 1 4\n", b"")


def test_a_question_at_a_terminal_that_does_not_block_waits_for_its_answer(
    shell: Home, terminal: Pair
) -> None:
    fill(shell)
    os.set_blocking(terminal.theirs, False)
    ends = {"stdin": terminal.theirs, "stderr": terminal.theirs}
    process = started(shell, "purge", "--status", "pending", **ends)
    wait_until(lambda: waits(process))
    os.write(terminal.ours, b"y\n")
    assert process.communicate()[0] == b"2000\n"


def written(shell: Home, sink: Pair, changes: str, streams: Sequence[str], *words: object) -> bytes:
    """All that comes by streams that stop blocking before they are full, or when they are."""
    os.set_blocking(sink.theirs, changes != "before")
    process = started(shell, *words, **dict.fromkeys(streams, sink.theirs))
    wait_until(lambda: unread_bytes(sink.ours) > 1000 and asleep(process))
    os.set_blocking(sink.theirs, False)
    text = drained(sink, process)
    process.communicate()
    assert len(text) > ROOM_BYTES
    return text


def asleep(process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        return True
    return psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING


either = pytest.mark.parametrize("changes", ["before", "meanwhile"])


@either
@pytest.mark.parametrize("form", ["--limit=2000", "--json"])
def test_a_list_comes_whole_by_an_output_that_does_not_block(
    shell: Home, sink: Pair, form: str, changes: str
) -> None:
    fill(shell)
    words = ["report:jobs", "--limit", 2000, form]
    assert written(shell, sink, changes, ["stdout"], *words).decode() == shell(*words).out


@either
def test_every_id_comes_by_an_output_that_does_not_block(
    shell: Home, sink: Pair, changes: str
) -> None:
    (shell.path / "many.jsonl").write_bytes(BATCH * 20_000)
    ids = written(shell, sink, changes, ["stdout"], "declare:batch", "many.jsonl", "--ids")
    assert list(map(int, ids.split())) == list(range(1, 20_001))


@either
def test_every_complaint_comes_by_a_stderr_that_does_not_block(
    shell: Home, sink: Pair, changes: str
) -> None:
    for number in range(1000):
        shell.write(f"broken_{number}.py", "def (:")
    assert written(shell, sink, changes, ["stderr"], "jobs").decode() == shell("jobs").err


@either
def test_a_table_comes_whole_to_a_terminal_that_does_not_block(
    shell: Home, terminal: Pair, changes: str
) -> None:
    fill(shell)
    ends = ["stdin", "stdout", "stderr"]
    text = written(shell, terminal, changes, ends, "report:jobs", "--limit", 2000)
    assert [line.split()[0] for line in text.splitlines() if b"noop" in line] == [
        b"%d" % id for id in range(2000, 0, -1)
    ]
