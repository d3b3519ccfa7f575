"""Whether the files that are open are still those that their names stand for.

SQLite keeps its files open, whatever becomes of their names. Who goes on writing after that writes
to what nobody will find, or beside others who have made new ones.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from prokerja.errors import StoreGone
from prokerja.repository.sqlite import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

MIN_FILE_BYTES = 512
"""Of a database with anything in it."""
CHECK_SECONDS = 0.1
"""Between two looks of one that writes all the time."""
HEADER = """
    SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id"""
AGAIN = "start again what used it"


class File(NamedTuple):
    """What a name stands for."""

    device: int
    inode: int


class OpenFiles:
    """A database, its log, and what else belongs to whoever has it open; as they are now."""

    def __init__(self, path: str, others: Iterable[str] = ()) -> None:
        self._path = path
        self._log = f"{path}-wal"
        names = (path, self._log, f"{path}-shm", *others) if path else ()
        self._checked_at = 0.0
        self._is_known_header = False
        """Whether the database itself has been seen to say that it is ours."""
        self._known = {name: file for name in names if (file := _file(name)) is not None}

    @property
    def names(self) -> list[str]:
        """Those that were there."""
        return [*self._known]

    def check_often(self, now: float) -> None:
        """The same as `check`, but not again within a moment."""
        if abs(now - self._checked_at) >= CHECK_SECONDS:
            self.check()
            self._checked_at = now

    def check(self) -> None:
        """Raise StoreGone if one of them has gone, or is another by now, or may not be written."""
        for name, before in self._known.items():
            if (now := _file(name)) != before:
                raise StoreGone(*self._words(name, replaced=now is not None))
        if self._known and not os.access(self._path, os.W_OK):
            raise StoreGone(
                f"{self._path} has become read-only for this user (uid {os.geteuid()})",
                f"see to its mode, its owner and its disk, and {AGAIN}",
            )

    def check_header(self) -> None:
        """Raise StoreGone if the database has been written over by something else.

        It is read past the log, in which there may be a newer copy of the same page; of a new
        database, the only one. While the log is moved into it, or the disk is full in the middle of
        that, it need not make sense but for what this looks at.
        """
        if self._known and self._is_written_over():
            raise StoreGone(
                f"{self._path} was written over while it was open, and is not a queue any more",
                f"restore a backup (`prokerja help moving`), and {AGAIN}",
            )

    def _is_written_over(self) -> bool:
        from urllib.parse import quote

        url = f"file:{quote(os.fsencode(self._path))}?mode=ro&immutable=1"
        try:
            if os.stat(self._path).st_size < MIN_FILE_BYTES:
                return True
            # By SQLite, since closing a descriptor of our own would drop the locks of its own.
            with closing(sqlite3.connect(url, uri=True)) as connection:
                found, tables = connection.execute(HEADER).fetchone()
        except sqlite3.Error as error:
            return error.sqlite_errorcode == sqlite3.SQLITE_NOTADB
        except OSError:
            return False
        is_ours = bool(found == schema.APPLICATION)
        self._is_known_header = self._is_known_header or is_ours
        is_new = (found, tables) == (0, 0) and not self._is_known_header
        return not (is_ours or is_new)

    def has_lost_log(self) -> bool:
        """Whether the log's name is gone, so that only who has it open can save what it holds."""
        return (
            self._log in self._known
            and _file(self._log) is None
            and _file(self._path) == self._known.get(self._path)
        )

    def _words(self, name: str, *, replaced: bool) -> tuple[str, str]:
        how = "replaced" if replaced else "deleted or moved away"
        if name == self._path:
            hint = f"put the right file there, without another's -wal beside it, and {AGAIN}"
        else:
            hint = f"never do that while the queue is in use; `prokerja doctor` checks it; {AGAIN}"
        return f"{name} was {how} while the queue was open", hint


def _file(name: str) -> File | None:
    """What stands there; None for nothing, or what cannot be looked at."""
    try:
        status = os.stat(name)
    except OSError:
        return None
    return File(status.st_dev, status.st_ino)
