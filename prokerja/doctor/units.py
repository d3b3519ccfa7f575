"""Whether the systemd units that are installed start what is there, on the same queue."""

from __future__ import annotations

import os
from glob import glob
from typing import TYPE_CHECKING

from prokerja import repository
from prokerja.directories import base_directory
from prokerja.doctor.unit import Unit, read_unit
from prokerja.errors import ProkerjaError
from prokerja.model.check import failed, ok, warning
from prokerja.settings import usual_db

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prokerja.model.check import Check

NAMES = "prokerja*.service"
SYSTEM = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
USERS = ("/etc/systemd/user", "/run/systemd/user", "/usr/lib/systemd/user")
"""For every user, after what each has."""
DATA = ".local/share/prokerja/prokerja.sqlite3"
"""The usual file of a user, below the home directory."""


def check_units(url: str, system: Iterable[str] = SYSTEM) -> Iterator[Check]:
    """Look at the units of this user and of the whole machine."""
    users = [f"{home}/systemd/user" for home in map(base_directory, ("config", "data")) if home]
    paths = [*_installed([*users, *USERS]), *_installed(system)]
    system = tuple(system)
    files: dict[str, str] = {}
    for path in paths:
        unit = read_unit(path)
        fault = _fault(unit)
        if fault:
            yield failed("unit", f"{path}: {fault}", "correct it, then `systemctl daemon-reload`")
        elif db := _db_of(unit, is_system=path.startswith(system)):
            files[path] = db
    if not paths:
        yield ok("unit", f"no {NAMES} is installed; `prokerja systemd:install` writes one")
    elif files:
        yield _compare(files, url)


def _compare(files: dict[str, str], url: str) -> Check:
    ours = os.path.realpath(url) if repository.is_path(url) else url
    for path, db in files.items():
        if os.path.realpath(db) == ours:
            return ok("unit", f"{path} starts a worker for this queue")
    path, db = next(iter(files.items()))
    fix = f"pass --db {db}, or name this file in the unit"
    return warning("unit", f"{path} starts a worker for {db}, not for {url}", fix)


def _installed(folders: Iterable[str]) -> list[str]:
    """The units in these folders; of several with one name, the first counts."""
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted(glob(os.path.join(folder, NAMES))):
            found.setdefault(os.path.basename(path), path)
    # A link to /dev/null hides a unit; one that leads nowhere is a fault.
    return [path for path in found.values() if os.path.isfile(path) or not os.path.exists(path)]


def _fault(unit: Unit) -> str:
    """Why a unit cannot start what it names; empty if it can."""
    if unit.fault:
        return unit.fault
    if not unit.program:
        return "it has no ExecStart"
    if "%" in unit.program:
        return ""
    if not os.path.isabs(unit.program):
        return f"{unit.program}, which it starts, is not found; name it by its whole path"
    if not os.access(unit.program, os.X_OK):
        return f"{unit.program}, which it starts, is not there, or cannot be run"
    return ""


def _db_of(unit: Unit, *, is_system: bool) -> str:
    """The file that its worker works on; empty if that cannot be told from here."""
    if unit.db:
        return "" if "%" in unit.db else unit.db
    if is_system:
        import pwd

        try:
            return os.path.join(pwd.getpwnam(unit.user or "root").pw_dir, DATA)
        except KeyError:
            return ""
    try:
        return usual_db()
    except ProkerjaError:
        return ""
