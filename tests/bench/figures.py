"""A measurement's figures, the goals they are held to, and the verdicts."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OURS, BARE = "prokerja", "bare sqlite3"
MET, MISSED, LEFT_OUT = "met", "missed", "left out"


class Spread(NamedTuple):
    """The figures of all rounds in three numbers."""

    median: float
    least: float
    most: float


class Goal(NamedTuple):
    """What a figure, or its ratio to another side's figure of the same round, must reach."""

    bound: float
    at_least: bool
    """Whether the bound is the least that is good enough; else it is the most."""
    of: str = ""
    """The side to divide by; empty for the figure itself."""
    side: str = OURS

    def spread(self, figures: Mapping[str, Sequence[float]]) -> Spread | None:
        """What the goal is about; None if one of its sides was left out."""
        mine = figures.get(self.side)
        theirs = figures.get(self.of) if self.of else [1.0] * len(mine or ())
        if not mine or not theirs:
            return None
        return spread([a / b for a, b in zip(mine, theirs, strict=True)])

    def verdict(self, figures: Mapping[str, Sequence[float]]) -> str:
        """Whether the median over all rounds reaches the bound."""
        found = self.spread(figures)
        if found is None:
            return LEFT_OUT
        reached = found.median >= self.bound if self.at_least else found.median <= self.bound
        return MET if reached else MISSED


class Line(NamedTuple):
    """One thing that was measured: a figure of each side from each round."""

    name: str
    """Its name in the JSON, the same in every run."""
    what: str
    """What was timed, for the table."""
    unit: str
    figures: dict[str, list[float]]
    """By side, in the order of the rounds."""
    goals: tuple[Goal, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The line with its medians, ratios and verdicts."""
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "note": self.note,
            "figures": self.figures,
            "spreads": {side: spread(figures)._asdict() for side, figures in self.figures.items()},
            "goals": [self._goal_json(goal) for goal in self.goals],
        }

    def _goal_json(self, goal: Goal) -> dict[str, Any]:
        found = goal.spread(self.figures)
        return {
            **goal._asdict(),
            "found": None if found is None else found._asdict(),
            "verdict": goal.verdict(self.figures),
        }


def spread(figures: Sequence[float]) -> Spread:
    """Median, least and most."""
    return Spread(statistics.median(figures), min(figures), max(figures))


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample that `share` of all do not exceed (0.99 of 100 samples: the 99th)."""
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]


def at_least(bound: float, of: str = "", side: str = OURS) -> Goal:
    """The goal to reach the bound, as a figure or in relation to another side."""
    return Goal(bound, True, of, side)


def at_most(bound: float, of: str = "", side: str = OURS) -> Goal:
    """The goal to stay within the bound, as a figure or in relation to another side."""
    return Goal(bound, False, of, side)
