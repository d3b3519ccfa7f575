"""Whether workers can load the jobs directory, told by the text of its files."""

from __future__ import annotations

import os
import stat
from shlex import quote
from typing import TYPE_CHECKING

from prokerja import repository
from prokerja.catalog.files import LISTENERS
from prokerja.catalog.listing import read_jobs
from prokerja.catalog.trust import refuse_foreign
from prokerja.errors import CatalogError
from prokerja.model.check import failed, of_error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.check import Check
    from prokerja.settings import Settings

MAX_BROKEN = 5
"""Files that are named one by one."""


def check_jobs(where: Settings) -> Iterator[Check]:
    """Look at the jobs directory, and run nothing of it."""
    directory = where.jobs
    if not os.path.exists(directory):
        if where.jobs_named:
            yield failed("jobs", f"there is no directory {directory}", "make it, or name another")
        else:
            yield ok("jobs", f"there is no directory {directory}, so only commands can be run")
        return
    try:
        specs, broken = read_jobs(directory)
        yield from _check_trust(where)
    except (CatalogError, OSError) as error:
        yield of_error("jobs", error)
        return
    for one in broken[:MAX_BROKEN]:
        yield of_error("jobs", f"{one.file}: {one.error}")
    if broken[MAX_BROKEN:]:
        more = f"{len(broken) - MAX_BROKEN:,} more of {len(broken):,} faults in {directory}"
        yield failed("jobs", more, "`prokerja jobs` lists them")
    if not broken:
        yield ok("jobs", f"{len(specs):,} kinds of job in {directory}, as far as their text tells")


def _check_trust(where: Settings) -> Iterator[Check]:
    if _is_roots(where.db):
        refuse_foreign(where.jobs)
    for path in _all_in(where.jobs):
        mode = os.stat(path).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            what = f"every user can write to {path}, and so have the worker do anything"
            yield warning("jobs", what, f"chmod o-w {quote(path)}")
            return


def _is_roots(url: str) -> bool:
    """Whether it is root who works on the queue; we may be root for another user's sake."""
    try:
        return not repository.is_path(url) or os.stat(url).st_uid == 0
    except OSError:
        return True


def _all_in(directory: str) -> Iterator[str]:
    from prokerja.catalog.files import scan

    listeners = os.path.join(directory, LISTENERS)
    files = [*scan(directory), *([listeners] if os.path.exists(listeners) else [])]
    yield from dict.fromkeys([directory, *map(os.path.dirname, files), *files])
