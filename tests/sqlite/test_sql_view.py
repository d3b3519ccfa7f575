"""The table through which plain SQL declares."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.lifecycle import DAY
from prokerja.model.declaration import Lane
from prokerja.model.record import Detail
from prokerja.report import detail_json, record_json
from prokerja.repository.sqlite.codes import TURNS
from prokerja.times import iso
from tests.repository.harness import COMPLETED, PENDING, asked
from tests.sqlite.store import take

if TYPE_CHECKING:
    from tests.sqlite.door import Connection


def test_in_sql_a_job_gets_the_defaults_of_the_catalog(sql: Connection) -> None:
    before = time.time()
    sql.insert(job="send", payload='{"to": "a"}')
    record = sql.newest()
    assert record.lane == Lane("mail", "send", 7, "/jobs")
    assert (record.retries, record.retry_after, record.timeout) == (3, 60.5, 120.0)
    assert record.payload == '{"to": "a"}'
    assert record.status is PENDING
    assert before - 0.002 <= record.declared_at <= time.time() + 0.002
    assert record.due_at == record.declared_at
    sql.insert(job="noop")
    record = sql.newest()
    assert record.lane == Lane("default", "noop", 0, "/jobs")
    assert (record.payload, record.retries, record.timeout) == ("{}", 0, None)
    sql.assert_tidy()


def test_in_sql_every_option_can_be_given(sql: Connection) -> None:
    sql.insert(
        job="send",
        payload='{"to":"b","n":2}',
        queue="ötå",
        priority=-3,
        due_at=4e9,
        retries=9,
        retry_after=0.5,
        timeout=1.25,
    )
    record = sql.newest()
    assert record.lane == Lane("ötå", "send", -3, "/jobs")
    assert (record.due_at, record.retries, record.retry_after, record.timeout) == (
        4e9,
        9,
        0.5,
        1.25,
    )
    sql.assert_tidy()


def test_in_sql_an_option_that_is_null_is_one_not_given(sql: Connection) -> None:
    sql.insert(
        job="send",
        payload='{"to":""}',
        queue=None,
        priority=None,
        due_at=None,
        retries=None,
        retry_after=None,
        timeout=None,
    )
    assert sql.newest().lane == Lane("mail", "send", 7, "/jobs")
    assert sql.newest().timeout == 120.0
    sql.insert(job="noop", payload=None)
    assert sql.newest().payload == "{}"


def test_in_sql_zero_is_not_taken_for_nothing(sql: Connection) -> None:
    sql.insert(job="send", payload='{"to":""}', priority=0, retries=0, retry_after=0, due_at=0)
    record = sql.newest()
    assert (record.lane.priority, record.retries, record.retry_after) == (0, 0, 0.0)
    assert record.due_at == record.declared_at


@pytest.mark.parametrize(
    ("due_at", "seconds"),
    [
        (4_000_000_000, 4e9),
        (4_000_000_000.25, 4e9 + 0.25),
        ("2096-10-02 07:06:40", 4e9),
        ("2096-10-02T07:06:40", 4e9),
        ("2096-10-02T07:06:40Z", 4e9),
        ("2096-10-02T09:06:40+02:00", 4e9),
        ("2096-10-02 07:06:40.250", 4e9 + 0.25),
        ("2096-10-02 07:06", 4e9 - 40),
        ("2096-10-02", 4e9 - 25600),
    ],
)
def test_in_sql_a_due_time_is_seconds_or_an_iso_time_in_utc(
    sql: Connection, due_at: float | str, seconds: float
) -> None:
    sql.insert(job="noop", due_at=due_at)
    assert sql.newest().due_at == pytest.approx(seconds, abs=0.002)
    sql.assert_tidy()


@pytest.mark.parametrize(
    "text", [f"2096-10-02 07:06:{second:02}" for second in range(0, 60, 7)] + ["2030-01-31 18:00"]
)
def test_in_sql_a_due_time_as_text_is_shown_as_it_was_written(sql: Connection, text: str) -> None:
    sql.insert(job="noop", due_at=text)
    assert iso(sql.newest().due_at).startswith(text.replace(" ", "T"))


@pytest.mark.parametrize("due_at", [0, -5, 1.5, "2001-01-01", "1969-12-31T23:59:59Z"])
def test_in_sql_a_due_time_in_the_past_means_now(sql: Connection, due_at: float | str) -> None:
    sql.insert(job="noop", due_at=due_at)
    assert sql.newest().due_at == sql.newest().declared_at
    sql.assert_tidy()


def test_in_sql_sqlites_own_times_can_be_used(sql: Connection) -> None:
    sql.connection.execute(
        "INSERT INTO declare (job, due_at) VALUES ('noop', datetime('now', '+1 day')),"
        " ('noop', unixepoch('now', '+1 day')), ('noop', 'now')"
    )
    waits = sql.store.rows("SELECT due_at - declared_at FROM declaration ORDER BY id")
    assert [wait for (wait,) in waits] == pytest.approx([DAY, DAY, 0], abs=2)


PAYLOAD = "the payload is no JSON object"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"job": "nothing"}, "unknown job; `prokerja jobs` lists those there are"),
        ({"job": None}, "unknown job"),
        ({"job": "NOOP"}, "unknown job"),
        ({"payload": "{}"}, "unknown job"),
        ({"job": "noop", "payload": ""}, PAYLOAD),
        ({"job": "noop", "payload": "{"}, PAYLOAD),
        ({"job": "noop", "payload": "[]"}, PAYLOAD),
        ({"job": "noop", "payload": "null"}, PAYLOAD),
        ({"job": "noop", "payload": "1"}, PAYLOAD),
        ({"job": "noop", "payload": 1}, PAYLOAD),
        ({"job": "noop", "payload": '"{}"'}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": NaN}'}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": Infinity}'}, PAYLOAD),
        ({"job": "loose", "payload": "{a: 1}"}, PAYLOAD),
        ({"job": "loose", "payload": "{'a': 1}"}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": 1,}'}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": "\0"}'}, PAYLOAD),
        ({"job": "loose", "payload": '{"a": 1}\0{'}, PAYLOAD),
        ({"job": "loose", "payload": "[" * 100_000}, PAYLOAD),
        ({"job": "noop", "payload": '{"to": 1}'}, "a field that the job does not take"),
        ({"job": "send", "payload": '{"to": "", "N": 1}'}, "a field that the job does not take"),
        ({"job": "send", "payload": '{"n": 1}'}, "the payload lacks a field that the job needs"),
        ({"job": "send"}, "the payload lacks a field"),
        ({"job": "noop", "due_at": "soon"}, "due_at is neither UTC seconds nor a time such as"),
        ({"job": "noop", "due_at": ""}, "due_at is neither"),
        ({"job": "noop", "due_at": "2030-02-30 25:00"}, "due_at is neither"),
        ({"job": "noop", "due_at": "4000000000"}, "due_at is neither"),
        ({"job": "noop", "queue": ""}, "the queue needs a name of 1 to 255 characters"),
        ({"job": "noop", "queue": "q" * 256}, "the queue needs a name of 1 to 255 characters"),
        ({"job": "noop", "priority": 1001}, "."),
        ({"job": "noop", "priority": -1001}, "."),
        ({"job": "noop", "priority": "high"}, "."),
        ({"job": "noop", "priority": 1.5}, "."),
        ({"job": "noop", "retries": -1}, "."),
        ({"job": "noop", "retries": 1001}, "."),
        ({"job": "noop", "retries": "many"}, "."),
        ({"job": "noop", "retry_after": -1}, "."),
        ({"job": "noop", "retry_after": "1h"}, "."),
        ({"job": "noop", "timeout": 0}, "."),
        ({"job": "noop", "timeout": -1}, "."),
        ({"job": "noop", "timeout": "1h"}, "."),
        ({"job": "noop", "payload": b"{}"}, "."),
        ({"job": "noop", "queue": b"mail"}, "."),
        ({"job": "noop", "due_at": b"2096-10-02"}, "."),
    ],
)
def test_in_sql_a_bad_request_is_refused_and_changes_nothing(
    sql: Connection, columns: dict[str, Any], message: str
) -> None:
    before = sql.store.everything()
    with pytest.raises(sqlite3.Error, match=message):
        sql.insert(**columns)
    assert sql.store.everything() == before


@pytest.mark.parametrize("column", ["due_at", "retry_after", "timeout"])
@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 1e13])
def test_in_sql_no_time_without_end_comes_in(sql: Connection, column: str, seconds: float) -> None:
    """A limit or a due time that no clock, select() or calendar can hold, as declare refuses it."""
    with pytest.raises(sqlite3.Error):
        sql.insert(**dict[str, Any]({"job": "noop", column: seconds}))


def test_in_sql_a_payload_may_have_a_mebibyte_and_no_byte_more(sql: Connection) -> None:
    largest = '{"a":"%s"}' % ("å" * ((2**20 - 8) // 2))
    assert len(largest.encode()) == 2**20
    sql.insert(job="loose", payload=largest)
    assert sql.newest().payload == largest
    with pytest.raises(sqlite3.IntegrityError, match="larger than 1 MiB; pass the path of a file"):
        sql.insert(job="loose", payload=largest + " ")


@pytest.mark.parametrize(
    "text",
    [
        "å∂ø 漢字 🙂 \u202e",
        "\x00",
        "a\x00b",
        "\x1b[31m\r\n\t\x7f",
        "\ud83d",
        "\udcff tail",
        "\ufeff",
        "'; DROP TABLE declaration; --",
        "\\u0000",
    ],
)
def test_in_sql_every_string_survives_as_json_escapes_it(sql: Connection, text: str) -> None:
    payload = json.dumps({"a": text, text: 1})
    sql.insert(job="loose", payload=payload)
    assert json.loads(sql.newest().payload) == {"a": text, text: 1}
    [claimed] = take(sql.store.repository, TURNS, time.time() + 1)
    assert json.loads(claimed.payload) == {"a": text, text: 1}


@pytest.mark.parametrize("text", ["å∂ø 漢字 🙂", "\u202e\ufeff", "\x7f"])
def test_in_sql_text_survives_unescaped_too(sql: Connection, text: str) -> None:
    sql.insert(job="loose", payload=json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(sql.newest().payload) == {"a": text}


def test_in_sql_no_payload_comes_in_that_a_worker_cannot_read(sql: Connection) -> None:
    deep = '{"a": %s}' % ("[" * 1500 + "]" * 1500)
    try:
        sql.insert(job="loose", payload=deep)
    except sqlite3.Error:
        return  # refusing it is as good
    detail_json(Detail(sql.newest(), [], None))


def test_in_sql_a_job_stands_or_falls_with_the_transaction_around_it(sql: Connection) -> None:
    connection = sql.connection
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO orders (what) VALUES ('tea')")
    sql.insert(job="noop", queue="new")
    connection.execute("ROLLBACK")
    assert sql.store.newest() == []
    assert sql.store.rows("SELECT * FROM pending") == []
    sql.assert_tidy()
    connection.execute("BEGIN")
    connection.execute("INSERT INTO orders (what) VALUES ('tea')")
    sql.insert(job="noop", queue="new")
    connection.execute("COMMIT")
    assert sql.store.newest() == [1]
    sql.assert_tidy()


def test_in_sql_a_bad_row_does_not_undo_the_good_ones_of_its_transaction(
    sql: Connection,
) -> None:
    sql.connection.execute("BEGIN")
    sql.insert(job="noop")
    with pytest.raises(sqlite3.IntegrityError):
        sql.insert(job="nothing")
    sql.insert(job="noop")
    sql.connection.execute("COMMIT")
    assert len(sql.store.newest()) == 2
    sql.assert_tidy()


def test_in_sql_many_rows_come_from_one_statement_all_or_none(sql: Connection) -> None:
    numbers = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100)"
    sql.connection.execute(
        f"{numbers} INSERT INTO declare (job, payload, priority)"
        " SELECT 'loose', json_object('n', n), n % 3 FROM n"
    )
    assert len(sql.store.newest()) == 100
    sql.assert_tidy()
    with pytest.raises(sqlite3.IntegrityError, match="unknown job"):
        sql.connection.execute(
            f"{numbers} INSERT INTO declare (job) SELECT iif(n = 100, 'nothing', 'noop') FROM n"
        )
    assert len(sql.store.newest()) == 100
    sql.assert_tidy()


def test_jobs_from_python_and_sql_wait_in_one_line(sql: Connection) -> None:
    sql.store.now = time.time()
    lane = Lane("default", "noop", 0)
    ids = []
    for _ in range(3):
        ids += sql.store.declare(asked(lane))
        sql.insert(job="noop")
        ids.append(sql.newest().id)
    assert ids == [1, 2, 3, 4, 5, 6]
    sql.assert_tidy()
    sql.store.now += 60
    assert sorted(sql.store.take()) == ids


@pytest.mark.parametrize(
    "verb",
    ["INSERT OR ABORT", "INSERT OR FAIL", "INSERT OR ROLLBACK", "INSERT OR IGNORE", "REPLACE"],
)
def test_in_sql_every_kind_of_insert_declares_and_harms_nothing(sql: Connection, verb: str) -> None:
    """The outer statement's conflict clause takes the place of those inside a trigger."""
    sql.insert(job="noop")
    for _ in range(2):
        sql.insert(verb, job="noop")
    assert sql.store.newest() == [3, 2, 1]
    sql.assert_tidy()


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE"])
@pytest.mark.parametrize(
    "columns", [{"priority": 5000}, {"retries": -1}, {"timeout": 0}, {"queue": ""}]
)
def test_a_request_that_is_refused_in_sql_never_queues_another_job_again(
    sql: Connection, verb: str, columns: dict[str, Any]
) -> None:
    """What would be realized twice is the job whose id is the connection's last row id."""
    sql.store.now = time.time() + 1
    sql.insert(job="noop")
    sql.store.complete(1)
    sql.connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    sql.connection.execute("INSERT INTO orders DEFAULT VALUES")
    with contextlib.suppress(sqlite3.Error):
        sql.insert(verb, job="noop", **columns)
    assert sql.store.rows("SELECT declaration FROM pending") == []
    assert sql.store.one(1).status is COMPLETED
    assert sql.store.repository.lanes.tallies("default")[0].pending == 0


