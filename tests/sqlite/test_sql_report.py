"""The view through which plain SQL reads what became of jobs."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.report import record_json
from prokerja.times import iso

if TYPE_CHECKING:
    from tests.sqlite.door import Connection

COLUMNS = ["id", "job", "queue", "status", "priority", "label", "batch", "payload", "result",
           "error", "declared_at", "due_at", "started_at", "finished_at", "attempts",
           "cut_bytes"]  # fmt: skip
TIMES = ("declared_at", "due_at", "started_at", "finished_at")


def reported(sql: Connection, id: int) -> dict[str, Any]:
    cursor = sql.connection.execute("SELECT * FROM report WHERE id = ?", (id,))
    assert [column[0] for column in cursor.description] == COLUMNS
    return dict(zip(COLUMNS, cursor.fetchone(), strict=True))


def test_a_report_says_what_was_declared(sql: Connection) -> None:
    id = sql.declare(
        job="send", payload='{"to":"a"}', due_at=4e9, label="one", batch="b", priority=3
    )
    row = reported(sql, id)
    assert row.pop("declared_at") == pytest.approx(time.time(), abs=10)
    assert row == {
        "id": 1, "job": "send", "queue": "mail", "status": "pending", "priority": 3,
        "label": "one", "batch": "b", "payload": '{"to":"a"}', "result": None, "error": None,
        "due_at": 4e9, "started_at": None, "finished_at": None, "attempts": 0, "cut_bytes": None,
    }  # fmt: skip


def test_a_report_follows_a_job_to_its_end(sql: Connection) -> None:
    ids = [sql.declare(retries=1) for _ in range(3)]
    held, waits = sql.declare(hold=1), sql.declare(due_at=4e9)
    store = sql.store
    store.now = time.time() + 1
    claims = store.take()
    store.begin(claims[1][0], 1)
    assert [reported(sql, id)["status"] for id in (*ids, held, waits)] == [
        "processing", "processing", "processing", "pending", "pending",
    ]  # fmt: skip
    assert reported(sql, 1)["started_at"] == store.now
    assert reported(sql, 2)["started_at"] is None


@pytest.mark.parametrize("completed", [True, False])
def test_a_report_says_how_a_job_ended_as_the_command_does(
    sql: Connection, completed: bool
) -> None:
    store = sql.store
    id = sql.declare(retries=1, retry_after=0)
    store.now = time.time() + 1
    store.fail(id, error="ValueError: no")
    assert (reported(sql, id)["status"], reported(sql, id)["error"]) == (
        "pending",
        "ValueError: no",
    )
    store.now += 1
    if completed:
        store.complete(id, result='{"n": 1}')
    else:
        store.fail(id, error="KeyError: 1")
    row, told = reported(sql, id), record_json(store.one(id))
    for name in told.keys() & row.keys():
        assert told[name] == (iso(row[name]) if name in TIMES else row[name]), name
    assert row["result"] == ('{"n": 1}' if completed else None)
    assert row["error"] == (None if completed else "KeyError: 1")


def test_times_are_seconds_that_sqlite_can_show(sql: Connection) -> None:
    sql.declare(due_at="2096-10-02 07:06:40")
    query = "SELECT datetime(due_at, 'unixepoch'), typeof(due_at) FROM report"
    assert sql.connection.execute(query).fetchall() == [("2096-10-02 07:06:40", "real")]


def test_a_report_cannot_be_written_to(sql: Connection) -> None:
    sql.declare()
    for statement in ("DELETE FROM report", "UPDATE report SET priority = 1",
                      "INSERT INTO report (id) VALUES (5)"):  # fmt: skip
        with pytest.raises(sqlite3.OperationalError, match="report because it is a view"):
            sql.connection.execute(statement)


@pytest.mark.parametrize(
    "condition", ["id = 5", "id IN (4, 5)", "label = 'x'", "batch = 'x'", "id > 3 AND status = 'x'"]
)
def test_a_report_of_some_jobs_does_not_go_through_all(sql: Connection, condition: str) -> None:
    plan = sql.connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM report WHERE {condition}")
    steps = [step for *_, step in plan]
    assert any(step.startswith("SEARCH declaration USING") for step in steps), steps
    assert not any(step.startswith("SCAN") for step in steps), steps
