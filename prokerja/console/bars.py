"""Bars that show how much of something is done."""

from __future__ import annotations

FULL, PARTS = "\u2588", " \u258f\u258e\u258d\u258c\u258b\u258a\u2589"
ASCII_FULL = "#"


def bar(part: float, longest: int, *, ascii_only: bool) -> str:
    """A part, from 0 to 1, of `longest` columns; what is left of them is blank."""
    eighths = round(part * longest * 8)
    if ascii_only:
        return (ASCII_FULL * (eighths // 8)).ljust(longest)
    return (FULL * (eighths // 8) + PARTS[eighths % 8].strip()).ljust(longest)
