"""The results as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from tests.bench.figures import LEFT_OUT, MET, MISSED, OURS, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.figures import Goal, Line, Spread

STYLES = {MET: "green", MISSED: "red", LEFT_OUT: "dim"}
COLUMNS = ("what", "median (least to most)", "goal", "found", "verdict")


def table(lines: Sequence[Line]) -> Table:
    """A row for each side's figure, and one for each goal beside it."""
    found = Table(*COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for line in lines:
        found.add_section()
        for cells in _rows(line):
            found.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in cells))
    return found


def _rows(line: Line) -> Iterator[tuple[str, ...]]:
    figures = [
        (f"  {side}" if number else line.what, _words(spread(values), line.unit))
        for number, (side, values) in enumerate(line.figures.items())
    ]
    if OURS not in line.figures:
        figures = [(line.what, ""), *((f"  {side}", _words(spread(v), line.unit))
                                      for side, v in line.figures.items())]  # fmt: skip
    goals = [_goal(line, goal) for goal in line.goals]
    for number in range(max(len(figures), len(goals))):
        left = figures[number] if number < len(figures) else ("", "")
        right = goals[number] if number < len(goals) else ("", "", "")
        yield (*left, *right)


def _goal(line: Line, goal: Goal) -> tuple[str, str, str]:
    least = "at least" if goal.at_least else "at most"
    unit = f"x {goal.of}" if goal.of else line.unit
    found = goal.spread(line.figures)
    words = "" if found is None else _words(found, "x" if goal.of else line.unit)
    return f"{least} {goal.bound:,g} {unit}".rstrip(), words, goal.verdict(line.figures)


def _words(found: Spread, unit: str) -> str:
    median, least, most = map(_number, found)
    return f"{median} {unit} ({least} to {most})" if unit else f"{median} ({least} to {most})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
