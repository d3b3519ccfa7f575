"""What people have said of queues, as rows: pauses, limits and rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.errors import NotPaused
from prokerja.flow.pauses import ALL_QUEUES, pause_of, resuming
from prokerja.model.flow import QueueRule, Rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Waiting

COLUMNS = """
    name, max_running, max_starts, rate_seconds, paused_at, paused_by, paused_why, paused_until"""
READ = f"SELECT {COLUMNS} FROM queue ORDER BY name"
PAUSE = """
    INSERT INTO queue (name, paused_at, paused_by, paused_why, paused_until) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET paused_at = excluded.paused_at, paused_by = excluded.paused_by,
    paused_why = excluded.paused_why, paused_until = excluded.paused_until"""
RESUME = """
    UPDATE queue SET paused_at = NULL, paused_by = NULL, paused_why = NULL, paused_until = NULL
    WHERE"""
LIMIT = """
    INSERT INTO queue (name, max_running) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET max_running = excluded.max_running"""
RATE = """
    INSERT INTO queue (name, max_starts, rate_seconds) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET max_starts = excluded.max_starts,
    rate_seconds = excluded.rate_seconds"""
DROP_EMPTY = """
    DELETE FROM queue WHERE max_running IS NULL AND max_starts IS NULL AND paused_at IS NULL"""
QUEUES_BETWEEN = """
    SELECT DISTINCT queue FROM declaration JOIN lane ON lane.id = lane
    WHERE declaration.id BETWEEN ? AND ?"""
QUEUES_OF = """
    SELECT DISTINCT queue FROM json_each(?) JOIN declaration ON declaration.id = value
    JOIN lane ON lane.id = lane"""


class QueueRules:
    """What is a transaction of its own says so; the rest stands inside the one at hand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, QueueRule]:
        """Every rule, by the name of its queue, in that order."""
        return {row[0]: _rule(row) for row in self._database.execute(READ)}

    def open(
        self, lanes: Sequence[Waiting], rules: Mapping[str, QueueRule], now: float
    ) -> tuple[list[Waiting], float | None]:
        """These lanes without those of paused queues, and when the first such pause ends.

        Pauses that have ended are forgotten.
        """
        self._forget_ended(rules, now)
        queues = {one.lane.queue for one in lanes}
        pauses = {queue: pause for queue in queues if (pause := pause_of(rules, queue, now))}
        ends = (pause.paused_until for pause in pauses.values() if pause.paused_until is not None)
        return [one for one in lanes if one.lane.queue not in pauses], min(ends, default=None)

    def pause(
        self, queue: str, now: float, by: str, why: str | None, until: float | None
    ) -> tuple[QueueRule, QueueRule | None]:
        """Pause a queue, in a transaction; returns its rule, and the pause that this replaces."""
        with self._database.writing():
            before = self.all().get(queue)
            self._database.execute(PAUSE, (queue, now, by, why, until))
            self._database.log.add("paused", now, (queue, by, why, until))
            after = self.all()[queue]
        return after, before if before is not None and before.is_paused(now) else None

    def resume(self, queue: str, now: float, by: str | None = None) -> QueueRule:
        """End the pause of a queue, in a transaction; returns it, or raises NotPaused."""
        with self._database.writing():
            rules = self.all()
            pause = rules.get(queue)
            if pause is None or not pause.is_paused(now):
                raise NotPaused(_not_paused(queue, rules.values(), now))
            self._database.execute(f"{RESUME} name = ?", (queue,))
            self._database.log.add("resumed", now, (queue, by))
            self._database.execute(DROP_EMPTY)
        return pause

    def limit(self, queue: str, most: int | None) -> QueueRule:
        """Let no more than so many run at once, in a transaction; returns the rule."""
        return self._set(LIMIT, queue, most)

    def rate(self, queue: str, rate: Rate | None) -> QueueRule:
        """Let no more than so many start in that time, in a transaction; returns the rule."""
        return self._set(RATE, queue, *(rate or (None, None)))

    def pauses(self, ids: Sequence[int], now: float) -> list[QueueRule]:
        """What pauses the queues in which these declarations are, each once, in order."""
        rules = self.all()
        if not any(rule.is_paused(now) for rule in rules.values()):
            return []
        found = {pause_of(rules, queue, now) for queue in self._queues(ids)}
        return sorted((pause for pause in found if pause is not None), key=lambda one: one.name)

    def _queues(self, ids: Sequence[int]) -> list[str]:
        if isinstance(ids, range):
            given: tuple[Any, ...] = (ids[0], ids[-1]) if ids else (0, 0)
            rows = self._database.execute(QUEUES_BETWEEN, given)
        else:
            rows = self._database.execute(QUEUES_OF, (str(list(ids)),))
        return [queue for (queue,) in rows]

    def _set(self, statement: str, queue: str, *given: float | None) -> QueueRule:
        with self._database.writing():
            self._database.execute(statement, (queue, *given))
            rule = self.all()[queue]
            self._database.execute(DROP_EMPTY)
        return rule

    def _forget_ended(self, rules: Mapping[str, QueueRule], now: float) -> None:
        """What a pause has said is of no use to anybody once it has ended."""
        ended = [
            (name, None)
            for name, rule in rules.items()
            if rule.paused_at is not None and not rule.is_paused(now)
        ]
        if ended:
            self._database.log.add("resumed", now, *ended)
            self._database.execute(f"{RESUME} paused_until <= ?", (now,))
            self._database.execute(DROP_EMPTY)


def _rule(row: tuple[Any, ...]) -> QueueRule:
    name, max_running, max_starts, seconds, *pause = row
    rate = None if max_starts is None or seconds is None else Rate(max_starts, seconds)
    return QueueRule(name, max_running, rate, *pause)


def _not_paused(queue: str, rules: Iterable[QueueRule], now: float) -> str:
    """What to say of a queue that was to be resumed."""
    pauses = [rule for rule in rules if rule.is_paused(now)]
    if queue != ALL_QUEUES:
        what = f"queue {queue} is not paused"
        by_all = next((rule for rule in pauses if rule.name == ALL_QUEUES), None)
        if by_all is None:
            return f"{what}; `prokerja queue:list` shows what is"
        return f"{what} by itself, but all queues are; `{resuming(by_all)}` resumes them"
    if not pauses:
        return "no queue is paused"
    names = ", ".join(rule.name for rule in pauses)
    each = f"`{resuming(pauses[0])}` resumes one"
    return f"nobody has paused all queues, but by their names {names}; {each}"
