"""What one realizer prints: split by attempt and stream, and written down."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prokerja.output.pieces import STDERR, STDOUT
from prokerja.output.recording import Recording
from prokerja.worker.output.announcements import NOBODY, Announcements, Speaker
from prokerja.worker.output.prefix import LinePrefixer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.output.folder import OutputFolder

READ_BYTES = 2**16


class Stream:
    """One of its pipes."""

    def __init__(self, descriptor: int, number: int, mark: str) -> None:
        self.descriptor = descriptor
        self.number = number
        self.announcements = Announcements(mark)
        self.prefixer = LinePrefixer()
        self.is_open = True


class Tap:
    """The two pipes of a realizer, which are not to block.

    Recordings go to `folder`, `limit` bytes of the beginning and of the end of each; none if it is
    None. With `verbose`, all that is printed is also to be shown; else only what is nobody's.
    """

    def __init__(
        self, out: int, err: int, folder: OutputFolder | None, limit: int, *, verbose: bool
    ) -> None:
        self.mark = os.urandom(8).hex()
        """What only this realizer's own announcements have in them."""
        self.streams = (Stream(out, STDOUT, self.mark), Stream(err, STDERR, self.mark))
        self._folder = folder
        self._limit = limit
        self._verbose = verbose
        self.recordings: dict[Speaker, Recording] = {}

    def read(self, stream: Stream, now: float) -> tuple[int, bytes]:
        """Take in what there is at once; how many bytes those were, and what is to be shown.

        The pipe has ended if those are none. Raises BlockingIOError if there is nothing.
        """
        piece = os.read(stream.descriptor, READ_BYTES)
        shown = b""
        for speaker, said in stream.announcements.feed(piece):
            if speaker != NOBODY:
                self._record(speaker, stream.number, now, said)
            if speaker == NOBODY or self._verbose:
                label = b"[%d] " % speaker[0] if speaker != NOBODY else b""
                shown += stream.prefixer.feed(label, said)
        if not piece:
            shown += stream.prefixer.end()
            stream.is_open = False
            stream.announcements.speaker = NOBODY
        return len(piece), shown

    def end(self, speakers: Iterable[Speaker]) -> None:
        """All that these attempts have printed has been read."""
        for speaker in speakers:
            if recording := self.recordings.pop(speaker, None):
                recording.close()

    def end_all(self) -> None:
        """The realizer is dead: what still comes, from what it has left, is kept no more."""
        self._folder = None
        self.end(list(self.recordings))

    def _record(self, speaker: Speaker, number: int, now: float, said: bytes) -> None:
        if self._folder is None or not self._limit:
            return
        recording = self.recordings.get(speaker)
        if recording is None:
            recording = Recording(self._folder, *speaker, self._limit)
            self.recordings[speaker] = recording
        recording.write(number, now, said)
