"""What a proof did, counted and checked: printed at its end, whatever the end was."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Broken(Exception):
    """A promise was broken; the message says which, and where."""


class Ledger:
    """The account of one proof."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self._began = time.monotonic()

    def count(self, what: str, number: int = 1) -> None:
        """So many more of these."""
        self.counts[what] += number

    def note(self, line: str) -> None:
        """Something to be said in words."""
        self.notes.append(line)

    def require(self, what: str, *, holds: bool, otherwise: str) -> None:
        """A promise, checked once more; raises Broken if it does not hold."""
        if not holds:
            raise Broken(f"{what}: {otherwise}")
        self.counts[f"checked: {what}"] += 1

    def lines(self) -> Iterable[str]:
        """The account, ready to print."""
        for what, number in self.counts.items():
            yield f"  {number:>12,}  {what}"
        for note in self.notes:
            yield f"                {note}"
        yield f"  {time.monotonic() - self._began:>11.1f}s  taken"
