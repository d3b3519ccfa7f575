"""For example: `prokerja declare:job backup_database path=/srv/app.db into=/srv/backup`."""

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedRandom
from pathlib import Path
from typing import Any

from prokerja import Job

BUSY_SECONDS = 60


@dataclass
class BackupDatabase(Job):
    """Copy a live SQLite database into a directory, verified.

    The copy is named `<stem>-<UTC time of the source's last change>-<digest><suffix>`: as long as
    the source is unchanged a repeat renews the same backup, and never touches another one. Who
    writes to a database that is not in WAL mode waits while it is being copied.
    """

    path: str
    into: str

    def handle(self) -> dict[str, Any]:
        """Copy one snapshot, check it, and rename it once every byte is on the disk."""
        source = existing_file(self.path)
        into = Path(self.into).absolute()
        if into.exists() and not into.is_dir():
            raise NotADirectoryError(f"{into} is a file; give a directory for the backups")
        try:
            return backup(source, into)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                raise no_database(source) from error
            raise RuntimeError(
                f"{source} was not backed up: {error}; check that it is not locked, damaged or in "
                f"need of recovery, that this worker may read it, and that {into} has room"
            ) from error


def existing_file(path: str) -> Path:
    """`path` from the root on."""
    source = Path(path).absolute()
    if not source.exists():
        raise FileNotFoundError(
            f"no database at {source}, or none this worker may see; give its absolute path"
        )
    if not source.is_file():
        raise ValueError(f"{source} is not a file; give the database's own file")
    return source


def no_database(source: Path) -> ValueError:
    """Text, an encrypted database, or nothing at all."""
    return ValueError(f"{source} is no SQLite database; give the database's own, unencrypted file")


def backup(source: Path, into: Path) -> dict[str, Any]:
    """Make the backup, from the first look at the source to the directory's fsync."""
    changed = last_change(source)
    with snapshot(source) as original:
        make_directory(into, 0o700)
        unfinished = into / f".{source.name}.tmp"
        with draft(unfinished) as copy:
            copy_pages(original, unfinished)
            pages = verified_pages(unfinished)
            os.fsync(copy.fileno())
            target = into / f"{source.stem}-{changed}-{digest(source, copy)}{source.suffix}"
            size = os.fstat(copy.fileno()).st_size
            unfinished.replace(target)
            sync_directory(into)
    return {"path": str(target), "bytes": size, "pages": pages}


def last_change(source: Path) -> str:
    """When the database was last written; an empty WAL is only a trace of its readers."""
    real = source.resolve()
    files = [real, real.with_name(f"{real.name}-wal")]
    times = [file.stat().st_mtime for file in files if file.exists() and file.stat().st_size]
    return datetime.fromtimestamp(max(times, default=0), UTC).strftime("%Y%m%dT%H%M%SZ")


@contextmanager
def snapshot(source: Path) -> Iterator[sqlite3.Connection]:
    """A read transaction, so that what others write meanwhile neither mixes in nor restarts us."""
    with closing(connect(source, "mode=ro")) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if connection.execute("PRAGMA page_count").fetchone() == (0,):
            raise no_database(source)
        yield connection


def copy_pages(original: sqlite3.Connection, path: Path) -> None:
    """Fill the draft; nobody else sees it, so it needs neither SQLite's locks nor a journal."""
    with closing(connect(path, "mode=rw&nolock=1")) as copy:
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        original.backup(copy)


def verified_pages(path: Path) -> int:
    """How many pages the copy has, if SQLite finds nothing wrong with them."""
    with closing(connect(path, "mode=ro&immutable=1")) as copy:
        found = [line for (line,) in copy.execute("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise sqlite3.DatabaseError(f"integrity_check says {'; '.join(found)}")
        pages: int = copy.execute("PRAGMA page_count").fetchone()[0]
        return pages


def connect(path: Path, how: str) -> sqlite3.Connection:
    """Open an existing file; none is ever created."""
    return sqlite3.connect(
        f"{path.as_uri()}?{how}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )


def digest(source: Path, copy: BufferedRandom) -> str:
    """Tell apart the contents, and same-named sources in different directories."""
    copy.seek(0)
    seeded = hashlib.sha256(os.fsencode(source))
    return hashlib.file_digest(copy, lambda: seeded).hexdigest()[:12]


def make_directory(directory: Path, mode: int = 0o777) -> None:
    """Make it and the parents it lacks, and put their names on the disk."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(mode, exist_ok=True)
        sync_directory(directory.parent)


@contextmanager
def draft(path: Path) -> Iterator[BufferedRandom]:
    """An empty private file at `path`, ours until renamed; else removed.

    Its name never varies, so that what a killed attempt left there is taken over by the next.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not is_at(path, file):  # whoever held the lock has renamed or removed it
                continue
            try:
                file.truncate(0)
                os.fchmod(descriptor, 0o600)
                yield file
            finally:
                if is_at(path, file):
                    path.unlink()
            return


def is_at(path: Path, file: BufferedRandom) -> bool:
    """Whether `path` still names this open file."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def sync_directory(directory: Path) -> None:
    """Put a new name on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
