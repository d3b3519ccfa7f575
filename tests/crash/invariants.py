"""What is true of every prokerja file at any moment, asked in plain SQL."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

STATUSES = ("pending", "processing", "completed", "failed")


def faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Everything that is wrong with the file; nothing, if all is well."""
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"integrity_check: {line}"
    rows = dict(connection.execute("SELECT id, status FROM declaration"))
    pending = [id for (id,) in connection.execute("SELECT declaration FROM pending")]
    claimed = claims(connection)
    awaiting = [id for (id,) in connection.execute("SELECT declaration FROM awaiting")]
    blocked = [id for (id,) in connection.execute("SELECT declaration FROM blocked")]
    yield from _places(rows, Counter([*pending, *blocked]), Counter([*claimed, *awaiting]))
    yield from _leftovers(connection)
    yield from _tally(connection, {*claimed, *awaiting})
    yield from _events(connection)
    yield from _limits(connection)


def claims(connection: sqlite3.Connection) -> list[int]:
    """Every id in a claim, as often as it is in one."""
    lists = connection.execute("SELECT declarations FROM claim")
    return [id for (listed,) in lists for id in json.loads(listed)]


def _places(rows: dict[int, int], pending: Counter[int], claimed: Counter[int]) -> Iterator[str]:
    for id, status in rows.items():
        places = pending[id] + claimed[id]
        if status > 0 and places:
            yield f"job {id} is finished ({status}) and runnable: it could run twice"
        elif status == 0 and not places:
            yield f"job {id} is open, but neither pending, blocked, claimed nor awaiting: lost"
        elif places > 1:
            yield f"job {id} is in {places} places: it could run twice"
    for id in (pending.keys() | claimed.keys()) - rows.keys():
        yield f"job {id} is pending, claimed or awaiting, but has no declaration"


def _leftovers(connection: sqlite3.Connection) -> Iterator[str]:
    questions = {
        "pending disagrees with its declaration": """
            SELECT p.declaration FROM pending AS p JOIN declaration AS d ON d.id = p.declaration
            WHERE d.lane <> p.lane OR d.due_at <> p.due_at""",
        "running without its claim": """
            SELECT declaration FROM running WHERE declaration NOT IN (
                SELECT value FROM claim, json_each(claim.declarations)
                WHERE claim.token = running.token)""",
        "it takes up room without its claim": """
            SELECT declaration FROM slot WHERE declaration NOT IN (
                SELECT value FROM claim, json_each(claim.declarations)
                WHERE claim.token = slot.token)""",
        "claimed under a flow, and takes up no room": """
            SELECT d.id FROM claim, json_each(claim.declarations) AS held
            JOIN declaration AS d ON d.id = held.value JOIN lane ON lane.id = d.lane
            WHERE lane.flow AND d.id NOT IN (
                SELECT declaration FROM slot
                WHERE slot.token = claim.token AND slot.flow = lane.flow)""",
        "about to start, but claimed by nobody": """
            SELECT declaration FROM start WHERE at IS NULL AND declaration NOT IN (
                SELECT value FROM claim, json_each(claim.declarations)
                WHERE claim.token = start.token)""",
        "it runs, and is not known to have started": """
            SELECT running.declaration FROM running JOIN start USING (declaration, token)
            WHERE start.at IS NULL""",
        "its lane has a flow that is not there": """
            SELECT d.id FROM declaration AS d JOIN lane ON lane.id = d.lane
            WHERE lane.flow AND lane.flow NOT IN (SELECT id FROM flow)""",
        "somebody is to be told of a job that is not there": """
            SELECT declaration FROM on_failure
            WHERE declaration NOT IN (SELECT id FROM declaration)""",
        "to be stopped, but held by nobody": """
            SELECT declaration FROM cancellation AS c WHERE declaration NOT IN (
                SELECT value FROM claim, json_each(claim.declarations)
                WHERE claim.token = c.token)""",
        "waiting in another lane than its own": """
            SELECT declaration FROM awaiting AS a JOIN declaration AS d ON d.id = a.declaration
            WHERE d.lane <> a.lane""",
        "an answer for what has ended, waits, or is gone": """
            SELECT declaration FROM answer WHERE declaration NOT IN (
                SELECT id FROM declaration WHERE status = 0)
            OR declaration IN (SELECT declaration FROM awaiting)""",
        "blocked, and by nothing": """
            SELECT declaration FROM blocked WHERE NOT held AND declaration NOT IN (
                SELECT child FROM dependency WHERE NOT met)
            AND declaration NOT IN (SELECT declaration FROM successor WHERE completed IS NULL)""",
        "not blocked, and waiting for another": """
            SELECT child FROM dependency JOIN declaration ON id = child
            WHERE status = 0 AND NOT met AND child NOT IN (SELECT declaration FROM blocked)""",
        "waiting for what has completed": """
            SELECT child FROM dependency AS one JOIN declaration AS d ON d.id = one.parent
            WHERE NOT met AND d.status = 1
            AND child IN (SELECT declaration FROM blocked)""",
        "it has ended, and stands for its key": """
            SELECT declaration FROM coalescing WHERE open AND declaration NOT IN (
                SELECT id FROM declaration WHERE status = 0)""",
        "to be told of an end that it has not had": """
            SELECT declaration FROM untold WHERE declaration NOT IN (
                SELECT id FROM declaration WHERE status <> 0)""",
        "an attempt without its declaration": """
            SELECT declaration FROM attempt
            WHERE declaration NOT IN (SELECT id FROM declaration)""",
        "what it told, without its declaration": """
            SELECT declaration FROM (SELECT declaration FROM step UNION
                SELECT declaration FROM progress UNION SELECT declaration FROM cut_result)
            WHERE declaration NOT IN (SELECT id FROM declaration)""",
        "it has completed, and keeps values of steps": """
            SELECT declaration FROM step JOIN declaration ON id = declaration
            WHERE status = 1 AND step.result IS NOT NULL""",
        "a step without a value, and not completed": """
            SELECT declaration FROM step JOIN declaration ON id = declaration
            WHERE status <> 1 AND step.result IS NULL""",
    }
    for what, query in questions.items():
        for (id,) in connection.execute(query):
            yield f"job {id}: {what}"


