"""Where a file lies, and whose it is."""

from __future__ import annotations

import os
import stat
from shlex import quote
from typing import TYPE_CHECKING

from prokerja.errors import StoreError
from prokerja.model.check import failed, of_error, ok, warning
from prokerja.repository.sqlite.opening import (
    FORCE,
    filesystem,
    refuse_network,
    refuse_unusable,
    rights,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.check import Check

COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file."""


def check_place(path: str) -> Iterator[Check]:
    """Look at a path, and at what stands there, without opening it."""
    try:
        is_there = refuse_unusable(path)
        found = _describe(path) if is_there else _check_missing(path)
    except StoreError as error:
        yield _read_only(path) or of_error("file", error)
        return
    yield found
    yield _check_filesystem(path)
    if is_there:
        yield _check_rights(path)


def _read_only(path: str) -> Check | None:
    """That nobody can write there, whoever it belongs to."""
    try:
        is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    except OSError:
        return None
    if not is_read_only:
        return None
    what = f"{path} lies on a file system that is mounted read-only"
    return failed("file system", what, "mount it for writing, or pass another --db")


def _describe(path: str) -> Check:
    size = os.stat(path).st_size
    if not size:
        return ok("file", f"{path} is empty; the first declaration makes it a queue")
    return ok("file", f"{path} has {size:,} bytes")


def _check_missing(path: str) -> Check:
    above = os.path.dirname(path)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        return failed("file", f"{above} is in the way of {path}", "pass another --db")
    if not os.access(above, os.W_OK | os.X_OK):
        if found := _read_only(above):
            return found
        what = f"{path} is not there, and {above} {rights(above)}"
        return failed("file", what, "change its owner or mode, or pass another --db")
    return ok("file", f"there is no queue at {path} yet; the first declaration makes it")


def _check_filesystem(path: str) -> Check:
    kind = filesystem(path)
    try:
        refuse_network(path)
    except StoreError as error:
        return of_error("file system", error)
    if os.environ.get(FORCE):
        return warning("file system", f"{kind or 'unknown'}, which {FORCE} has us take")
    return ok("file system", kind or "unknown, so taken for a local one")


def _check_rights(path: str) -> Check:
    facts = os.stat(path)
    for companion in (f"{path}{ending}" for ending in COMPANIONS):
        if why := _out_of_reach(companion, facts):
            fix = f"chown --reference={quote(path)} {quote(companion)}"
            return failed("rights", f"{companion} {why}", fix)
    if facts.st_mode & (stat.S_IWOTH | stat.S_IROTH):
        what = "declare any command" if facts.st_mode & stat.S_IWOTH else "read all payloads"
        found = f"{path} has mode {stat.S_IMODE(facts.st_mode):04o}: every user can {what}"
        return warning("rights", found, f"chmod o-rwx {quote(path)}")
    folder = os.path.dirname(path)
    mode = os.stat(folder).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        what = f"every user can put another file in the place of {path}"
        return warning("rights", what, f"chmod o-w {quote(folder)}")
    owner = f"uid {facts.st_uid}, gid {facts.st_gid}"
    return ok("rights", f"belongs to {owner}, mode {stat.S_IMODE(facts.st_mode):04o}")


def _out_of_reach(companion: str, like: os.stat_result) -> str:
    """Why this user, or the one that the file belongs to, cannot use what stands beside it."""
    try:
        facts = os.stat(companion)
    except FileNotFoundError:
        return ""
    if not os.access(companion, os.R_OK | os.W_OK):
        return rights(companion)
    group = facts.st_gid == like.st_gid and facts.st_mode & stat.S_IWGRP
    if like.st_uid in (0, facts.st_uid) or group or facts.st_mode & stat.S_IWOTH:
        return ""
    return (
        f"belongs to uid {facts.st_uid}, mode {stat.S_IMODE(facts.st_mode):04o}, so uid"
        f" {like.st_uid}, to whom the file belongs, cannot write it"
    )
