"""`prokerja events`: what has happened, as lines and as JSON, and while it happens."""

from __future__ import annotations

import json
import re
import select
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import Queue
from prokerja.errors import BadOption, NotFound
from prokerja.event_following import MAX_SLEEP_SECONDS, follow
from prokerja.event_texts import event_json, in_words
from prokerja.events import (
    KINDS,
    Completed,
    Declared,
    Event,
    Failed,
    JobEvent,
    Position,
    Recovered,
    Started,
    WorkerStopped,
)
from tests.harness.processes import has_open
from tests.harness.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    import subprocess

    from tests.harness.home import Home

ROOT = Path(__file__).parents[1]
AT = 1_900_000_000.0
JOB = {"cursor": "1.1.1", "at": AT, "id": 7, "job": "noop", "queue": "default"}
PLACE = {"cursor": "1.1.1", "at": AT}
SHOWN: list[tuple[str, dict[str, Any], str]] = [
    ("declared", JOB, ""),
    ("started", {**JOB, "attempt": 2}, "attempt 2"),
    ("started", {**JOB, "attempt": None}, ""),
    ("progressed", {**JOB, "attempt": 1, "done": 3, "total": 1000, "text": "pages"},
     "3/1,000 pages"),
    ("progressed", {**JOB, "attempt": 1, "done": 3, "total": None, "text": ""}, "3"),
    ("completed", {**JOB, "attempt": 2}, "attempt 2"),
    ("failed", {**JOB, "attempt": 2, "error": "no", "retry_at": AT + 60},
     "attempt 2, again in 1m 0s: no"),
    ("failed", {**JOB, "attempt": 0, "error": "no", "retry_at": None}, "unstarted, for good: no"),
    ("postponed", {**JOB, "due_at": AT + 90}, "for 1m 30s"),
    ("retried", JOB, ""),
    ("interrupted", JOB, ""),
    ("recovered", {**JOB, "worker": 3, "attempt": 1}, "from worker 3, which died in attempt 1"),
    ("recovered", {**JOB, "worker": 3, "attempt": None}, "from worker 3"),
    ("awaiting", {**JOB, "until": AT + 60}, "for 1m 0s at most"),
    ("awaiting", {**JOB, "until": None}, ""),
    ("resolved", JOB, ""),
    ("cancelled", {**JOB, "error": "cancelled: no"}, "cancelled: no"),
    ("expired", JOB, ""),
    ("paused", {**PLACE, "queue": "mail", "by": "ann", "why": "full", "until": AT},
     "by ann, until 2030-03-17T17:46:40.000+00:00, full"),
    ("resumed", {**PLACE, "queue": "", "by": None}, ""),
    ("worker_started", {**PLACE, "worker": 1, "pid": 9, "realizers": 2, "queues": ("a", "b")},
     "worker 1, realizers: 2, queues: a, b"),
    ("worker_stopped", {**PLACE, "worker": 1, "died": True}, "worker 1 died"),
    ("code_changed", {**PLACE, "worker": 1, "files": ("a.py", "b.py"), "error": None},
     "worker 1: a.py, b.py"),
    ("code_changed", {**PLACE, "worker": 1, "files": ("a", "b", "c", "d"), "error": "no"},
     "worker 1: a, b, c and 1 more, does not load: no"),
    ("memory_exceeded",
     {**PLACE, "worker": 1, "pid": 9, "job": "a", "bytes": 2**30, "limit": 2**29},
     "worker 1, realizer 9: 1 GB after a, of 512 MB"),
    ("memory_exceeded",
     {**PLACE, "worker": 1, "pid": 9, "job": "", "bytes": 2**30, "limit": 2**29},
     "worker 1, realizer 9: 1 GB, of 512 MB"),
]  # fmt: skip


def lines(home: Home, *words: object) -> list[tuple[str, ...]]:
    """What `events` shows, but for the time."""
    told = home("events", *words)
    assert (told.code, told.err) == (0, "")
    return [tuple(cells[1:]) for cells in told.cells]


def objects(home: Home, *words: object) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [json.loads(line) for line in home.cli("events", "--json", *words).splitlines()]


@pytest.mark.parametrize(("name", "given", "words"), SHOWN)
def test_each_kind_is_shown_in_words_and_as_json(
    name: str, given: dict[str, Any], words: str
) -> None:
    event = KINDS[name](**given)
    assert in_words(event) == words
    shown = event_json(event)
    assert list(shown) == ["event", *given]
    assert (shown["event"], shown["at"]) == (name, "2030-03-17T17:46:40.000+00:00")
    assert json.loads(json.dumps(shown)).keys() == shown.keys()


