"""What is declared in SQL is subject to what its class says of limits, rates, resources, turns."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from prokerja import Job
from prokerja.catalog.loading import spec_of
from prokerja.declaring import of_spec
from prokerja.model.flow import FlowTerms
from tests.repository.harness import record
from tests.sqlite.door import Connection

if TYPE_CHECKING:
    from tests.sqlite.store import SQLiteStore

FLOWS = "SELECT * FROM flow ORDER BY id"


@dataclass
class Call(Job):
    user: Any
    region: str = "eu"
    n: Any = 3
    note: str | None = None

    limit_key = "{user}@{region}{{{n}}}{note}"
    limit = 2
    rate = "10/min"
    needs: ClassVar = {"memory": "4G", "gpu": 1}
    fair_key = "{region}"

    def handle(self) -> None:
        pass


@pytest.fixture
def sql(store: SQLiteStore) -> Connection:
    connection = Connection(store)
    record(store, spec_of(Call))
    return connection


def says(sql: Connection, **spec: Any) -> None:
    """Have the class say something else."""
    given = spec_of(Call)._replace(**spec)
    record(sql.store, given)


@pytest.mark.parametrize(
    "payload",
    [
        {"user": "ann"},
        {"user": "Ü'\"{x}", "region": "us"},
        {"user": 17, "n": ["x", "y z"]},
        {"user": True},
        {"user": None},
        {"user": 1.5},
        {"user": {"id": [1, None]}},
    ],
)
def test_sql_and_a_program_ask_for_the_same(sql: Connection, payload: dict[str, Any]) -> None:
    id = sql.declare(job="call", payload=json.dumps(payload))
    [row] = sql.rows(FLOWS)
    one = of_spec(spec_of(Call), payload, 0.0, directory="/jobs")
    [other] = sql.store.declare(one)
    assert sql.rows(FLOWS) == [row]
    [[first], [second]] = sql.rows(f"SELECT lane FROM declaration WHERE id IN ({id}, {other})")
    assert first == second
    assert sql.newest().lane.flow == one.lane.flow
    sql.assert_tidy()


def test_a_job_without_any_goes_where_it_always_went(sql: Connection) -> None:
    sql.declare()
    assert sql.rows(FLOWS) == []
    assert sql.rows("SELECT flow FROM lane") == [(0,)]


def test_each_row_of_one_statement_has_its_own_keys(sql: Connection) -> None:
    rows = ", ".join(f"""('call', '{{"user": {n % 2}}}')""" for n in range(4))
    sql.connection.execute(f"INSERT INTO declare (job, payload) VALUES {rows}, ('noop', NULL)")
    query = "SELECT flow, pending FROM lane ORDER BY flow"
    assert sql.rows(query) == [(0, 1), (1, 2), (2, 2)]
    assert [row[1] for row in sql.rows(FLOWS)] == ["0@eu{3}null", "1@eu{3}null"]
    sql.assert_tidy()


def refused(sql: Connection, why: str, user: str = "ann") -> None:
    before = sql.rows("SELECT * FROM declare")
    with pytest.raises(sqlite3.IntegrityError, match=why):
        sql.insert("INSERT OR IGNORE", job="call", payload=json.dumps({"user": user}))
    assert sql.rows("SELECT * FROM declare") == before
    assert sql.rows("SELECT count(*) FROM declaration") == [(0,)]


def test_what_cannot_be_a_key_is_refused(sql: Connection) -> None:
    refused(sql, "a key of the job needs 1 to 255 characters", "x" * 256)
    refused(sql, "a key of the job needs 1 to 255 characters", "a\nb")
    says(sql, flow=FlowTerms(fair_key=("", "user", "")))
    refused(sql, "a key of the job needs 1 to 255 characters", "")
    says(sql, flow=FlowTerms(fair_key=("", "nobody", "")))
    refused(sql, "a key of the job is made of a field that the payload lacks")
    says(sql, flow=FlowTerms(limit_key=("db",)))
    refused(sql, "the job has a key, and no limit or rate for it")


@pytest.mark.parametrize("option", ["limit", "limit_key", "lock", "rate", "needs", "fair_key"])
def test_what_only_running_the_file_tells_is_refused(sql: Connection, option: str) -> None:
    says(sql, flow=None, unsure=(option,))
    refused(sql, "an option of the job is computed in its file")
    says(sql, flow=None, unsure=("retries",))
    assert sql.declare(job="call", payload='{"user": 1}', retries=1)
