"""Where measurements take place: sizes, rounds, scratch files, and processes of their own."""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
R = TypeVar("R")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RESULTS = os.path.join(HERE, "results")
SEED = 20_240
"""For every random choice: the same moments in every run."""


class LeftOut(Exception):
    """A side that cannot be measured here; the message says why."""


class Stage(NamedTuple):
    """One run of the benchmark."""

    scratch: str
    """A directory of this run, on the disk that holds the repository."""
    quick: bool = False
    peers: bool = True
    idle: float = 0.0
    """Seconds of idleness before the wake-ups that are to show it; 0 to leave them out."""

    @property
    def rounds(self) -> int:
        """How often each side takes its turn."""
        return 3 if self.quick else 5

    @property
    def kept(self) -> int:
        """How many finished jobs a full file holds."""
        return 1_000_000 if self.quick else 10_000_000

    def pick(self, full: int, quick: int) -> int:
        """A size that depends on the mode."""
        return quick if self.quick else full

    def new(self, name: str) -> str:
        """The path of a database in a fresh directory."""
        return os.path.join(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch), "db.sqlite3")

    def say(self, line: str) -> None:
        """Tell whoever waits."""
        print(f"bench: {line}", file=sys.stderr, flush=True)

    def take_turns(self, sides: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Each side's figures, one from each round; sides that cannot run here are left out."""
        figures: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(self.rounds):
            for side, measure in sides.items():
                if side in figures:
                    try:
                        figures[side].append(measure())
                    except LeftOut as why:
                        self.say(f"{side} is left out: {why}")
                        del figures[side]
            self.say(f"round {number + 1} of {self.rounds}: {_latest(figures)}")
        return figures


def apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What the function returns in a new interpreter: nothing before it has warmed its caches."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


@cache
def surroundings() -> dict[str, str]:
    """The environment for every process: none of the caller's settings, compiled files allowed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PROKERJA_", "PYTHON"))}
    nowhere = os.path.join(RESULTS, "no-settings")
    return {**kept, "XDG_CONFIG_HOME": nowhere, "XDG_DATA_HOME": nowhere}


def _latest(figures: Mapping[str, list[float]]) -> str:
    return ", ".join(f"{side} {values[-1]:,.3g}" for side, values in figures.items())