def test_every_kind_is_among_those_shown() -> None:
    assert {name for name, _, _ in SHOWN} == set(KINDS)


def test_a_worker_s_jobs_are_told_from_the_first_to_the_last(shell: Home) -> None:
    shell.declare("noop")
    shell.declare("fail", "--retries", "1", "--retry-after", "0s")
    shell.declare("send", "to=a")
    shell.work()
    noop, fail = ("1", "noop", "default"), ("2", "fail", "default")
    assert lines(shell, "--job", "noop") == [
        ("declared", *noop, ""), ("started", *noop, "attempt 1"), ("completed", *noop, "attempt 1"),
    ]  # fmt: skip
    error = "ValueError: no reason"
    assert lines(shell, "--job", "2") == [
        ("declared", *fail, ""),
        ("started", *fail, "attempt 1"),
        ("failed", *fail, f"attempt 1, again in 0.00s: {error}"),
        ("started", *fail, "attempt 2"),
        ("failed", *fail, f"attempt 2, for good: {error}"),
    ]
    assert [line[0] for line in lines(shell, "--queue", "emails")] == [
        "declared", "started", "completed",
    ]  # fmt: skip
    everything = objects(shell)
    assert len(everything) == 3 + 5 + 3 + 2
    for n in (1, 7, 12):
        cursor = everything[n - 1]["cursor"]
        assert objects(shell, "--since", cursor, "--limit", 2) == everything[n : n + 2]
    assert objects(shell, "--since", "1h") == objects(shell, "--since", "2020-01-01") == everything
    assert objects(shell, "--since", "2100-01-01") == []
    assert lines(shell, "--job", "9" * 5000) == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--since", "x"], "--since: 'x' is no time, duration or cursor; write"),
        (["--since", "1.2.x"], "--since: '1.2.x' is no time"),
        (["--limit", "0"], "--limit: 0 is too few; give 1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(shell: Home, words: list[str], fault: str) -> None:
    shell.declare("noop")
    told = shell("events", *words)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert fault in told.err


def test_without_a_queue_there_is_nothing_to_tell(shell: Home) -> None:
    told = shell("events", "--follow")
    assert (told.code, told.out) == (1, "")
    assert "there is no queue" in told.err


@pytest.mark.parametrize("value", ["off", "on"])
def test_a_setting_switches_the_log_off(shell: Home, value: str) -> None:
    shell.in_environment({"PROKERJA_EVENTS": value})
    shell.declare("noop")
    shell.declare("noop")
    shell("cancel", "2")
    shell.work()
    kinds = {event["event"] for event in objects(shell)}
    assert ("completed" in kinds, "cancelled" in kinds) == (value == "on", value == "on")
    assert "declared" in kinds
    assert bool(shell.look("SELECT 1 FROM event")) == (value == "on")


def test_a_setting_that_is_neither_on_nor_off_is_refused(shell: Home) -> None:
    shell.in_environment({"PROKERJA_EVENTS": "maybe"})
    assert shell("report") == (
        2,
        "",
        "prokerja: events: 'maybe' is neither on nor off; write one of them\n",
    )


def next_of(follower: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What it prints next, well before it would look by itself."""
    assert follower.stdout is not None
    assert select.select([follower.stdout], [], [], MAX_SLEEP_SECONDS / 3)[0]
    event: dict[str, Any] = json.loads(follower.stdout.readline())
    return event


def test_whoever_follows_is_told_as_it_happens_and_leaves_on_an_interrupt(shell: Home) -> None:
    shell.declare("noop")
    follower = shell.start("events", "--follow", "--json")
    wait_until(lambda: has_open(follower.pid, "inotify"))
    [id] = shell.declare("noop")
    event = next_of(follower)
    assert (event["event"], event["id"]) == ("declared", id), "only what happens from now on"
    shell("cancel", str(id))
    assert next_of(follower)["event"] == "cancelled"
    follower.send_signal(signal.SIGINT)
    assert follower.communicate(timeout=PATIENCE) == (b"", b"")
    assert follower.returncode == 130


@pytest.mark.parametrize("words", ["", "--since 1h --follow"])
def test_a_reader_that_leaves_ends_it_without_a_word(shell: Home, words: str) -> None:
    for _ in range(3):
        shell.declare("noop")
    script = f"{{ prokerja events {words}; echo $? >&2; }} | {{ read line; echo $line; }}"
    told = shell.sh(script)
    assert (told.code, len(told.lines)) == (0, 1)
    assert told.err in ("141\n", *([] if words else ["0\n"]))


@pytest.mark.parametrize("replaced", [False, True])
def test_who_follows_is_told_that_the_file_is_gone(
    home: Home, monkeypatch: pytest.MonkeyPatch, *, replaced: bool
) -> None:
    monkeypatch.setattr("prokerja.event_following.MAX_SLEEP_SECONDS", 0.05)
    home.run("pass")
    with Queue(home.db) as queue:
        events = follow(queue.repository, Position(), lambda _: True)
        next(events)
        kept = home.path / "kept"
        Path(home.db).rename(kept)
        if replaced:
            Path(home.db).write_bytes(b"")
        with pytest.raises(NotFound, match="is gone, or another file by now"):
            next(events)
        kept.replace(home.db)


DECLARER = """
    from prokerja import Queue
    from tests.harness.home import request

    with Queue() as queue:
        for n in range(120):
            queue.declare(request("run", code="pass"))
            queue.declare(request("run", code="raise ValueError"), retries=n % 2, retry_after=0)
            if n % 20 == 0:
                queue.declare(request("run", code="time.sleep(0.2)"))
    """
KILLS = 3


def test_none_is_missing_and_none_is_told_twice_whatever_is_killed(home: Home) -> None:
    assert home.queue.events() == []
    follower = home.start("events", "--follow", "--json", "--since", "1h")
    assert follower.stdout is not None
    told: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: told.extend(map(json.loads, follower.stdout or ())))
    reader.start()
    home.in_environment({"PYTHONPATH": str(ROOT)})
    declarers = [home.python(DECLARER) for _ in range(2)]
    for _ in range(KILLS):
        worker = home.worker("--realizers", "2").ready()
        before = sum(home.report()[2:])
        wait_until(lambda before=before: sum(home.report()[2:]) > before + 20)  # type: ignore[misc]
        worker.kill()
    assert [declarer.wait(PATIENCE) for declarer in declarers] == [0, 0]
    home.work()
    events = home.queue.events(limit=1_000_000)
    wait_until(lambda: len(told) >= len(events))
    follower.send_signal(signal.SIGINT)
    reader.join(PATIENCE)
    assert told == json.loads(json.dumps([event_json(event) for event in events]))
    assert_right(home, events)
    assert sum(isinstance(event, WorkerStopped) and event.died for event in events) == KILLS


def assert_right(home: Home, events: list[Event]) -> None:
    """What is told of each job agrees with what became of it."""
    lives: dict[int, list[JobEvent]] = {}
    for event in events:
        if isinstance(event, JobEvent):
            lives.setdefault(event.id, []).append(event)
    rows = home.look("SELECT id, status, attempt FROM declaration")
    assert lives.keys() == {id for id, _, _ in rows}
    for id, status, attempts in rows:
        first, *others = lives[id]
        assert isinstance(first, Declared)
        ends = [event for event in others if isinstance(event, Completed | Failed)]
        died = [event for event in others if isinstance(event, Recovered) and event.attempt]
        assert isinstance(ends[-1], Completed if status == 1 else Failed), lives[id]
        assert not any(isinstance(event, Declared | Completed) for event in others[:-1])
        assert len(ends) + len(died) == attempts
        starts = [event.attempt for event in others if isinstance(event, Started)]
        assert starts == list(range(1, attempts + 1)), lives[id]


# From a program


def test_a_program_reads_on_from_where_it_was(home: Home) -> None:
    for _ in range(3):
        home.run("pass")
    first = home.queue.events(limit=2)
    rest = home.queue.events(first[-1].cursor)
    assert [type(event) for event in (*first, *rest)] == [Declared] * 3
    assert home.queue.events(datetime.now(UTC)) == home.queue.events(2e9) == []
    assert home.queue.events(0) == [*first, *rest]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"since": "1h"}, "since: '1h' is no cursor"),
        ({"since": [1]}, "since: an array is no moment"),
        ({"limit": 0}, "limit: 0 is too few"),
    ],
)
def test_a_program_that_asks_for_what_cannot_be_is_told(
    home: Home, given: dict[str, Any], fault: str
) -> None:
    with pytest.raises(BadOption, match=re.escape(fault)):
        home.queue.events(**given)