def _limits(connection: sqlite3.Connection) -> Iterator[str]:
    """More of a key at once than any of them allows."""
    query = """
        SELECT limit_key, count(*), max(max_running) FROM slot JOIN flow ON flow.id = slot.flow
        WHERE limit_key <> '' GROUP BY limit_key HAVING count(*) > max(max_running)"""
    for key, count, most in connection.execute(query):
        yield f"{count} jobs run with the key {key}, and {most} may"


def _events(connection: sqlite3.Connection) -> Iterator[str]:
    """What the log tells of completed jobs, once it has begun to be written."""
    query = "SELECT last_id, data FROM event WHERE kind = 'completed' ORDER BY seq"
    told, last = Counter[int](), 0
    for last_id, data in connection.execute(query):
        told.update(id for _, ids, _ in json.loads(data) for id in ids)
        if last_id < last:
            yield f"the log tells of job {last} before job {last_id}"
        last = last_id
    for id, count in told.items():
        if count > 1:
            yield f"job {id} is told to have completed {count} times"
    completed = connection.execute("""
        SELECT id FROM declaration
        WHERE status = 1 AND finished_at > (SELECT min(at) FROM event)""")
    for id in {id for (id,) in completed} - told.keys():
        yield f"job {id} has completed, and that is not told"


def _tally(connection: sqlite3.Connection, in_hand: set[int]) -> Iterator[str]:
    counted: dict[int, Counter[str]] = {}
    for id, lane, status in connection.execute("SELECT id, lane, status FROM declaration"):
        place = STATUSES[status + 1] if status else STATUSES[id in in_hand]
        counted.setdefault(lane, Counter())[place] += 1
    query = f"SELECT id, {', '.join(STATUSES)} FROM lane"
    for lane, *told in connection.execute(query):
        held = [counted.get(lane, Counter())[status] for status in STATUSES]
        if told != held:
            yield f"lane {lane} is said to hold {told} and holds {held}"
    query = """
        SELECT id, awaiting, (SELECT count(*) FROM awaiting WHERE lane = lane.id) AS waiting
        FROM lane WHERE awaiting <> waiting"""
    for lane, told, waiting in connection.execute(query):
        yield f"lane {lane} is said to have {told} awaiting jobs and has {waiting}"
