"""Declarations that come slowly, or in great number: nobody waits until all of them are there."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from prokerja import Queue
from tests.harness.home import PROGRAM, Home, inside
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENOUGH = 3000
"""More than are held in memory."""


@pytest.mark.parametrize("before", [1, ENOUGH])
@pytest.mark.parametrize("command", [["declare:batch"], ["declare:job", "noop", "--each", "n"]])
def test_nobody_waits_for_a_slow_writer_at_the_other_end_of_the_pipe(
    shell: Home, command: list[str], before: int
) -> None:
    line = b'{"job": "noop"}\n' if command == ["declare:batch"] else b"1\n"
    with subprocess.Popen(
        [PROGRAM, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=shell.environment
    ) as slow:
        assert slow.stdin is not None
        slow.stdin.write(line * before)
        slow.stdin.flush()
        wait_until(lambda: shell.look("SELECT 1 FROM catalog"))
        assert shell.declare("noop") == [1]
        shell.work()
        out, _ = slow.communicate(line, timeout=60)
    assert slow.returncode == 0
    assert out.split()[-1] == b"%d" % (before + 2)
    assert shell.report() == [before + 1, 0, 1, 0]


def test_jobs_of_many_lanes_and_times_come_out_of_the_spool_as_they_went_in(shell: Home) -> None:
    asked = [
        {"job": "noop", "payload": {"n": n}, "queue": f"q{n % 7}", "priority": n % 5,
         "at": f"203{n % 9}-01-01T00:00:00Z", "retries": n % 3, "timeout": n % 4 + 1}
        for n in range(ENOUGH)
    ]  # fmt: skip
    lines = "".join(json.dumps(line) + "\n" for line in asked)
    assert shell("declare:batch", stdin=lines).out == f"{ENOUGH} 1 {ENOUGH}\n"
    for id in (1, 501, 1000, 1001, 2222, ENOUGH):
        found, given = shell.ask("report:job", id), asked[id - 1]
        assert {key: found[key] for key in ("job", "payload", "queue", "priority", "retries")} == {
            key: given[key] for key in ("job", "payload", "queue", "priority", "retries")
        }
        assert found["due_at"].startswith(str(given["at"])[:10])
        assert found["timeout"] == given["timeout"]
    wrong = """
        SELECT count(*) FROM lane WHERE pending <> (
            SELECT count(*) FROM pending JOIN declaration AS d ON d.id = declaration
            AND d.due_at = pending.due_at AND d.lane = pending.lane WHERE pending.lane = lane.id)"""
    assert shell.look(wrong) == [(0,)]
    assert shell.report() == [ENOUGH, 0, 0, 0]


@pytest.mark.parametrize("door", ["shell", "python"])
def test_without_room_in_the_temporary_directory_nothing_is_declared(
    shell: Home, door: str
) -> None:
    program = """
import sys
from prokerja.cli import run
from prokerja import declare_many
from prokerja.errors import TryAgain
class Noop:
    def payload(self):
        return {"pad": "x" * 1000}
    def handle(self):
        pass
try:
    declare_many(Noop() for _ in range(10_000))
except TryAgain as error:
    print(f"prokerja: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""
    shell.declare("noop")
    line = json.dumps({"job": "send", "payload": {"to": "x" * 1000}}) + "\n"
    words = [PROGRAM, "declare:batch"] if door == "shell" else [sys.executable, "-c", program]
    limited = ["sh", "-c", 'ulimit -f 1024; exec "$@"', "sh", *words]
    told = shell.execute(limited, stdin=line * 10_000)
    assert told.code == 75, told
    assert "cannot keep what was read in the temporary directory" in told.err
    assert "nothing was declared; make room there, or set TMPDIR, and try again" in told.err
    assert told.err.count("\n") == 1
    assert shell.report() == [1, 0, 0, 0]


def test_what_was_put_aside_is_let_go_of_though_the_source_breaks(tmp_path: Path) -> None:
    class Noop:
        def payload(self) -> dict[str, int]:
            return {}

        def handle(self) -> None:
            pass

    def source() -> Iterator[Noop]:
        yield from itertools.repeat(Noop(), ENOUGH)
        raise LookupError

    queue = Queue(tmp_path / "queue")
    with pytest.raises(LookupError):
        queue.declare_many(source())
    execute = inside(queue).database.execute
    assert execute("SELECT name FROM sqlite_temp_schema").fetchall() == []
    [pages] = execute("PRAGMA temp.page_count").fetchone()
    assert pages < 10
    assert queue.declare_many(itertools.repeat(Noop(), ENOUGH)) == range(1, ENOUGH + 1)
    queue.close()
