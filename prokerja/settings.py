"""Where things are and how long they are kept: flags, environment, file, defaults."""

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from prokerja import repository
from prokerja.directories import user_directory
from prokerja.errors import BadOption
from prokerja.sizes import size
from prokerja.times import duration

FILE = "prokerja.toml"
T = TypeVar("T")
UNREACHABLE = "in the memory of a worker"
"""Stands for its database in the environment of a job whose worker keeps it in memory."""
IN_A_TEST = "in the memory of a test"
"""The same of what a test runs."""
DAY = 86400.0
KEYS = ("db", "jobs", "keep_completed", "keep_failed", "keep_output", "events", "tracing")
TABLES = ("resources", "notify")
"""What only the file can say."""


class Settings(NamedTuple):
    """What every entry point agrees on."""

    db: str
    """URL of the store; a path is absolute."""
    jobs: str
    """Absolute path of the jobs directory, whether it is there or not."""
    jobs_named: bool
    """Whether the directory was asked for; a default one may be missing."""
    keep_completed: float
    """Seconds for which completed jobs are kept."""
    keep_failed: float
    """Seconds for which failed jobs are kept."""
    keep_output: int
    """Bytes that are kept of the beginning, and of the end, of what an attempt prints."""
    events: bool = True
    """Whether what happens is written down."""
    resources: Mapping[str, int] = MappingProxyType({})
    """How much this machine has of each resource that jobs may need."""
    tracing: bool = False
    """Whether declarations and attempts have spans; see `prokerja.tracing`."""
    notify: tuple[tuple[str, str], ...] = ()
    """Who is told of what; see `notices.rules_from`."""


def settings(db: str | None = None, jobs: str | None = None) -> Settings:
    """Settle every setting once.

    `db` and `jobs` come from flags; then PROKERJA_DB, PROKERJA_JOBS, PROKERJA_KEEP_COMPLETED,
    PROKERJA_KEEP_FAILED, PROKERJA_KEEP_OUTPUT, PROKERJA_EVENTS and PROKERJA_TRACING; then
    `prokerja.toml` in the user's configuration directory; then defaults. A user without a home
    directory has no such file and no default database. Raises BadOption for a file or value that
    cannot be read, and for a database or path that needs a home.
    """
    config = user_directory("config")
    given: dict[str, Any] = {**_from_file(config), **_from_environment()}
    given.update({k: v for k, v in (("db", db), ("jobs", jobs)) if v})
    return Settings(
        db=_path("db", given.get("db") or _default_db()),
        jobs=_path("jobs", given.get("jobs") or _default_jobs(config)),
        jobs_named=bool(given.get("jobs")),
        keep_completed=_read(given, "keep_completed", duration, 7 * DAY),
        keep_failed=_read(given, "keep_failed", duration, 30 * DAY),
        keep_output=_read(given, "keep_output", size, 2**20),
        events=_read(given, "events", _switch, usual=True),
        resources=_resources(given["resources"]) if "resources" in given else {},
        tracing=_read(given, "tracing", _switch, usual=False),
        notify=given.get("notify", ()),
    )


def settings_file() -> str:
    """Where the settings file is, if there is one; empty for a user without a home directory."""
    folder = user_directory("config")
    return os.path.join(folder, FILE) if folder else ""


def usual_db() -> str:
    """The database of who names none by flag or environment; raises BadOption."""
    return _path("db", _from_file(user_directory("config")).get("db") or _default_db())


def _resources(table: Any) -> dict[str, int]:
    from prokerja.flow.resources import amounts_of

    return dict(amounts_of(table, "resources", least=0))


def _read(given: dict[str, Any], key: str, read: Callable[[str, str], T], usual: T) -> T:
    return read(given[key], key) if key in given else usual


def _switch(text: str, key: str) -> bool:
    if text not in ("on", "off"):
        raise BadOption(f"{key}: {text!r} is neither on nor off; write one of them")
    return text == "on"


def _default_db() -> str:
    data = user_directory("data")
    if not data:
        raise BadOption(
            f"{_homeless()}, so there is no default file; pass --db PATH or set PROKERJA_DB"
        )
    return os.path.join(data, "prokerja.sqlite3")


def _default_jobs(config: str) -> str:
    return "jobs" if not config or os.path.isdir("jobs") else os.path.join(config, "jobs")


def _path(key: str, text: str, folder: str = "") -> str:
    """The absolute path that a text means, from `folder` or from the current directory."""
    if key == "db" and not repository.is_path(text):
        return text
    if text == UNREACHABLE:
        raise BadOption(
            "this job's worker keeps its queue in memory, where only that process can declare;"
            " use self.declare(job), or pass --db PATH"
        )
    if text == IN_A_TEST:
        raise BadOption(
            "a test keeps the default queue in memory, where only prokerja.declare() and"
            " declare_many() find it; give a Queue or a command a path of its own"
        )
    if "\0" in text:
        raise BadOption(f"{key} has a NUL in it; give a path without one")
    expanded = os.path.expanduser(text)
    if expanded.partition("/")[0] == "~":
        raise BadOption(f"{key} is {text}, but {_homeless()}; give a path without ~")
    return os.path.abspath(os.path.join(folder, expanded))


def _homeless() -> str:
    return f"uid {os.getuid()} has no home directory and HOME is not set"


def _from_environment() -> dict[str, str]:
    found = ((key, os.environ.get(f"PROKERJA_{key.upper()}")) for key in KEYS)
    return {key: value for key, value in found if value}


def _from_file(folder: str) -> dict[str, Any]:
    """What the settings file in `folder` says; its paths are relative to that folder."""
    path = os.path.join(folder, FILE)
    if not folder or not os.path.exists(path):
        return {}
    import tomllib

    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadOption(f"{path}: {error}; correct it or move it away") from None
    for key, value in given.items():
        if key not in KEYS + TABLES:
            known = ", ".join(KEYS + TABLES)
            raise BadOption(f"{path}: unknown setting {key!r}; there are {known}")
        if key in TABLES:
            if not isinstance(value, dict):
                raise BadOption(f"{path}: {key} must be a table, such as [{key}]")
        elif not isinstance(value, str):
            raise BadOption(f'{path}: {key} must be a string, such as {key} = "…"')
    read = {
        key: _path(key, value, folder) if value and key in ("db", "jobs") else value
        for key, value in given.items()
    }
    if "notify" in given:
        from prokerja.notices import rules_from

        read["notify"] = rules_from(given["notify"], path)
    return read
