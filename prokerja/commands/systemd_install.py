"""`prokerja systemd:install`: put a unit where systemd looks for it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
from typing import Annotated

from prokerja.commandline import Option
from prokerja.commands import Json
from prokerja.commands.systemd_unit import UnitWanted
from prokerja.console import hint, print_json, say
from prokerja.directories import base_directory
from prokerja.errors import FileInTheWay, ProkerjaError
from prokerja.unit import Unit

SYSTEM, EVERY_USER = "etc/systemd/system", "etc/systemd/user"
"""Below the root directory."""


def run(
    *,
    unit: UnitWanted,
    root: Annotated[
        str | None, Option("Write below this directory instead, as packages do.", metavar="DIR")
    ] = None,
    force: Annotated[bool, Option("Replace a unit that has been changed.")] = False,
    json: Json = False,
) -> None:
    """Write the unit that `systemd:unit` prints to its place, and print what to run next.

    It replaces no unit that differs, unless it is told to.

    Example: prokerja systemd:install --user --realizers 2 | sh
    """
    file = os.path.join(folder(root, user=unit.user), unit.file_name)
    is_written = write(file, unit.text(), force=force)
    systemctl = "systemctl --user" if unit.user else "systemctl"
    commands = [
        f"{systemctl} daemon-reload",
        f"{systemctl} enable --now {shlex.join(unit.services)}",
    ]
    if json:
        print_json({"path": file, "written": is_written, "next": commands})
        return
    say(f"{'wrote' if is_written else 'nothing has changed in'} {file}; run next:")
    print("\n".join(commands))
    if unit.user:
        hint("`loginctl enable-linger` keeps it running while you are logged out.")
    elif root is None and not _is_known(unit):
        say(f"there is no user {unit.account} yet; `useradd --system {unit.account}` makes one")


def folder(root: str | None, *, user: bool) -> str:
    """Where such units belong; raises ProkerjaError for a user without a home directory."""
    if root is not None or not user:
        return os.path.join(os.path.abspath(root or "/"), EVERY_USER if user else SYSTEM)
    config = base_directory("config")
    if not config:
        raise ProkerjaError("you have no home directory, and HOME is not set; pass --root DIR")
    return os.path.join(config, "systemd/user")


def write(file: str, text: str, *, force: bool) -> bool:
    """Whether there was anything to write; raises ProkerjaError for a file that differs."""
    new = f"{file}.new"
    try:
        if os.path.lexists(file):
            if not os.path.islink(file) and _read(file) == text.encode():
                return False
            if not force:
                raise FileInTheWay(
                    f"{file} is there and differs; keep it, or replace it with --force"
                )
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(new, flags, 0o644), "wb") as out:
            out.write(text.encode())
            out.flush()
            os.fsync(out.fileno())
        os.replace(new, file)
    except OSError as error:
        raise ProkerjaError(
            f"cannot write {file}: {error.strerror}; run it as a user who may, or with --user"
        ) from None
    return True


def _read(file: str) -> bytes:
    with open(file, "rb") as there:
        return there.read()


def _is_known(unit: Unit) -> bool:
    try:
        pwd.getpwnam(unit.account)
    except KeyError:
        return unit.account.isdecimal()
    return True
