"""Looks at all that a queue needs, and says what is wrong and what to do; it changes nothing."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from prokerja import repository, settings
from prokerja.doctor.clock import check_clock
from prokerja.doctor.disk import check_disk
from prokerja.doctor.jobs import check_jobs
from prokerja.doctor.units import check_units
from prokerja.doctor.workers import check_workers
from prokerja.errors import BadOption, ProkerjaError
from prokerja.model.check import Check, of_error, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.settings import Settings


def examine(db: str | None, jobs: str | None) -> list[Check]:
    """Look at the queue and the jobs directory that these flags and the settings name."""
    try:
        where = settings.settings(db, jobs)
    except BadOption as error:
        return [of_error("settings", error), check_clock(time.time())]
    with repository.examined(where.db) as found:
        return [
            ok("settings", f"queue {where.db}, jobs {where.jobs}"),
            *found.checks,
            *check_jobs(where),
            *check_disk(where.db),
            *(_check_inside(where) if found.is_current else [check_clock(time.time())]),
            *check_units(where.db),
        ]


def _check_inside(where: Settings) -> Iterator[Check]:
    """Look at what the store knows of time and of workers."""
    now = time.time()
    try:
        with closing(repository.open(where.db, create=False, events=False)) as store:
            yield check_clock(now, store)
            yield from check_workers(store, now)
    except ProkerjaError as error:
        yield of_error("workers", error)
