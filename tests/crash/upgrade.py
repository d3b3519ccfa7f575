"""UpgradeCheck: every schema opens for ever, and old programs let go of a file that is newer."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from prokerja.repository.sqlite import schema
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.crash import beside
from tests.crash.ledger import Broken, Ledger
from tests.crash.site import PROJECT, Site
from tests.crash.specimen import COUNT, IDS, JOBS

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = os.path.join(PROJECT, "tests", "data")
STATUSES = {"completed": "completed", "failed": "failed", "processing": "processing",
            "running": "processing"}  # fmt: skip
READING = (["report"], ["report:jobs", "--limit", "50"], ["wait", "1"], ["jobs"])
REFUSED = (["declare:job", "noop"], ["report"], ["retry", "2"], ["purge", "--yes"],
           ["realization:start", "--until-empty"])  # fmt: skip


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """Every schema there was, and one that there is not yet."""
    files = dict(released())
    ledger.require(
        "the current schema has its file", holds=schema.VERSION in files,
        otherwise=f"no {schema.VERSION} in {DATA}; run python -m tests.data.make_schema",
    )  # fmt: skip
    for version, path in sorted(files.items()):
        _opens(path, ledger)
        if version == schema.VERSION:
            _is_unchanged(path, ledger)
    _refuses(files[schema.VERSION], ledger)
    beside.prove(ledger)


def released() -> Iterator[tuple[int, str]]:
    """The committed files, by their schema's number."""
    for name in os.listdir(DATA):
        match = re.fullmatch(r"schema-(\d+)\.sqlite3", name)
        if match:
            yield int(match[1]), os.path.join(DATA, name)


def _opens(path: str, ledger: Ledger) -> None:
    """Its jobs are what they were, and a worker finishes them."""
    with Site(jobs=JOBS) as site:
        shutil.copyfile(path, site.db)
        for what, id in IDS.items():
            told = site.run("report:job", str(id))
            status = STATUSES.get(what, "pending")
            holds = told.returncode == 0 and f", {status}\n".encode() in told.stdout
            ledger.require("a job has the status it had", holds=holds, otherwise=f"{id}: {told}")
        for words in READING:
            _is_well(site, words)
        _is_well(site, ["declare:job", "noop"])
        _is_well(site, ["realization:start", "--until-empty"])
        site.check()
        # All are done and the one more, but for the late one; the mail finds no server.
        tally = site.tally()
        done = {"pending": 1, "processing": 0, "completed": COUNT - 2, "failed": 2}
        ledger.require("a worker finishes the jobs", holds=tally == done, otherwise=f"{tally}")
    ledger.count("schemas opened")


def _is_well(site: Site, words: list[str]) -> None:
    done = site.run(*words)
    if done.returncode:
        raise Broken(f"{words} left with {done.returncode}: {done.stderr.decode()}")


def _is_unchanged(path: str, ledger: Ledger) -> None:
    """A schema that has a file is never changed; a change is a new schema."""
    query = "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2"
    with Site() as site:
        with closing(SQLiteRepository(site.db)) as repository:
            fresh = repository.database.execute(query).fetchall()
        shutil.copyfile(path, site.db + "-old")
        with closing(sqlite3.connect(site.db + "-old")) as connection:
            old = connection.execute(query).fetchall()
    changed = [name for _, name, _ in set(fresh) ^ set(old)]
    ledger.require(
        "the schema is that of its file", holds=not changed,
        otherwise=f"{changed} changed: add a migration, or if this schema was never released,"
        f" delete {path} and run python -m tests.data.make_schema",
    )  # fmt: skip


def _refuses(path: str, ledger: Ledger) -> None:
    """A file of the next schema: this program says so, and leaves it alone."""
    with Site(jobs=JOBS) as site:
        shutil.copyfile(path, site.db)
        with closing(sqlite3.connect(site.db)) as connection:
            connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = _digest(site.db)
        for words in REFUSED:
            done = site.run(*words)
            said = done.stderr.decode()
            clear = done.returncode == 1 and "newer prokerja" in said and said.count("\n") == 1
            ledger.require("a newer schema is refused in a line", holds=clear, otherwise=f"{done}")
        ledger.require(
            "a newer file is left alone", holds=_digest(site.db) == before, otherwise="written to"
        )


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
