"""A queue in a folder of its own, with its commands as real processes."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from typing import TYPE_CHECKING

from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.crash.invariants import faults
from tests.crash.ledger import Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where files are quick to write; what is proved here does not depend on the device."""
NOTHING: Mapping[str, str] = {}
PATIENCE = 120.0
"""Seconds after which a command counts as hanging."""


class Site:
    """Everything below one temporary folder; `with Site() as site`."""

    def __init__(self, jobs: str = os.path.join(HERE, "jobs"), store: str = "") -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="prokerja-crash-", dir=MEMORY)
        self.folder = self._temporary.name
        self.db = os.path.join(store or self.folder, "queue.sqlite3")
        self.book = os.path.join(self.folder, "book")
        open(self.book, "ab").close()
        self.talk = os.path.join(self.folder, "talk")
        """What workers say on stderr."""
        self.environment = {
            **os.environ,
            "PYTHONPATH": PROJECT,
            "PROKERJA_DB": self.db,
            "PROKERJA_JOBS": jobs,
            "PROKERJA_CRASH_BOOK": self.book,
            "XDG_CONFIG_HOME": self.folder,
            "NO_COLOR": "1",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(
        self,
        *words: str,
        stdin: bytes = b"",
        patience: float = PATIENCE,
        more: Mapping[str, str] = NOTHING,
    ) -> subprocess.CompletedProcess[bytes]:
        """One command, to its end; TimeoutExpired if it has none."""
        return subprocess.run(
            [sys.executable, "-m", "prokerja", *words],
            input=stdin,
            capture_output=True,
            env={**self.environment, **more},
            timeout=patience,
            check=False,
        )

    def start(self, *words: str, more: Mapping[str, str] = NOTHING) -> subprocess.Popen[bytes]:
        """One command, begun; what it says goes to `talk`."""
        with open(self.talk, "ab") as talk:
            process = subprocess.Popen(
                [sys.executable, "-m", "prokerja", *words],
                stdin=subprocess.DEVNULL,
                stdout=talk,
                stderr=talk,
                env={**self.environment, **more},
            )
        self.processes.append(process)
        return process

    def repository(self) -> SQLiteRepository:
        """The file, opened in this process; for the caller to close."""
        return SQLiteRepository(self.db)

    def said(self) -> str:
        """All that the workers have said."""
        if not os.path.exists(self.talk):
            return ""
        with open(self.talk, encoding="utf-8", errors="replace") as talk:
            return talk.read()

    def until(self, condition: Callable[[], bool], limit: float = 60.0) -> None:
        """Wait for something to become true; Broken after `limit` seconds."""
        give_up = time.monotonic() + limit
        while not condition():
            if time.monotonic() > give_up:
                raise Broken(f"nothing happens for {limit:g} s: {self.said()[-3000:]}")
            time.sleep(0.005)

    def tally(self) -> dict[str, int]:
        """How many jobs there are of each status."""
        query = "SELECT sum(pending), sum(processing), sum(completed), sum(failed) FROM lane"
        with closing(sqlite3.connect(self.db)) as connection:
            counts = connection.execute(query).fetchone()
        return dict(zip(("pending", "processing", "completed", "failed"), counts, strict=True))

    def check(self) -> None:
        """Raise Broken for what no prokerja file may ever be, and for a traceback of a worker."""
        with closing(sqlite3.connect(self.db)) as connection:
            found = list(faults(connection))
        if found:
            raise Broken("; ".join(found[:5]))
        told = re.search("^Traceback", self.said(), re.MULTILINE)
        if told:
            raise Broken(f"a worker ended in a traceback:\n{told.string[told.start() :][:4000]}")

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self._temporary.cleanup()
