"""Where the output of attempts is kept."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from prokerja.permissions import share

if TYPE_CHECKING:
    from collections.abc import Iterable

JOBS_PER_FOLDER = 1000
TAILS = 2
LOOK_SECONDS = 1.0
"""Between two looks at whom the queue is shared with."""


class OutputFolder:
    """A directory beside a queue, which is made by the first job that prints.

    An attempt has a file for the first part of its output, and two that take turns for the last.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._path = f"{queue}-output"
        self._facts: os.stat_result | None = None
        self._looked_at = 0.0

    def head(self, id: int, attempt: int) -> str:
        """The file of the first part."""
        return f"{self._folder_of(id)}/{id}-{attempt}"

    def tails(self, id: int, attempt: int) -> list[str]:
        """Those of the last part."""
        return [f"{self.head(id, attempt)}.{number}" for number in range(TAILS)]

    def start(self, id: int, attempt: int) -> int:
        """Open the file of the first part, empty, with none of the last; raises OSError."""
        descriptor = self.create(self.head(id, attempt))
        for tail in self.tails(id, attempt):
            with contextlib.suppress(FileNotFoundError):  # of a run of it that was cut short
                os.unlink(tail)
        return descriptor

    def create(self, path: str) -> int:
        """Open one of these files for writing, empty; raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            self._make_folder(self._path)
            self._make_folder(os.path.dirname(path))
            descriptor = os.open(path, flags, 0o600)
        try:
            share(descriptor, self._like())
        except OSError:  # the queue has been deleted
            os.close(descriptor)
            raise
        return descriptor

    def attempts(self, id: int) -> list[int]:
        """The attempts of a job that have printed something, in order."""
        names = self._names(self._folder_of(id))
        numbers = (name.partition("-") for name in names)
        return sorted(
            int(number) for job, _, number in numbers if job == str(id) and number.isdigit()
        )

    def delete(self, ids: Iterable[int]) -> None:
        """Delete all that these jobs have printed."""
        if not os.path.isdir(self._path):
            return
        for folder, gone in self._by_folder(ids).items():
            left = 0
            for name in self._names(folder):
                if name.partition("-")[0] in gone:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{folder}/{name}")
                else:
                    left += 1
            if not left:
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def _like(self) -> os.stat_result:
        """The queue's owner and mode, as they were a moment ago."""
        now = time.monotonic()
        if self._facts is None or now - self._looked_at > LOOK_SECONDS:
            self._facts, self._looked_at = os.stat(self._queue), now
        return self._facts

    def _by_folder(self, ids: Iterable[int]) -> dict[str, set[str]]:
        folders: dict[str, set[str]] = {}
        for id in ids:
            folders.setdefault(self._folder_of(id), set()).add(str(id))
        return folders

    def _folder_of(self, id: int) -> str:
        return f"{self._path}/{id // JOBS_PER_FOLDER}"

    def _names(self, folder: str) -> list[str]:
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []

    def _make_folder(self, path: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                share(descriptor, self._like())
            finally:
                os.close(descriptor)
