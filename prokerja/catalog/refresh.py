"""Keeps what the store knows of the jobs in step with their files, without running them."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from prokerja.catalog.files import scan
from prokerja.errors import CatalogError, UnknownJob
from prokerja.job import home_of
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prokerja.catalog.files import Stamp
    from prokerja.repository.verbs import Repository
    from prokerja.settings import Settings
    from prokerja.spec import JobSpec


class KnownJob(NamedTuple):
    """A job as its file tells of it."""

    spec: JobSpec
    directory: str
    """The jobs directory that it belongs to; empty if it belongs to none."""


def known_job(repository: Repository, settings: Settings, name: str) -> KnownJob:
    """What is known of a job, after a look at the files that are new or changed.

    It is one of the jobs directory in force, or of none. Where there is no such directory, and
    none is named, it is that of the only other directory that has the job.

    Raises UnknownJob, naming jobs that sound alike, and a broken file if there is one.
    """
    broken = refresh(repository, settings)
    known = repository.known(name)
    for directory in (settings.jobs, "") if _in_force(settings) else ("",):
        if directory in known:
            return KnownJob(known[directory], directory)
    elsewhere = [directory for directory in known if directory and not _is_gone(directory)]
    if not elsewhere:
        names = repository.known_names(settings.jobs)
        raise UnknownJob(_unknown(name, names, broken, settings))
    if _in_force(settings):
        from shlex import quote

        raise UnknownJob(
            f"unknown job {quoted(name)} in {settings.jobs}; {elsewhere[0]} has one:"
            f" pass --jobs {quote(elsewhere[0])}"
        )
    if len(elsewhere) > 1:
        raise UnknownJob(
            f"{' and '.join(elsewhere)} have a job {quoted(name)} each; pass --jobs DIR"
        )
    [directory] = elsewhere
    if os.access(directory, os.R_OK | os.X_OK):
        return known_job(repository, settings._replace(jobs=directory, jobs_named=True), name)
    return KnownJob(known[directory], directory)  # another user's, whose word we have to take


def _is_gone(directory: str) -> bool:
    try:
        os.stat(directory)
    except OSError as error:
        return not isinstance(error, PermissionError)
    return False


def refresh(repository: Repository, settings: Settings) -> list[CatalogError]:
    """Read the jobs directory's new and changed files; returns what is wrong with which."""
    directory = settings.jobs
    if not _in_force(settings):
        return []
    stamps = scan(directory)
    known = repository.sources(directory)
    changed = {
        file: stamp for file, stamp in stamps.items() if not stamp or known.get(file) != stamp
    }
    gone = known.keys() - stamps.keys()
    broken: list[CatalogError] = []
    if changed or gone:
        from prokerja.catalog.modules import Modules
        from prokerja.catalog.static import read_file

        modules = Modules(directory)
        specs: list[JobSpec] = []
        for file in {*modules.dependents(stamps, [*changed, *gone]), *modules.patched(stamps)}:
            changed[file] = stamps[file]
        for file in list(changed):
            faults: list[CatalogError] = []
            try:
                specs += read_file(file, modules, faults)
            except CatalogError as error:
                broken.append(error)
                del changed[file]  # what was known of it stands, until it can be read
            if faults:
                broken += faults
                changed[file] = ""  # read it again, so that its faults are reported again
        repository.record(directory, changed, gone, specs)
    return broken


def record(
    repository: Repository, directory: str, stamps: Mapping[str, Stamp], specs: Sequence[JobSpec]
) -> None:
    """Write down what an import of the whole directory has found.

    `stamps` are those of its files from before they were imported.
    """
    known = repository.sources(directory)
    repository.record(directory, stamps, known.keys() - stamps.keys(), specs)


def record_classes(repository: Repository, directory: str, specs: Iterable[JobSpec]) -> None:
    """Write down what classes say that were imported by name.

    Those whose file lies in the jobs directory belong to it, the others to none.
    """
    by_home: defaultdict[str, list[JobSpec]] = defaultdict(list)
    for spec in specs:
        by_home[home_of(spec.file, directory)].append(spec)
    for home, found in by_home.items():
        repository.record(home, {}, (), found)


def _in_force(settings: Settings) -> bool:
    """Whether there is, or has to be, a jobs directory."""
    return settings.jobs_named or os.path.isdir(settings.jobs)


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
    return f"unknown job {quoted(name)}{hint}"
