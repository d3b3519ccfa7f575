"""What several jobs of one process print at the same time, each in its own name.

What a job prints by Python is its own, in its tasks and in the threads that `asyncio.to_thread` and
the loop's executor give it. What a child process writes to the bare descriptors goes to the job
that was announced last: the one that started it, until another prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from prokerja.worker.output.announcements import NOBODY, Speaker
from prokerja.worker.output.capture import OutputCapture, TaggedStream

if TYPE_CHECKING:
    from typing import TextIO


class Voice:
    """Whoever prints while others do."""

    speaker: Speaker = NOBODY
    streams: dict[int, TextIO] | None = None
    """By descriptor, once it has printed."""


VOICE: ContextVar[Voice | None] = ContextVar("prokerja_voice", default=None)
"""That of the job that runs in this context; None outside of those that others run beside."""


class VoiceStream(TaggedStream):
    """A descriptor as one voice writes to it."""

    def __init__(self, descriptor: int, capture: VoiceCapture, voice: Voice) -> None:
        super().__init__(descriptor, capture)
        self._voices = capture
        self._voice = voice

    def write(self, data: object) -> int:
        return self._voices.write(self._voice, self._descriptor, data)


class Chorus:
    """Stands for standard output or error: it is that of the voice that uses it."""

    def __init__(self, descriptor: int, usual: TextIO, capture: VoiceCapture) -> None:
        self._descriptor = descriptor
        self._usual = usual
        self._capture = capture

    def write(self, text: str) -> int:
        return self._own().write(text)

    def flush(self) -> None:
        self._own().flush()

    def _own(self) -> TextIO:
        voice = VOICE.get()
        return self._usual if voice is None else self._capture.stream(voice, self._descriptor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own(), name)


class VoiceCapture(OutputCapture):
    """Standard output and error of a realizer that runs several jobs at once."""

    def __init__(self, mark: str) -> None:
        self._writing = threading.RLock()
        super().__init__(mark)

    def announce_in(self, descriptor: int) -> None:
        """Say in one of them who speaks, if that is another than before."""
        voice = VOICE.get()
        self._announce(self.speaker if voice is None else voice.speaker, descriptor)

    def write(self, voice: Voice, descriptor: int, data: Any) -> int:
        """Write what a voice prints."""
        with self._writing:
            self._announce(voice.speaker, descriptor)
            return os.write(descriptor, data)

    def stream(self, voice: Voice, descriptor: int) -> TextIO:
        """Where a voice prints to."""
        with self._writing:
            if voice.streams is None:
                voice.streams = {}
            if descriptor not in voice.streams:
                raw = io.BufferedWriter(VoiceStream(descriptor, self, voice))
                text = io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)
                voice.streams[descriptor] = text
            return voice.streams[descriptor]

    def end_voice(self, voice: Voice) -> None:
        """Send what it has printed; what it prints from here on is nobody's."""
        if voice.streams is None and voice.speaker not in self._announced.values():
            voice.speaker = NOBODY
            return
        for stream in (voice.streams or {}).values():
            with contextlib.suppress(Exception):  # the job may have closed it
                stream.flush()
        with self._writing:
            for descriptor, announced in self._announced.items():
                if announced == voice.speaker:
                    self._say(descriptor, NOBODY)
            voice.speaker = NOBODY

    def _announce(self, speaker: Speaker, descriptor: int) -> None:
        with self._writing:
            if self._announced[descriptor] != speaker:
                self._say(descriptor, speaker)

    def _text(self, descriptor: int) -> Any:
        return Chorus(descriptor, super()._text(descriptor), self)
