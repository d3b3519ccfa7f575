"""Keeps what the store knows of the jobs in step with their files, without running them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prokerja.catalog.files import scan
from prokerja.errors import CatalogError, UnknownJob
from prokerja.times import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prokerja.repository import Repository
    from prokerja.settings import Settings
    from prokerja.spec import JobSpec


def known_job(repository: Repository, settings: Settings, name: str) -> JobSpec:
    """What is known of a job, after a look at the files that are new or changed.

    Raises UnknownJob, naming jobs that sound alike, and a broken file if there is one.
    """
    broken = refresh(repository, settings)
    with repository.database.reading():
        spec = repository.catalog.spec(name)
        names = repository.catalog.names() if spec is None else []
    if spec is None:
        raise UnknownJob(_unknown(name, names, broken, settings))
    return spec


def refresh(repository: Repository, settings: Settings) -> list[CatalogError]:
    """Read the jobs directory's new and changed files; returns what is wrong with which."""
    directory = settings.jobs
    if not settings.jobs_named and not os.path.isdir(directory):
        return []
    stamps = scan(directory)
    with repository.database.reading():
        known = repository.catalog.stamps(directory)
    changed = {file: stamp for file, stamp in stamps.items() if known.get(file) != stamp}
    gone = known.keys() - stamps.keys()
    broken: list[CatalogError] = []
    if changed or gone:
        from prokerja.catalog.static import read_file

        specs: list[JobSpec] = []
        for file in list(changed):
            try:
                specs += read_file(file)
            except CatalogError as error:
                broken.append(error)
                del changed[file]  # what was known of it stands, until it can be read
        repository.catalog.record(changed, gone, specs)
    return broken


def record(repository: Repository, directory: str, specs: Sequence[JobSpec]) -> None:
    """Write down what an import of the whole directory has found; `` if there is none."""
    stamps = scan(directory) if directory else {}
    with repository.database.reading():
        known = repository.catalog.stamps(directory) if directory else {}
    repository.catalog.record(stamps, known.keys() - stamps.keys(), specs)


def _unknown(name: str, names: list[str], broken: list[CatalogError], settings: Settings) -> str:
    from difflib import get_close_matches

    hint = "; `prokerja jobs` lists those there are"
    close = get_close_matches(name[:100], names, n=3)
    if close:
        hint = f"; did you mean {' or '.join(close)}?"
    elif broken:
        hint = f", but {broken[0]}"
    elif not names:
        hint = (
            f"; there are no jobs in {settings.jobs} yet: put a job file there or pass --jobs DIR"
        )
    return f"unknown job {shown(name)}{hint}"
