"""Old workers and declarers at work on a file while a newer program migrates it."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from prokerja.errors import TryAgain
from prokerja.queue import Queue
from prokerja.repository.sqlite import schema
from tests.crash import newer
from tests.crash.book import read
from tests.crash.declarer import WAYS, Declarer
from tests.crash.jobs.mark import Mark
from tests.crash.ledger import Broken
from tests.crash.site import Site

if TYPE_CHECKING:
    from tests.crash.ledger import Ledger

WORKERS: dict[str, tuple[str, ...]] = {
    "busy": ("--realizers", "2"),
    "endless": ("--grace", "0.5s"),
    "idle": (),
}
"""What each is told, besides to take from the queue of its name."""
LONG, FAILING, ENDLESS, FIRST, LAST = 1, 2, 3, 4, 23
"""Jobs by their ids: those that run when the file is migrated, and those that wait behind them."""
SECONDS = 2.0
"""That a long job takes: more than the migration, less than the grace."""
DECLARERS = 2
LIMIT = 30.0
"""Seconds for whatever has to happen, on a machine that has other things to do."""
NEWER = f"was written by a newer prokerja (schema {newer.NEXT}, this one knows {schema.VERSION})"
OUTCOMES = {LONG: (1, 1, 0, 1), FAILING: (2, 1, 0, 1), ENDLESS: (0, 0, 1, 1)}
"""Status, attempts and free returns in the file, and how often it was begun."""
UNTOUCHED = (0, 0, 0, 0)


def prove(ledger: Ledger) -> None:
    """Set them to work, migrate, and see who leaves when, and what is left behind."""
    with Site() as site:
        _fill(site)
        workers = [
            site.start("realization:start", "--queue", queue, *more)
            for queue, more in WORKERS.items()
        ]
        site.until(lambda: _at_work(site))
        declarers = [Declarer(site.db, LIMIT) for _ in range(DECLARERS)]
        for declarer in declarers:
            declarer.start()
        site.until(lambda: all(declarer.ids for declarer in declarers))
        newer.migrate(site.db)
        _workers_leave(workers, site, ledger)
        _declarers_are_refused(declarers, site, ledger)
        _jobs_are_left_well(site, ledger)
        site.check()


def _fill(site: Site) -> None:
    with closing(Queue(site.db)) as queue:
        queue.declare(Mark(LONG, SECONDS), queue="busy")
        queue.declare(Mark(FAILING, SECONDS, fails=True), queue="busy", retries=0)
        queue.declare(Mark(ENDLESS, 3600.0), queue="endless")
        for n in range(FIRST, LAST + 1):
            queue.declare(Mark(n), queue=("busy", "endless")[n % 2])


def _at_work(site: Site) -> bool:
    """Whether all workers are ready, and the file knows of every job that runs."""
    running = _ask(site, "SELECT declaration FROM running ORDER BY 1")
    return site.said().count("started:") == len(WORKERS) and running == [
        (LONG,), (FAILING,), (ENDLESS,)
    ]  # fmt: skip


def _ask(site: Site, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(site.db)) as connection:
        return connection.execute(query).fetchall()


def _workers_leave(workers: list[subprocess.Popen[bytes]], site: Site, ledger: Ledger) -> None:
    began = time.monotonic()
    try:
        codes = [worker.wait(LIMIT) for worker in workers]
    except subprocess.TimeoutExpired:
        raise Broken(f"an old worker does not leave: {site.said()[-3000:]}") from None
    ledger.note(
        f"the last of {len(workers)} old workers left after {time.monotonic() - began:.1f} s"
    )
    ledger.require(
        "an old worker leaves so that systemd starts the next",
        holds=set(codes) == {TryAgain.exit_code}, otherwise=f"{codes}: {site.said()[-3000:]}",
    )  # fmt: skip
    told = site.said().count(f"stopping: {site.db} {NEWER}")
    ledger.require("it says why", holds=told == len(workers), otherwise=site.said()[-3000:])
    left = _ask(site, "SELECT id FROM worker UNION ALL SELECT token FROM claim")
    ledger.require("it leaves nothing of its own behind", holds=not left, otherwise=f"{left}")


def _declarers_are_refused(declarers: list[Declarer], site: Site, ledger: Ledger) -> None:
    for declarer in declarers:
        declarer.join(LIMIT)
    refusals = [line for declarer in declarers for line in declarer.refusals]
    done = site.run("declare:job", "mark", "n=0")
    line = f"{site.db} {NEWER}; upgrade this program"
    clear = done.returncode == 1 and done.stderr.decode() == f"prokerja: {line}\n"
    ledger.require(
        "every way to declare is refused in a clear line",
        holds=clear and refusals == [line] * WAYS * len(declarers),
        otherwise=f"{done}, {refusals}",
    )  # fmt: skip
    ids = {id for declarer in declarers for id in declarer.ids} | set(range(1, LAST + 1))
    there = {id for (id,) in _ask(site, "SELECT id FROM declaration")}
    ledger.require(
        "every acknowledged job is there, and no other", holds=ids == there,
        otherwise=f"{sorted(ids ^ there)}",
    )  # fmt: skip
    [(highest,)] = _ask(site, "SELECT highest FROM migrated")
    ledger.require(
        "nothing was declared after the migration", holds=max(ids) == highest,
        otherwise=f"{highest} was the last, but there is {max(ids)}",
    )  # fmt: skip
    ledger.count("jobs declared by old programs meanwhile", len(ids) - LAST)


def _jobs_are_left_well(site: Site, ledger: Ledger) -> None:
    runs = read(site.book)
    query = f"SELECT id, status, attempt, returns FROM declaration WHERE id <= {LAST}"
    for id, *found in _ask(site, query):
        ledger.require(
            "what ran is settled, what waited waits",
            holds=(*found, len(runs[id])) == OUTCOMES.get(id, UNTOUCHED),
            otherwise=f"job {id}: {found}, begun {len(runs[id])} times",
        )  # fmt: skip
    errors = _ask(site, "SELECT declaration, error FROM attempt")
    ledger.require(
        "a failure is told", holds=errors == [(FAILING, "RuntimeError: as asked")],
        otherwise=f"{errors}",
    )  # fmt: skip
