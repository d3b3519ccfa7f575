"""Starts under a rate: no more than so many in any stretch of so many seconds.

A start counts from its claim on, and for the length of the stretch from when it began. So of any
stretch that holds one too many, the last to be claimed would have found all others counted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prokerja.model.flow import Shortage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Literal

    from prokerja.model.claim import Claimed
    from prokerja.model.flow import Rate
    from prokerja.repository.sqlite.database import Database

    Kind = Literal["rate", "queue rate"]

PREFIXES = {"rate": "key ", "queue rate": "queue "}
CLAIMED = "INSERT INTO start (key, declaration, token) VALUES (?, ?, ?)"
CORRECT = "UPDATE start SET at = ? WHERE key = ? AND at > ?"
COUNT = """
    SELECT (SELECT count(*) FROM start WHERE key = ?1 AND at IS NULL),
        (SELECT count(*) FROM start WHERE key = ?1 AND at > ?2)"""
NTH_NEWEST = (
    "SELECT at FROM start WHERE key = ? AND at IS NOT NULL ORDER BY at DESC LIMIT 1 OFFSET ?"
)
OPEN = "SELECT DISTINCT declaration FROM start WHERE token = ? AND at IS NULL"
BEGAN = "UPDATE start SET at = ? WHERE token = ? AND declaration = ? AND at IS NULL"
NEVER_BEGAN = "DELETE FROM start WHERE token = ? AND declaration = ? AND at IS NULL"
OVER = """
    DELETE FROM start WHERE at < :now - max(
        coalesce((
            SELECT max(rate_seconds) FROM flow WHERE rate_key = substr(key, 5) AND rate_key <> ''
        ), 0),
        coalesce((SELECT rate_seconds FROM queue WHERE name = substr(key, 7)), 0)
    )"""
CLOCK_SLACK_SECONDS = 5.0
"""What has begun so much later than now did so by a clock that was ahead. Less may be true: another
worker may have written it after we had read the clock, and before we had the lock."""
ROUNDING_SECONDS = 1e-6
"""More than what a moment loses when a stretch is added to it and taken away again."""


class Starts:
    """Inside the transaction at hand."""

    def __init__(self, database: Database, now: float, *, claiming: bool) -> None:
        self._database = database
        self._now = now
        self._claiming = claiming
        """Whether the transaction writes."""
        self._taken: Counter[str] = Counter()
        """Claimed in this turn, by key."""
        self._counts: dict[tuple[str, float], tuple[int, int]] = {}
        """By key and seconds: how many are claimed and may yet begin, and how many have begun."""
        self._short: dict[tuple[str, Rate, int], Shortage] = {}
        """By key, rate, and how many are claimed."""

    def shortages(self, kind: Kind, of: str, rate: Rate) -> Iterator[Shortage]:
        """What keeps one more of a key, or a queue, from starting."""
        key = PREFIXES[kind] + of
        claimed, begun = self._count(key, rate.seconds)
        claimed += self._taken[key]
        if claimed + begun >= rate.starts:
            found = key, rate, claimed
            if found not in self._short:  # thousands of lanes may have this rate
                until = self._until(*found)
                self._short[found] = Shortage(
                    kind, of, rate.starts, claimed + begun, seconds=rate.seconds, until=until
                )
            yield self._short[found]

    def take(self, kind: Kind, of: str, count: int) -> None:
        """So many more are about to start; below zero: they are not."""
        self._taken[PREFIXES[kind] + of] += count

    def claimed(self, kind: Kind, of: str, job: Claimed) -> None:
        """Write down that a job may begin at any moment."""
        self._database.execute(CLAIMED, (PREFIXES[kind] + of, job.id, job.token))

    def _count(self, key: str, seconds: float) -> tuple[int, int]:
        if (key, seconds) not in self._counts:
            if self._claiming:
                latest = self._now + CLOCK_SLACK_SECONDS
                self._database.execute(CORRECT, (self._now, key, latest))
            row = self._database.execute(COUNT, (key, self._now - seconds)).fetchone()
            self._counts[key, seconds] = row
        return self._counts[key, seconds]

    def _until(self, key: str, rate: Rate, claimed: int) -> float | None:
        """When enough of those that have begun are over; None if that alone will not do."""
        if claimed >= rate.starts:
            return None
        nth = self._database.execute(NTH_NEWEST, (key, rate.starts - claimed - 1)).fetchone()
        return None if nth is None else float(nth[0]) + rate.seconds + ROUNDING_SECONDS


class OpenStarts:
    """What was claimed under a rate, until it is known when it began."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_claim(self, token: int) -> set[int]:
        """Those of a claim's declarations."""
        return {id for (id,) in self._database.execute(OPEN, (token,))}

    def began(self, token: int, moments: Mapping[int, float] | Iterable[tuple[int, float]]) -> None:
        """These of a claim's declarations began then."""
        rows = [(moment, token, id) for id, moment in dict(moments).items()]
        self._database.executemany(BEGAN, rows)

    def never_began(self, token: int, ids: Iterable[int]) -> None:
        """These of a claim's declarations have not begun, and will not under it."""
        self._database.executemany(NEVER_BEGAN, [(token, id) for id in ids])

    def forget(self, now: float) -> None:
        """Delete those that no stretch holds any more."""
        self._database.execute(OVER, {"now": now})
