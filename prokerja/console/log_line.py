"""One line of a worker's log: how much it matters, and what it says."""

from __future__ import annotations

from typing import NamedTuple

from prokerja.console.journal import ERROR, INFO, WARNING
from prokerja.text import brief

LEVELS = {ERROR: "error", WARNING: "warning", INFO: "info"}
MAX_ERROR_CHARACTERS = 500
"""Of an error; all of it is kept with its job."""


class Line(NamedTuple):
    """Without its end."""

    level: int
    text: str
    more: tuple[str, ...] = ()
    """Further lines."""

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them."""
        return self.text, *self.more


def cut(error: str) -> str:
    """The beginning of an error's first line."""
    return brief(error.partition("\n")[0], MAX_ERROR_CHARACTERS)
