"""The last lines of what an attempt has printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.output.pieces import Piece


def last_lines(pieces: Iterable[Piece], count: int) -> list[Piece]:
    """What the last `count` lines are made of, of both streams together."""
    kept: list[Piece] = []
    if not count:
        return kept
    ends = 0
    for piece in reversed(list(pieces)):
        data = piece.data
        # The end of the very last line begins no further one.
        whole = data.count(b"\n") - (not kept and data.endswith(b"\n"))
        if ends + whole < count:
            kept.append(piece)
            ends += whole
            continue
        cut = len(data) - (not kept and data.endswith(b"\n"))
        for _ in range(count - ends):
            cut = data.rfind(b"\n", 0, cut)
        rest = data[cut + 1 :]
        if rest:
            kept.append(piece._replace(offset=piece.end - len(rest), data=rest))
        break
    return kept[::-1]
