"""In what a realizer prints, which attempt speaks from here on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGN, END = b"\x1e", b"\x1f"
MAX_NUMBERS_BYTES = 32


Speaker = tuple[int, int]
"""An attempt: the job's id, and its number."""
NOBODY: Speaker = (0, 0)
"""What is printed outside of any job, or cannot be told to be of one."""


def announcement(mark: str, speaker: Speaker) -> bytes:
    """What goes into the stream before what an attempt prints; no job knows `mark`."""
    return b"%s%s %d %d%s" % (SIGN, mark.encode(), *speaker, END)


class Announcements:
    """Takes the announcements out of one stream."""

    def __init__(self, mark: str) -> None:
        self._beginning = SIGN + mark.encode() + b" "
        self._whole = re.compile(re.escape(self._beginning) + rb"(\d+) (\d+)" + END)
        self._held = b""
        self.speaker = NOBODY
        """Who speaks last."""

    def feed(self, piece: bytes) -> Iterator[tuple[Speaker, bytes]]:
        """What was said in a piece, and by whom; an empty piece ends the stream."""
        text = self._held + piece
        self._held = b""
        if piece and (cut := self._cut(text)) is not None:
            text, self._held = text[:cut], text[cut:]
        said, *rest = self._whole.split(text)
        if said:
            yield self.speaker, said
        for id, attempt, said in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
            self.speaker = int(id), int(attempt)
            if said:
                yield self.speaker, said

    def _cut(self, text: bytes) -> int | None:
        """Where an announcement begins whose end is still to come."""
        longest = len(self._beginning) + MAX_NUMBERS_BYTES
        place = text.rfind(SIGN, max(0, len(text) - longest))
        if place < 0:
            return None
        rest = text[place : place + len(self._beginning)]
        is_one = self._beginning.startswith(rest) and not self._whole.match(text, place)
        return place if is_one else None
