"""A worker's turn without a worker: claim and settle straight through the repository."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from prokerja.model.worker import Taking
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.verbs import Want
from prokerja.verdicts import Completed, Failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prokerja.model.claim import Claimed
    from prokerja.repository.sqlite.repository import SQLiteRepository
    from prokerja.verdicts import Settlement

WORKER = 2**20
"""The id of a worker that is none: its claims are all settled before anyone looks."""
_NUMBERS = itertools.count(1)


def claim(repository: SQLiteRepository, most: int, now: float) -> tuple[int, list[Claimed]]:
    """Claim what is due, `most` at the most; inside a write transaction. The token comes first."""
    token = WORKER * TURNS + next(_NUMBERS)
    taken: list[Claimed] = []

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        some = list(itertools.islice(offered, most - len(taken)))
        taken.extend(some)
        return some, len(taken) == most

    repository.claims.claiming.claim(token, Want(Taking(), choose), now)
    return token, taken


def settle(
    repository: SQLiteRepository, token: int, verdicts: Sequence[Settlement], now: float
) -> None:
    """Write down what came of a claim; inside a write transaction."""
    repository.claims.settle(token, verdicts, now, lambda: 0.5)


def completed(claimed: Claimed, now: float) -> Settlement:
    """The verdict on a job that has just run for a microsecond."""
    return (claimed.id, claimed.lane, Completed(now, now + 1e-6, None))


def failed(claimed: Claimed, now: float) -> Settlement:
    """The verdict on a job that has just raised."""
    error = "ValueError: this job was made to fail"
    return (claimed.id, claimed.lane, Failed(now, now + 1e-6, error, f"Traceback: {error}"))
