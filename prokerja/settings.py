"""Where things are and how long they are kept: flags, environment, file, defaults."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from prokerja.errors import BadOption
from prokerja.times import duration

FILE = "prokerja.toml"
KEYS = ("db", "jobs", "keep_completed", "keep_failed")


class Settings(NamedTuple):
    """What every entry point agrees on."""

    db: str
    """Absolute path of the database file, or `:memory:`."""
    jobs: str
    """Absolute path of the jobs directory, whether it is there or not."""
    jobs_named: bool
    """Whether somebody asked for that directory; a default one may be missing."""
    keep_completed: float
    """Seconds for which completed jobs are kept."""
    keep_failed: float
    """Seconds for which failed jobs are kept."""


def settings(db: str | None = None, jobs: str | None = None) -> Settings:
    """Settle every setting once.

    `db` and `jobs` come from flags; then PROKERJA_DB, PROKERJA_JOBS, PROKERJA_KEEP_COMPLETED and
    PROKERJA_KEEP_FAILED; then `prokerja.toml` in the user's configuration directory; then defaults.
    Raises BadOption for a file or value that cannot be read.
    """
    config = os.path.join(_directory("config"), FILE)
    given: dict[str, Any] = {**_from_file(config), **_from_environment()}
    given.update({k: v for k, v in (("db", db), ("jobs", jobs)) if v})
    for key, value in given.items():
        if "\0" in value:
            raise BadOption(f"{key} has a NUL in it; give a path without one")
    path = given.get("db") or os.path.join(_directory("data"), "prokerja.sqlite3")
    directory = given.get("jobs") or _default_jobs()
    return Settings(
        db=path if path == ":memory:" else os.path.abspath(os.path.expanduser(path)),
        jobs=os.path.abspath(os.path.expanduser(directory)),
        jobs_named=bool(given.get("jobs")),
        keep_completed=duration(given.get("keep_completed", "7d"), "keep_completed"),
        keep_failed=duration(given.get("keep_failed", "30d"), "keep_failed"),
    )


def _default_jobs() -> str:
    return "jobs" if os.path.isdir("jobs") else os.path.join(_directory("config"), "jobs")


def _directory(kind: str) -> str:
    import platformdirs

    if kind == "config":
        return platformdirs.user_config_dir("prokerja", appauthor=False)
    return platformdirs.user_data_dir("prokerja", appauthor=False)


def _from_environment() -> dict[str, str]:
    found = ((key, os.environ.get(f"PROKERJA_{key.upper()}")) for key in KEYS)
    return {key: value for key, value in found if value}


def _from_file(path: str) -> dict[str, str]:
    if not os.path.exists(path):
        return {}
    import tomllib

    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadOption(f"{path}: {error}; mend it or move it away") from None
    for key, value in given.items():
        if key not in KEYS:
            raise BadOption(f"{path}: unknown setting {key!r}; there are {', '.join(KEYS)}")
        if not isinstance(value, str):
            raise BadOption(f'{path}: {key} must be a string, such as {key} = "…"')
    return given
