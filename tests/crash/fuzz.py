"""Fuzz: whatever comes in, at any door, never ends in a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sqlite3
import sys
import traceback
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from jobs.noop import Noop
from prokerja import Job
from prokerja.cli import dispatch
from prokerja.errors import ProkerjaError
from prokerja.queue import Queue
from prokerja.worker.wire.channel import Channel
from prokerja.worker.wire.messages import Report, WireError
from tests.crash.guided import guide
from tests.crash.inputs import batches, command_lines, options, payloads, rows, values
from tests.crash.ledger import Broken, Ledger
from tests.crash.puppet import puppet
from tests.crash.reports import framed, noise, pages, pieces, reports
from tests.crash.site import Site
from tests.crash.specimen import JOBS, make

if TYPE_CHECKING:
    from collections.abc import Callable

FULL, SHORT = 100_000, 800
"""Inputs of one run."""
SHARES: dict[str, float] = {
    "command lines": 0.1, "JSON Lines": 0.2, "payloads": 0.15, "options": 0.1, "plain SQL": 0.2,
    "bytes on the wire": 0.15, "reports on the wire": 0.1,
}  # fmt: skip


@dataclass
class Anything(Job):
    """A noop whose field takes what noop's own does not."""

    n: Any

    name = "noop"

    def handle(self) -> None:
        """Return at once."""


class Doors:
    """Every way into prokerja, with one queue behind them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._batch = os.path.join(site.folder, "batch")
        self._queue = Queue(site.db)

    def strategies(self) -> dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]]:
        """What is thrown at which door."""
        return {
            "command lines": (command_lines, self.command),
            "JSON Lines": (batches, self.batch),
            "payloads": (st.tuples(payloads | values, options), self.declare),
            "options": (options, self.options),
            "plain SQL": (rows, self.insert),
            "bytes on the wire": (pieces, self.receive),
            "reports on the wire": (st.tuples(reports.map(framed) | noise, pages), self.report),
        }

    def close(self) -> None:
        """Let go of the queue."""
        self._queue.close()

    def command(self, words: list[str]) -> None:
        """A command line, at an empty terminal."""
        if words[0] == "wait":
            words = [*words, "--timeout", "0"]
        with open(os.devnull, encoding="utf-8") as nothing, patch.object(sys, "stdin", nothing):
            dispatched(words)

    def batch(self, content: bytes) -> None:
        """A file of JSON Lines."""
        with open(self._batch, "wb") as file:
            file.write(content)
        dispatched(["declare:batch", self._batch])

    def declare(self, given: tuple[Any, dict[str, Any]]) -> None:
        """From Python, a job with whatever payload."""
        payload, how = given
        with contextlib.suppress(ProkerjaError):
            self._queue.declare(Anything(payload), **how)

    def options(self, how: dict[str, Any]) -> None:
        """From Python, a job with whatever options."""
        with contextlib.suppress(ProkerjaError):
            self._queue.declare(Noop(), **how)

    def insert(self, row: dict[str, Any]) -> None:
        """By SQL; what it takes must then be told of like any other job."""
        query = f"INSERT INTO declare ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        with closing(sqlite3.connect(self._site.db, isolation_level=None)) as connection:
            try:
                connection.execute(query, tuple(row.values()))
            except (sqlite3.Error, UnicodeEncodeError):
                return  # its own caller is told
            [(id,)] = connection.execute("SELECT max(id) FROM declaration")
        for words in (["report:job", str(id)], ["report:job", str(id), "--json"], ["report"]):
            dispatched(words)

    def receive(self, content: bytes) -> None:
        """Bytes from a realizer."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            channel = Channel(ours, Report)
            theirs.send(content or b"\0")
            theirs.shutdown(socket.SHUT_WR)
            with contextlib.suppress(WireError):
                while channel.receive() is not None:
                    pass

    def report(self, said: tuple[bytes, tuple[int, int]]) -> None:
        """A report of the right shape, and a shared page."""
        frame, page = said
        with puppet() as one:
            one.say(frame, page)


def dispatched(words: list[str]) -> None:
    """A command in this process, its output let go."""
    with contextlib.suppress(ProkerjaError, SystemExit, OSError):
        nowhere = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            dispatch(words)


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """Throw everything at every door; what falls over is shrunk before it is told."""
    count = SHORT if short else FULL
    faults = []
    with Site(jobs=JOBS) as site:
        make(site.db)
        with patch.dict(os.environ, site.environment), closing(Doors(site)) as doors:
            for what, (strategy, door) in doors.strategies().items():
                fault = thrown(strategy, door, seed, int(count * SHARES[what]), what, ledger)
                faults += [f"--- {what}: {fault}"] if fault else []
        site.check()
    if not short:
        guide(seed, count // 5, ledger)
    if faults:
        raise Broken("\n".join(faults))


def thrown(
    strategy: st.SearchStrategy[Any], door: Callable[[Any], None], seed: int, count: int,
    what: str, ledger: Ledger,
) -> str:  # fmt: skip
    """Throw so many; returns the traceback of the simplest that was not caught."""

    @seeded(seed)
    @settings(max_examples=count, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategy)
    def throw(value: Any) -> None:
        ledger.count(f"{what} thrown")
        door(value)

    try:
        throw()
    except Exception:  # noqa: BLE001
        return traceback.format_exc()[-3000:]
    return ""
