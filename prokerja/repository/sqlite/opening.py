"""From a path to a database that is ours, of this version, private, and on a local disk."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing

from prokerja.errors import NotFound, StoreError
from prokerja.repository import is_path
from prokerja.repository.sqlite import schema
from prokerja.repository.sqlite.database import Database, as_store_error, outdated, retry_while_busy
from prokerja.repository.sqlite.forks import close_in_children

OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""
NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "afpfs",
    "webdav",
}
FORCE = "PROKERJA_ALLOW_NETWORK_FILESYSTEM"
MIN_FILE_BYTES = 512
"""Bytes of the smallest database; SQLite would take less for nothing, and write over it."""
MAX_LOG_BYTES = 64 * 2**20
"""Bytes that the write-ahead log keeps on disk after a checkpoint."""


def open_database(path: str, *, create: bool = True) -> Database:
    """Open `path`, or make it: the directory 0700, the file 0600.

    Raises NotFound if it is not there and `create` is false, StoreError for a file that is not
    ours, is newer than this program, or cannot be used where it is.
    """
    refuse_old_sqlite()
    if is_path(path):
        _prepare(path, create)
    connection: sqlite3.Connection | None = None
    try:
        if os.path.exists(f"{path}-wal"):
            _look(path)
        connection = _connect(path)
        database = Database(connection, path)
        _settle_version(database)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, (sqlite3.Error, UnicodeDecodeError)):
            raise as_store_error(error, path) from error
        raise
    if is_path(path):
        close_in_children(database)
    return database


def refuse_old_sqlite() -> None:
    """Raise StoreError if the SQLite of this Python is older than what our tables need."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old; prokerja needs 3.37 or newer:"
            " use a Python that is built with one"
        )


def refuse_network(path: str) -> None:
    """Raise StoreError if the path lies on a file system whose locks cannot be trusted."""
    kind = filesystem(path)
    shared = kind in NETWORK or kind.startswith("fuse.")
    if shared and not os.environ.get(FORCE):
        raise StoreError(
            f"{path} lies on a network file system ({kind}), where SQLite's locks fail;"
            f" pass a --db on a local disk, or set {FORCE}=1 if you know better"
        )


def filesystem(path: str) -> str:
    """The type of the file system a path lies on, as the mount table calls it; `` if unknown."""
    import psutil

    real = os.path.realpath(path)
    try:
        mounted = psutil.disk_partitions(all=True)
    except (OSError, psutil.Error):  # no /proc, as in some containers
        return ""
    below = [
        part for part in mounted if os.path.commonpath((real, part.mountpoint)) == part.mountpoint
    ]
    # Of two mounts on one point the later covers the earlier.
    nearest = max(enumerate(below), key=lambda p: (len(p[1].mountpoint), p[0]), default=None)
    return nearest[1].fstype if nearest else ""


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=0.0, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def _look(path: str) -> None:
    """Refuse another program's file without checkpointing its log, as closing it later would."""
    from urllib.parse import quote

    name = quote(os.fsencode(path))
    with closing(sqlite3.connect(f"file:{name}?mode=ro", timeout=0.0, uri=True)) as connection:
        try:
            version_of(Database(connection, path))
        except sqlite3.OperationalError as error:
            # Cut off while it was made a file with a log: only who may write can look into it.
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise


def _prepare(path: str, create: bool) -> None:
    if refuse_unusable(path):
        return
    if not create:
        raise NotFound(f"there is no queue at {path} yet; declare a job to make one")
    _make(path)


def refuse_unusable(path: str) -> bool:
    """Raise StoreError for what cannot be a database of this user; returns whether it is there."""
    try:
        mode, _, _, _, _, _, size, *_ = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; check the path and its permissions") from None
    except ValueError as error:
        raise StoreError(f"{path!r} is not a path: {error}; pass another --db") from None
    if not stat.S_ISREG(mode):
        raise StoreError(f"{path} is not a file; pass a --db that names one")
    if 0 < size < MIN_FILE_BYTES:
        raise StoreError(f"{path} is not an SQLite database; pass another --db")
    if not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"{path} {rights(path)}; change its owner or mode, or pass another --db")
    directory = os.path.dirname(path)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StoreError(
            f"{directory}, which holds the database, {rights(directory)};"
            " SQLite keeps its log beside the file, so this user must be able to write there"
        )
    return True


def _make(path: str) -> None:
    directory = os.path.dirname(path)
    try:
        made = _ancestors_to_make(directory)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        refuse_network(directory)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        for folder in (directory, *map(os.path.dirname, made)):
            _sync(folder)
    except FileExistsError as error:
        if not os.path.isfile(path):
            raise StoreError(f"{error.filename} is in the way; pass another --db") from None
    except OSError as error:
        raise StoreError(
            f"cannot make {path}: {error.strerror}; check {directory} or pass another --db"
        ) from None


def _ancestors_to_make(directory: str) -> list[str]:
    """The directory and those above it, as far as they are not there."""
    missing = []
    while not os.path.isdir(directory) and directory != os.path.dirname(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    return missing


def _sync(directory: str) -> None:
    """Make a directory's entries survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rights(path: str) -> str:
    """That this user cannot write there, and who can, to go on after a path."""
    facts = os.stat(path)
    return (
        f"cannot be written by this user (uid {os.geteuid()}):"
        f" it belongs to uid {facts.st_uid}, mode {stat.S_IMODE(facts.st_mode):04o}"
    )


def _settle_version(database: Database) -> None:
    path = database.path
    version, mode = version_of(database)
    if version > schema.VERSION:
        raise outdated(path, version)
    if mode not in ("wal", "memory"):
        retry_while_busy(database.execute, "PRAGMA journal_mode = WAL")
    retry_while_busy(database.execute, "PRAGMA synchronous = FULL")
    retry_while_busy(database.execute, f"PRAGMA journal_size_limit = {MAX_LOG_BYTES}")
    if version < schema.VERSION:
        with database.writing():
            if version_of(database)[0] < schema.VERSION:
                schema.migrate(database.connection)


def version_of(database: Database) -> tuple[int, str]:
    """The file's schema version, 0 for an empty one, and its journal mode; or StoreError."""
    # One statement, so that a file another process is just making is seen whole or empty.
    query = """
        SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema), journal_mode
        FROM pragma_application_id, pragma_user_version, pragma_journal_mode"""
    found = retry_while_busy(database.execute, query, database.patience)
    application, version, tables, mode = found.fetchone()
    if application == schema.APPLICATION and version < 1:
        raise StoreError(f"{database.path} is damaged: it has no version; restore a backup")
    if application == schema.APPLICATION:
        return int(version), mode
    if application or version or tables:
        raise StoreError(
            f"{database.path} is a database, but not one of prokerja's; pass another --db"
        )
    return 0, mode