SHELL = """
BEGIN;
INSERT INTO declare (job, payload) VALUES ('send', '{"to": "o''hara å"}');
INSERT INTO declare (job, due_at) VALUES ('noop', '2096-10-02 07:06:40');
COMMIT;
BEGIN;
INSERT INTO declare (job) VALUES ('noop');
ROLLBACK;
SELECT id, job, due_at FROM report WHERE job = 'noop';
INSERT INTO declare (job) VALUES ('nothing');
"""
OUR_SHELL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
statement = ""
for line in sys.stdin:
    statement += line
    if sqlite3.complete_statement(statement):
        try:
            for row in connection.execute(statement):
                print(*row, sep="|")
        except sqlite3.Error as error:
            sys.exit(str(error))
        statement = ""
"""


@pytest.mark.parametrize("shell", ["sqlite3", "python"])
def test_a_shell_of_another_process_declares_in_sql(sql: Connection, shell: str) -> None:
    found = shutil.which("sqlite3") if shell == "sqlite3" else None  # not every machine has it
    command = [found, "-bail"] if found else [sys.executable, "-c", OUR_SHELL]
    done = subprocess.run(
        [*command, sql.store.repository.path],
        input=SHELL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "unknown job; `prokerja jobs` lists those there are" in done.stderr
    [line] = done.stdout.splitlines()
    assert line.split("|")[:2] == ["2", "noop"]
    assert float(line.split("|")[2]) == pytest.approx(4e9, abs=0.002)
    assert sql.store.newest() == [2, 1]
    assert json.loads(sql.store.one(1).payload) == {"to": "o'hara å"}
    sql.assert_tidy()


def test_what_was_declared_in_sql_is_claimed_and_reported_like_any_other(sql: Connection) -> None:
    sql.insert(job="send", payload='{"to":"a"}')
    sql.store.now = time.time() + 1
    record = sql.newest()
    assert record_json(record)["status"] == "pending"
    detail = sql.store.repository.find(record.id, sql.store.now)
    assert detail is not None
    assert "it was declared from /jobs, and living workers have" in str(detail.why)
    sql.store.complete(record.id)
    assert sql.newest().status is COMPLETED
