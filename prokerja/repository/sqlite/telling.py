"""Turns what has happened into notices, in the transaction of a worker's turn.

What has happened is deleted in the same transaction, so that nothing is lost or told twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from prokerja import notices
from prokerja.flow.pauses import pause_of
from prokerja.model.declaration import NOTIFY
from prokerja.notices import MAX_LISTED, Rule, rule_of
from prokerja.repository.sqlite.happenings import Happenings
from prokerja.repository.sqlite.queue_rules import QueueRules
from prokerja.repository.sqlite.slices import SLICE_ROWS
from prokerja.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prokerja.model.declaration import Declaration
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.declarations import Declarations
    from prokerja.repository.sqlite.lanes import Lanes

    Facts = list[dict[str, Any]]

LOOK_SECONDS = 60.0
"""Between two looks for stuck queues, at most."""
MAX_PAYLOAD_CHARACTERS = 2**20
"""Of all payloads in one notice."""
RULES = """
    SELECT DISTINCT rule FROM notice_rule WHERE kind = ?1 AND (
        worker IN (SELECT id FROM worker) OR NOT EXISTS (
            SELECT 1 FROM notice_rule JOIN worker ON worker.id = notice_rule.worker WHERE kind = ?1
        )
    ) ORDER BY rule"""
HAPPENED = f"""
    SELECT id, kind, facts, name, directory, rule FROM happening ORDER BY id LIMIT {SLICE_ROWS}"""
OF_CLASS = """
    SELECT json_extract(spec, '$.on_failure'), directory FROM job WHERE name = ?1
    ORDER BY directory = ?2 DESC, directory"""
OVER = "SELECT kind, rule, count, facts FROM gathering WHERE until <= ?"
GATHERED = "SELECT until, count, facts FROM gathering WHERE kind = ? AND rule = ?"
GATHER = """
    INSERT OR REPLACE INTO gathering (kind, rule, until, count, facts) VALUES (?, ?, ?, ?, ?)"""


class Telling:
    """Inside the transaction at hand."""

    def __init__(self, database: Database, lanes: Lanes, declarations: Declarations) -> None:
        self._database = database
        self._happenings = Happenings(database)
        self._lanes = lanes
        self._declarations = declarations
        self._look_at = 0.0
        """When to look for stuck queues."""
        self._made: list[Declaration] = []

    def tell(self, now: float) -> float | None:
        """Declare the notices that are due; returns when there may be more to do, None if never."""
        happened, gathers, watches = self._happenings.used()
        self._made = []
        if watches:
            happened = self._look(now) or happened
        if gathers:
            self._end_gatherings(now)
        if happened:
            self._tell_of_happened(now)
        if self._made:
            self._database.log.write()  # what they tell of has come before them
            self._declarations.insert(self._made, now)
        return self.due(now)

    def due(self, now: float) -> float | None:
        """When there may be something to do; None if never."""
        happened, gathers, watches = self._happenings.used()
        if happened:
            return now
        moments = [self._look_at] if watches else []
        if gathers:
            moments += self._database.execute("SELECT min(until) FROM gathering").fetchone()
        return min(moments, default=None)

    def _tell_of_happened(self, now: float) -> None:
        rows = self._database.execute(HAPPENED).fetchall()
        events: defaultdict[tuple[str, str], Facts] = defaultdict(list)
        for _, kind, facts, *place in rows:
            for text in self._rules_for(kind, *place):
                events[kind, text].append(json.loads(facts))
        for (kind, text), some in events.items():
            if (rule := rule_of(text)) is not None:
                self._tell(kind, text, rule, some, now)
        drop = "DELETE FROM happening WHERE id = ?"
        self._database.executemany(drop, [(id,) for id, *_ in rows])

    def _rules_for(self, kind: str, name: str, directory: str, own: str | None) -> list[str]:
        """By which rules to tell of an event: its own, or its class's, and those of settings."""
        if kind == "queue_stuck":
            return [str(own)]
        rules = self._rules(kind)
        if kind == "failed" and (own := own or self._of_class(name, directory)) is not None:
            rules = [own, *(rule for rule in rules if rule != own)]
        return rules

    def _rules(self, kind: str) -> list[str]:
        """What the settings of the workers say that are on the books, each once.

        If none says anything, those count that have gone: one of them may be what is to be told of.
        """
        return [rule for (rule,) in self._database.execute(RULES, (kind,))]

    def _of_class(self, name: str, directory: str) -> str | None:
        row = self._database.execute(OF_CLASS, (name, directory)).fetchone()
        if row is None or row[0] is None:
            return None
        return Rule(tuple(json.loads(row[0])), cwd=row[1] or "/").to_json()

    def _tell(self, kind: str, text: str, rule: Rule, events: Facts, now: float) -> None:
        if not rule.every:
            for event in events:
                self._make(kind, rule, [event], 1, now)
            return
        known = self._database.execute(GATHERED, (kind, text)).fetchone()
        if known is None:
            first, *events = events
            self._make(kind, rule, [first], 1, now)
        until, count, listed = known or (now + rule.every, 0, "[]")
        listed = [*json.loads(listed), *events][:MAX_LISTED]
        row = (kind, text, until, count + len(events), json.dumps(listed))
        self._database.execute(GATHER, row)

    def _end_gatherings(self, now: float) -> None:
        """Tell of what was gathered, and gather again; or not, if nothing was."""
        for kind, text, count, facts in self._database.execute(OVER, (now,)).fetchall():
            rule = rule_of(text)
            if not count or rule is None:
                drop = "DELETE FROM gathering WHERE kind = ? AND rule = ?"
                self._database.execute(drop, (kind, text))
                continue
            self._make(kind, rule, json.loads(facts), count, now)
            self._database.execute(GATHER, (kind, text, now + rule.every, 0, "[]"))

    def _make(self, kind: str, rule: Rule, events: Facts, count: int, now: float) -> None:
        if rule.payload:
            self._add_payloads(events)
        self._made.append(notices.declaration(rule, kind, events, count, now))

    def _add_payloads(self, events: Facts) -> None:
        """As far as they are kept, and fit."""
        room = MAX_PAYLOAD_CHARACTERS
        query = "SELECT payload FROM declaration WHERE id = ?"
        for event in events:
            row = self._database.execute(query, (event.get("id"),)).fetchone()
            room -= len(row[0]) if row else 0
            if row and room > 0:
                event["payload"] = json.loads(row[0])

    def _look(self, now: float) -> bool:
        """Look for queues that are stuck, if it is time to; returns whether there are new ones."""
        if now < self._look_at <= now + LOOK_SECONDS:  # the clock may have been put back
            return False
        rules = QueueRules(self._database).all()
        waits = {
            queue: now - due
            for queue, due in self._lanes.due_since(None, now).items()
            if queue != NOTIFY and pause_of(rules, queue, now) is None
        }
        pause, found = LOOK_SECONDS, False
        for text in self._rules("queue_stuck"):
            if (rule := rule_of(text)) is not None:
                pause = min(pause, max(rule.after, 1.0))
                stuck = {queue: wait for queue, wait in waits.items() if wait > rule.after}
                found = self._note_stuck(text, stuck, now) or found
        self._look_at = now + pause
        return found

    def _note_stuck(self, rule: str, stuck: dict[str, float], now: float) -> bool:
        """Remember which queues are stuck by a rule; returns whether any was not before."""
        query = "SELECT queue FROM stuck WHERE rule = ?"
        known = {queue for (queue,) in self._database.execute(query, (rule,))}
        gone = known - stuck.keys()
        self._write_stuck("DELETE FROM stuck WHERE queue = ? AND rule = ?", gone, rule)
        new = sorted(stuck.keys() - known)
        self._write_stuck("INSERT INTO stuck (queue, rule) VALUES (?, ?)", new, rule)
        insert = "INSERT INTO happening (kind, facts, rule) VALUES ('queue_stuck', ?, ?)"
        for queue in new:
            facts = {"queue": queue, "seconds": round(stuck[queue], 3), "at": iso(now)}
            self._database.execute(insert, (json.dumps(facts), rule))
        return bool(new)

    def _write_stuck(self, statement: str, queues: Iterable[str], rule: str) -> None:
        rows: Sequence[tuple[str, str]] = [(queue, rule) for queue in queues]
        self._database.executemany(statement, rows)
