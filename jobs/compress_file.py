"""For example: `prokerja declare:job compress_file path=/var/log/app.log into=/srv/backup`."""

import fcntl
import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from prokerja import Job

LATEST_IN_HEADER = 2**32 - 1


@dataclass
class CompressFile(Job):
    """Compress a file into a directory that mirrors absolute paths.

    `/var/log/app.log` becomes `into/var/log/app.log.gz`, with the same time and permissions. The
    same file at the same level gives the same bytes, so a repeat changes nothing.
    """

    path: str
    into: str
    level: int = 6

    def handle(self) -> dict[str, Any]:
        """Write beside the target, and rename once every byte is on the disk."""
        if self.level not in range(10):
            raise ValueError(f"there is no level {self.level}; use 0 (store) to 9 (smallest)")
        source = existing_file(self.path)
        target = mirrored(source, Path(self.into).absolute())
        unfinished = Path(f"{target}~")
        with source.open("rb") as original, draft(unfinished) as copy:
            compress(original, copy, self.level)
            sizes = {"bytes_in": original.tell(), "bytes_out": copy.tell()}
            unfinished.replace(target)
            sync_directory(target.parent)
        return {"path": str(target), **sizes}


def existing_file(path: str) -> Path:
    """`path` from the root on; symbolic links keep their names unless `..` could cross them."""
    source = Path(path).absolute()
    if ".." in source.parts:
        source = source.resolve()
    if source.is_dir():
        raise IsADirectoryError(
            f"{source} is a directory; declare one compress_file for each file in it"
        )
    if not source.exists():
        raise FileNotFoundError(
            f"no file at {source}, or none this worker may see; give its absolute path"
        )
    if not source.is_file():
        raise ValueError(f"{source} is a device, a pipe or a socket; give a regular file")
    return source


def mirrored(source: Path, into: Path) -> Path:
    """The target; its directories are as closed as the originals, so that no copy leaks."""
    if into.exists() and not into.is_dir():
        raise NotADirectoryError(f"{into} is a file; give a directory to compress into")
    make_directory(into)
    for original in reversed(source.parents):
        mode = original.stat().st_mode & 0o777 | 0o700
        make_directory(into / original.relative_to(source.anchor), mode)
    return into / source.relative_to(source.anchor).with_name(f"{source.name}.gz")


def make_directory(directory: Path, mode: int = 0o777) -> None:
    """Make it and the parents it lacks, and put their names on the disk."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(mode, exist_ok=True)
        sync_directory(directory.parent)


@contextmanager
def draft(path: Path) -> Iterator[BinaryIO]:
    """An empty private file at `path`, ours until renamed; else removed.

    Its name never varies, so that what a killed attempt left there is taken over by the next.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not is_at(path, file):  # whoever held the lock has renamed or removed it
                continue
            try:
                file.truncate(0)
                yield file
            finally:
                if is_at(path, file):
                    path.unlink()
            return


def is_at(path: Path, file: BinaryIO) -> bool:
    """Whether `path` still names this open file."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def compress(original: BinaryIO, copy: BinaryIO, level: int) -> None:
    """Bytes, time and permissions, all on the disk when this returns."""
    status = os.fstat(original.fileno())
    seconds = min(max(0, int(status.st_mtime)), LATEST_IN_HEADER)
    with gzip.GzipFile("", "wb", level, fileobj=copy, mtime=seconds) as packed:
        shutil.copyfileobj(original, packed)
    copy.flush()
    os.fchmod(copy.fileno(), status.st_mode & 0o777)
    os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    os.fsync(copy.fileno())


def sync_directory(directory: Path) -> None:
    """Put a new name on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
