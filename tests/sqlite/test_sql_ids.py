"""The ids of what is declared in SQL."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.model.declaration import Status
from tests.repository.harness import asked

if TYPE_CHECKING:
    from tests.sqlite.door import Connection

EVERY_VERB = ["INSERT", "INSERT OR ABORT", "INSERT OR FAIL", "INSERT OR IGNORE", "REPLACE"]
RECURSIVE = "PRAGMA recursive_triggers = ON"


@pytest.mark.parametrize("pragma", ["PRAGMA recursive_triggers = OFF", RECURSIVE])
@pytest.mark.parametrize("verb", EVERY_VERB)
def test_an_insert_gives_the_id_of_what_it_declared(
    sql: Connection, verb: str, pragma: str
) -> None:
    sql.connection.execute(pragma)
    for number in (1, 2, 3):
        cursor = sql.connection.execute(f"{verb} INTO declare (job) VALUES ('noop')")
        assert cursor.lastrowid == number
        assert sql.connection.execute("SELECT last_insert_rowid(), changes()").fetchall() == [
            (number, 1)
        ]
        assert sql.newest().id == number
    assert sql.insert(verb, job="noop") == 4
    sql.assert_tidy()


def test_an_insert_of_many_rows_returns_an_id_for_each(sql: Connection) -> None:
    rows = sql.connection.execute(
        "INSERT INTO declare (job, payload) VALUES ('loose', '{\"n\": 1}'), ('noop', NULL),"
        " ('loose', '{\"n\": 3}') RETURNING id, job, payload"
    ).fetchall()
    assert rows == [(1, "loose", '{"n": 1}'), (2, "noop", None), (3, "loose", '{"n": 3}')]
    declared = sql.connection.execute("SELECT id, job, payload FROM report ORDER BY id").fetchall()
    assert declared == [(1, "loose", '{"n": 1}'), (2, "noop", "{}"), (3, "loose", '{"n": 3}')]
    sql.assert_tidy()


def test_ids_go_on_where_other_doors_and_a_purge_have_left_them(sql: Connection) -> None:
    assert sql.declare() == 1
    assert sql.store.declare(asked(), asked()) == [2, 3]
    assert sql.declare() == 4
    sql.store.purge(Status.PENDING, sql.store.now + 1e9)
    assert sql.store.newest() == []
    assert sql.declare() == 5
    assert sql.store.declare() == [6]


def test_the_highest_id_in_declare_is_the_last_one_as_it_was_before(sql: Connection) -> None:
    """What the guide told people to ask for when `declare` was a view."""
    for number in (1, 2):
        sql.connection.execute("BEGIN IMMEDIATE")
        sql.insert(job="noop")
        highest = sql.connection.execute("SELECT max(id) FROM declare").fetchall()
        sql.connection.execute("COMMIT")
        assert highest == [(number,)]


def test_an_id_is_given_again_if_its_declaration_was_rolled_back(sql: Connection) -> None:
    sql.connection.execute("BEGIN")
    assert sql.declare() == 1
    sql.connection.execute("ROLLBACK")
    assert sql.declare() == 1
    sql.assert_tidy()


@pytest.mark.parametrize("pragma", ["PRAGMA recursive_triggers = OFF", RECURSIVE])
@pytest.mark.parametrize("verb", EVERY_VERB)
@pytest.mark.parametrize("id", [-7, -1, 0, 1, 2, 4, 2**62])
def test_an_id_of_the_callers_choice_declares_nothing(
    sql: Connection, verb: str, id: int, pragma: str
) -> None:
    sql.connection.execute(pragma)
    assert [sql.declare(), sql.declare()] == [1, 2]
    before = sql.rows("SELECT * FROM declaration")
    try:
        given = sql.insert(verb, job="noop", id=id, coalesce="k")
    except sqlite3.IntegrityError:
        given = None
    assert given is None
    assert sql.rows("SELECT * FROM declaration") == before
    assert sql.rows("SELECT * FROM coalescing") == []
    assert sql.declare() == 3
    sql.assert_tidy()


def test_an_id_of_the_callers_choice_is_refused_with_what_to_do(sql: Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="leave the column id out"):
        sql.insert(job="noop", id=7)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM declare",
        "DELETE FROM declare WHERE id = 1",
        "UPDATE declare SET id = 4000",
        "UPDATE declare SET id = -4000, job = 'x', coalesce = 2, due_at = 1",
        "UPDATE declare SET coalesce = 1",
        "REPLACE INTO declare (id) VALUES (1)",
        "VACUUM",
    ],
)
def test_what_others_do_to_the_table_does_not_break_it(sql: Connection, statement: str) -> None:
    assert sql.declare() == 1
    try:
        sql.connection.execute(statement)
    except sqlite3.IntegrityError as refused:
        told: Any = str(refused)
        assert "; " in told, "it says what to do"
    assert [sql.declare(), sql.declare()] == [2, 3]
    sql.assert_tidy()


def test_nothing_of_a_payload_stays_in_the_table(sql: Connection) -> None:
    sql.declare(job="loose", payload='{"secret": "x"}')
    assert sql.rows("SELECT job, payload FROM declare") == [(None, None)]
