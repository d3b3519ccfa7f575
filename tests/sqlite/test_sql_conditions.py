"""Labels, batches, keys, holds, expiry and dependencies of what is declared in SQL."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from prokerja.model.claim import Reported
from prokerja.verdicts import Failed
from tests.crash.inputs import rows
from tests.repository.harness import SEND, record

if TYPE_CHECKING:
    from tests.sqlite.door import Connection

OF_KEYS = "SELECT declaration, name, directory, key, open FROM coalescing ORDER BY 1"
OF_BLOCKED = "SELECT declaration, held FROM blocked ORDER BY 1"
OF_PARENTS = "SELECT child, parent, if_fails, met FROM dependency ORDER BY 1, 2"
OF_BATCHES = "SELECT declaration, batch, completed, failed FROM successor ORDER BY 1"


def end(sql: Connection, id: int, *, completed: bool) -> None:
    """Have a declaration end."""
    sql.store.now = time.time() + 1
    if completed:
        sql.store.complete(id)
    else:
        sql.store.fail(id)


def test_in_sql_a_job_has_a_label_and_a_batch(sql: Connection) -> None:
    id = sql.declare(label="Müller", batch="nightly")
    assert sql.rows("SELECT id, label, batch FROM declaration") == [(id, "Müller", "nightly")]
    assert sql.newest().label == "Müller"
    sql.assert_tidy()


# Keys


def test_in_sql_an_open_job_stands_for_all_that_are_declared_with_its_key(sql: Connection) -> None:
    first = sql.declare(job="send", payload='{"to": "a"}', coalesce="k")
    assert sql.declare() == 2
    for verb in ("INSERT", "INSERT OR IGNORE", "REPLACE"):
        assert sql.insert(verb, job="send", payload='{"to": "b"}', coalesce="k") == first
        assert sql.connection.execute("SELECT last_insert_rowid()").fetchone() == (first,)
    assert sql.rows("SELECT id, payload FROM declaration") == [(1, '{"to": "a"}'), (2, "{}")]
    assert sql.rows(OF_KEYS) == [(1, "send", "/jobs", "k", 1)]
    assert sql.declare() == 3
    sql.assert_tidy()


def test_in_sql_a_key_is_one_of_a_job_and_a_jobs_directory(sql: Connection) -> None:
    assert sql.declare(coalesce="k") == 1
    assert sql.declare(job="loose", coalesce="k") == 2
    assert sql.declare(coalesce="K") == 3
    record(sql.store, SEND._replace(name="loose", fields=()), directory="/other")
    assert sql.declare(job="loose", jobs="/other", coalesce="k") == 4
    assert sql.declare(job="loose", jobs="/jobs", coalesce="k") == 2


def test_in_sql_a_key_is_free_again_once_its_job_has_ended(sql: Connection) -> None:
    sql.declare(coalesce="k")
    sql.connection.execute("UPDATE coalescing SET open = 0")
    assert [sql.declare(coalesce="k"), sql.declare(coalesce="k")] == [2, 2]


def test_in_sql_one_statement_declares_a_key_once(sql: Connection) -> None:
    rows = sql.connection.execute(
        "INSERT INTO declare (job, coalesce) VALUES ('noop', 'a'), ('noop', 'b'), ('noop', 'a'),"
        " ('noop', NULL), ('noop', 'b') RETURNING id"
    ).fetchall()
    assert [id for (id,) in rows] == [1, 2, 1, 3, 2]
    sql.assert_tidy()


@pytest.mark.parametrize("hold", [0, 1])
def test_in_sql_the_newest_payload_and_due_time_win_with_replace(
    sql: Connection, hold: int
) -> None:
    old = {"job": "loose", "coalesce": "k", "hold": hold}
    sql.declare(**old, payload='{"n": 1}', due_at=4e9)
    assert sql.declare(job="loose", payload='{"n": 2}', due_at=5e9, coalesce="k", replace=1) == 1
    assert sql.rows("SELECT payload, due_at FROM declaration") == [('{"n": 2}', 5e9)]
    sql.assert_tidy()
    assert sql.declare(job="loose", coalesce="k", replace=1) == 1
    [(payload, wait)] = sql.rows("SELECT payload, due_at - declared_at FROM declaration")
    assert (payload, wait) == ("{}", pytest.approx(0, abs=2))
    sql.assert_tidy()


def test_in_sql_nothing_is_replaced_of_a_job_that_has_been_claimed(sql: Connection) -> None:
    sql.declare(job="loose", payload='{"n": 1}', coalesce="k")
    sql.store.now = time.time() + 1
    assert list(sql.store.take()) == [1]
    before = sql.rows("SELECT payload, due_at FROM declaration")
    assert sql.declare(job="loose", payload='{"n": 2}', due_at=4e9, coalesce="k", replace=1) == 1
    assert sql.rows("SELECT payload, due_at FROM declaration") == before
    assert sql.rows("SELECT * FROM pending") == []


@pytest.mark.parametrize("waits", [True, False])
def test_in_sql_what_is_replaced_has_done_no_step(sql: Connection, waits: bool) -> None:
    id = sql.declare(job="loose", coalesce="k", retries=1)
    store = sql.store
    store.now = time.time() + 1
    [(token, lane)] = store.take().values()
    reported = Reported([((token, id), "upload", "1")])
    store.repository.turn(store.worker, {}, (), None, store.now, reported=reported)
    if waits:
        store.settle(token, (id, lane, Failed(store.now, store.now, "no")))
    sql.declare(job="loose", payload='{"n": 2}', coalesce="k", replace=1)
    assert len(sql.rows("SELECT * FROM step")) == (not waits)


def test_in_sql_a_payload_that_does_not_fit_replaces_nothing(sql: Connection) -> None:
    sql.declare(job="send", payload='{"to": "a"}', coalesce="k")
    before = sql.store.everything()
    with pytest.raises(sqlite3.IntegrityError, match="not of the type"):
        sql.declare(job="send", payload='{"to": 5}', coalesce="k", replace=1)
    assert sql.store.everything() == before


# What keeps a job out of the queue


def test_in_sql_a_held_job_is_pending_but_not_queued(sql: Connection) -> None:
    held, other = sql.declare(hold=1), sql.declare(hold=0)
    assert sql.rows(OF_BLOCKED) == [(held, 1)]
    assert sql.rows("SELECT declaration FROM pending") == [(other,)]
    assert sql.store.counts() == [2, 0, 0, 0]
    sql.assert_tidy()


@pytest.mark.parametrize(
    ("expires_at", "seconds"),
    [(4e9, 4e9), ("2096-10-02 07:06:40", 4e9), (0, 0.0), (None, None)],
)
def test_in_sql_a_job_expires(sql: Connection, expires_at: Any, seconds: float | None) -> None:
    id = sql.declare(expires_at=expires_at)
    expected = [] if seconds is None else [(id, pytest.approx(seconds, abs=0.002))]
    assert sql.rows("SELECT declaration, expires_at FROM expiry") == expected
    sql.assert_tidy()


@pytest.mark.parametrize("after", ["[1, 2]", "[2,1,2]"])
def test_in_sql_a_job_waits_for_those_it_names(sql: Connection, after: str) -> None:
    sql.declare()
    sql.declare()
    child = sql.declare(after=after)
    assert sql.rows(OF_PARENTS) == [(child, 1, "cancel", 0), (child, 2, "cancel", 0)]
    assert sql.rows(OF_BLOCKED) == [(child, 0)]
    sql.assert_tidy()


@pytest.mark.parametrize("after", [1, "1", 1.0, "[1]"])
def test_in_sql_one_job_to_wait_for_needs_no_array(sql: Connection, after: Any) -> None:
    sql.declare()
    child = sql.declare(after=after)
    assert sql.rows(OF_PARENTS) == [(child, 1, "cancel", 0)]


def test_in_sql_a_job_waits_for_none_of_an_empty_array(sql: Connection) -> None:
    sql.declare(after="[]")
    assert sql.rows("SELECT declaration FROM pending") == [(1,)]


def test_in_sql_a_parent_that_has_completed_is_met_at_once(sql: Connection) -> None:
    sql.declare()
    end(sql, 1, completed=True)
    open_one, child = sql.declare(), sql.declare(after=1)
    assert sql.rows(OF_PARENTS) == [(child, 1, "cancel", 1)]
    assert sql.rows(OF_BLOCKED) == []
    both = sql.declare(after=f"[1, {open_one}]")
    assert sql.rows(OF_BLOCKED) == [(both, 0)]
    sql.assert_tidy()


def test_in_sql_what_a_failed_parent_means_is_told_at_once(sql: Connection) -> None:
    sql.declare()
    end(sql, 1, completed=False)
    before = sql.store.everything()
    for more in ({}, {"if_parent_fails": "cancel"}):
        with pytest.raises(sqlite3.IntegrityError, match="a job in after has failed; retry"):
            sql.declare(after=1, **more)
    assert sql.store.everything() == before
    run, wait = (
        sql.declare(after=1, if_parent_fails="run"),
        sql.declare(after=1, if_parent_fails="wait"),
    )
    assert sql.rows(OF_PARENTS) == [(run, 1, "run", 1), (wait, 1, "wait", 0)]
    assert sql.rows("SELECT declaration FROM pending") == [(run,)]
    assert sql.rows(OF_BLOCKED) == [(wait, 0)]
    sql.assert_tidy()


def test_in_sql_a_job_waits_until_no_other_of_a_batch_is_open(sql: Connection) -> None:
    sql.declare(batch="b")
    after = sql.declare(after_batch="b")
    within = sql.declare(after_batch="b", batch="b")
    assert sql.rows(OF_BATCHES) == [(after, "b", None, None), (within, "b", None, None)]
    assert sql.rows(OF_BLOCKED) == [(after, 0), (within, 0)]
    sql.assert_tidy()


def test_in_sql_a_batch_that_has_ended_is_waited_for_no_longer(sql: Connection) -> None:
    for _ in range(3):
        sql.declare(batch="b")
    end(sql, 1, completed=True)
    end(sql, 2, completed=True)
    end(sql, 3, completed=False)
    after = sql.declare(after_batch="b")
    assert sql.rows(OF_BATCHES) == [(after, "b", 2, 1)]
    assert sql.rows("SELECT declaration FROM pending") == [(after,)]
    held = sql.declare(after_batch="b", hold=1)
    assert sql.rows(OF_BLOCKED) == [(held, 1)]
    sql.assert_tidy()


NAMES = "take 1 to 255 characters"
TIME = "is neither UTC seconds nor a time such as"
IDS = "after is neither an id nor a JSON array of ids"
FLAGS = "replace and hold are 0 or 1"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        *(({name: value}, NAMES) for name in ("label", "batch", "coalesce", "after_batch")
            for value in ("", "x" * 256, 5, b"x", "a\nb", "a\0b")),
        ({"expires_at": "soon"}, TIME),
        ({"expires_at": 1e13}, TIME),
        ({"expires_at": b"2096-10-02"}, TIME),
        ({"hold": 2}, FLAGS),
        ({"hold": "yes"}, FLAGS),
        ({"coalesce": "k", "replace": -1}, FLAGS),
        ({"replace": 1}, "replace goes with coalesce"),
        ({"after": 0}, IDS),
        ({"after": 1.5}, IDS),
        ({"after": ""}, IDS),
        ({"after": "1,2"}, IDS),
        ({"after": "[1"}, IDS),
        ({"after": '["1"]'}, IDS),
        ({"after": "[[1]]"}, IDS),
        ({"after": '{"1": 1}'}, IDS),
        ({"after": b"[1]"}, IDS),
        ({"after": "null"}, IDS),
        ({"after": 99}, "after names a job that is not there"),
        ({"after": "[1, 99]"}, "after names a job that is not there"),
        ({"after": 2}, "after names a job that is not there"),
        ({"after": "[9223372036854775807, 99999999999999999999]"}, "."),
        ({"after": 1, "if_parent_fails": "stop"}, "if_parent_fails is cancel, run or wait"),
        ({"after": 1, "if_parent_fails": ""}, "if_parent_fails is cancel, run or wait"),
        ({"if_parent_fails": "run"}, "if_parent_fails goes with after"),
        ({"after": "[]", "if_parent_fails": "wait"}, "if_parent_fails goes with after"),
        ({"after_batch": "none"}, "there is no batch of that name"),
        ({"after_batch": "own", "batch": "own"}, "there is no batch of that name"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR IGNORE", "REPLACE"])
def test_in_sql_conditions_that_cannot_be_are_refused_and_change_nothing(
    sql: Connection, columns: dict[str, Any], message: str, verb: str
) -> None:
    sql.declare()
    before = sql.store.everything()
    with pytest.raises(sqlite3.Error, match=message):
        sql.insert(verb, job="noop", **columns)
    assert sql.store.everything() == before


@given(row=rows)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_declared_in_sql_is_declared_in_full_or_not_at_all(
    sql: Connection, row: dict[str, Any]
) -> None:
    before = sql.rows("SELECT max(id) FROM declaration")
    try:
        id = sql.insert(**row)
    except (sqlite3.Error, UnicodeEncodeError):
        assert sql.rows("SELECT max(id) FROM declaration") == before
    else:
        assert sql.rows(f"SELECT id FROM declaration WHERE id = {id}") == [(id,)]
    sql.assert_tidy()


@pytest.mark.parametrize(
    "columns",
    [
        {"priority": "5", "retries": "3", "retry_after": "1.5", "timeout": "60", "hold": "1"},
        {"priority": 5.0, "retries": 3.0, "retry_after": 1.5, "timeout": 60.0, "hold": 1.0},
    ],
    ids=["as text, by PDO", "as floats, by node:sqlite"],
)
def test_in_sql_numbers_are_taken_as_drivers_bind_them(
    sql: Connection, columns: dict[str, Any]
) -> None:
    sql.declare(**columns)
    record = sql.newest()
    assert (record.lane.priority, record.retries) == (5, 3)
    assert (record.retry_after, record.timeout) == (1.5, 60.0)
    assert sql.rows(OF_BLOCKED) == [(1, 1)]
