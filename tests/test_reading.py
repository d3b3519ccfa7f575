"""Programs read back what they have declared, and what came of it."""

from __future__ import annotations

import dataclasses
import pickle
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import prokerja
from prokerja import JobRecord, Queue, Status
from prokerja.errors import (
    BadOption,
    JobFailed,
    NotEnded,
    NotFound,
    ProkerjaError,
    RequestError,
    ResultCut,
    WaitedTooLong,
)
from tests.harness.home import request
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home


def found(queue: Queue, /, **wanted: Any) -> list[int]:
    """The ids of those that match."""
    return [job.id for job in queue.find(**wanted)]


def test_a_job_is_read_as_it_stands_before_it_runs(home: Home) -> None:
    options = {"queue": "q", "priority": 3, "retries": 2, "label": "l", "batch": "b", "delay": 60}
    before = datetime.now(UTC)
    job = home.queue.job(home.run("pass", **options))
    assert job == JobRecord(
        id=1, job="run", queue="q", priority=3, status=Status.PENDING, label="l", batch="b",
        payload={"code": "pass"}, result=None, cut_bytes=None, progress=None, error=None,
        attempts=0, retries=2, flow=None,
        declared_at=job.declared_at, due_at=job.due_at, started_at=None, finished_at=None,
    )  # fmt: skip
    assert before <= job.declared_at <= datetime.now(UTC)
    assert job.due_at - job.declared_at == timedelta(seconds=60)


def test_a_job_is_read_as_it_has_ended(home: Home) -> None:
    ids = home.run_each(['return {"n": [1, "two"]}', 'raise ValueError("no")'])
    home.work()
    done, failed = map(home.queue.job, ids)
    assert (done.status, done.result, done.error, done.attempts) == (
        "completed", {"n": [1, "two"]}, None, 1
    )  # fmt: skip
    assert (failed.status, failed.result, failed.error) == ("failed", None, "ValueError: no")
    for job in (done, failed):
        assert job.started_at is not None
        assert job.finished_at is not None
        assert job.declared_at <= job.started_at <= job.finished_at <= datetime.now(UTC)
        assert job.finished_at.utcoffset() == timedelta(0)


def test_what_was_read_cannot_be_changed_and_hides_what_no_log_should_hold(home: Home) -> None:
    job = home.queue.job(home.run("secret = 1"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.status = Status.FAILED  # type: ignore[misc]
    assert "secret" not in repr(job)
    assert pickle.loads(pickle.dumps(job)) == job


def test_a_job_that_runs_says_since_when(home: Home) -> None:
    id = home.run("wait_for('gate')")
    home.worker().ready()
    wait_until(lambda: home.running(id))
    job = home.queue.job(id)
    assert (job.status, job.finished_at) == (Status.PROCESSING, None)
    assert job.started_at is not None
    home.open("gate")
    assert home.queue.wait(id, SOON) is Status.COMPLETED


@pytest.mark.parametrize("id", [0, -1, 7, 2**63, 2**70])
def test_what_is_not_there_is_not_found(home: Home, id: int) -> None:
    for read in (home.queue.job, home.queue.result, home.queue.wait):
        with pytest.raises(NotFound, match=f"^there is no job {id};"):
            read(id)


@pytest.mark.parametrize("id", ["1", None, 1.5])
def test_what_is_no_id_is_refused(home: Home, id: Any) -> None:
    home.run("pass")
    for read in (home.queue.job, home.queue.result, home.queue.wait):
        with pytest.raises(RequestError, match="is no id"):
            read(id)
    with pytest.raises(RequestError, match="is no id"):
        home.queue.wait([1, id])


# Several


def test_jobs_are_found_by_what_is_known_of_them(home: Home) -> None:
    queue = home.queue
    queue.declare(request("mail"), queue="q", label="first", batch="b")
    queue.declare(request("mail"), label="second")
    home.run("raise ValueError('The Disk is full')")
    home.work()
    assert found(queue) == [3, 2, 1]
    assert found(queue, limit=2) == [3, 2]
    assert found(queue, status="failed") == found(queue, status=Status.FAILED) == [3]
    assert found(queue, queue="q") == found(queue, label="first") == found(queue, batch="b") == [1]
    assert found(queue, job="mail", status="pending") == [2, 1]
    assert found(queue, error="disk IS") == [3]
    assert found(queue, label="first", job="run") == []
    assert [job.error for job in queue.find(status="failed")] == ["ValueError: The Disk is full"]


def test_jobs_are_found_by_when_they_were_declared(home: Home) -> None:
    first = home.queue.job(home.run("pass")).declared_at
    wait_until(lambda: datetime.now(UTC) > first + timedelta(milliseconds=2))
    between = first + timedelta(milliseconds=1)
    home.run("pass")
    assert found(home.queue, since=between) == [2]
    assert found(home.queue, until=between.timestamp()) == [1]
    assert found(home.queue, since=first, until=time.time() + 60) == [2, 1]
    local = between.astimezone().replace(tzinfo=None)
    assert found(home.queue, since=local) == [2]


def test_moments_are_cut_to_the_microsecond_so_that_a_search_finds_their_job(home: Home) -> None:
    ids = [home.run("pass") for _ in range(20)]
    for id in ids:
        assert id in found(home.queue, since=home.queue.job(id).declared_at)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"status": "done"}, "status: 'done' is none of pending, processing, completed, failed"),
        ({"limit": 0}, "limit: 0 is too few"),
        ({"since": "yesterday"}, "since: 'yesterday' is no moment"),
        ({"colour": "red"}, "cannot find jobs by colour; there are status, queue, job"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(home: Home, wanted: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestError, match=f"^{why}") as caught:
        home.queue.find(**wanted)
    assert isinstance(caught.value, BadOption) == ("colour" not in wanted)


def test_one_job_or_several_are_waited_for(home: Home) -> None:
    bad, good = home.run_each(["raise ValueError", "wait_for('gate')"])
    home.worker().ready()
    assert home.queue.wait(bad, SOON) is Status.FAILED
    assert home.queue.wait((good, bad), any=True) == {bad: "failed"}
    with pytest.raises(WaitedTooLong, match=f"waited 0 s and job {good} has not ended"):
        home.queue.wait([good, bad], 0)
    home.open("gate")
    assert home.queue.wait(iter([good, bad])) == {good: "completed", bad: "failed"}
    assert home.queue.wait([]) == {}


# Results


def test_a_result_is_waited_for(home: Home) -> None:
    id = home.run("wait_for('gate'); return {'n': 1}")
    with pytest.raises(NotEnded, match=f"^job {id} is pending and has no result yet"):
        home.queue.result(id)
    home.worker().ready()
    wait_until(lambda: home.running(id))
    with pytest.raises(NotEnded, match="is processing"):
        home.queue.result(id)
    with pytest.raises(WaitedTooLong):
        home.queue.result(id, timeout=0.01)
    home.open("gate")
    assert home.queue.result(id, timeout=SOON) == {"n": 1}
    assert home.queue.result(id) == {"n": 1}


def test_a_job_that_returns_nothing_has_none_for_its_result(home: Home) -> None:
    id = home.run("pass")
    home.work()
    assert home.queue.result(id, timeout=0) is None


def test_a_purged_job_is_told_so_by_all_who_ask(home: Home) -> None:
    id = home.run("pass")
    home.work()
    home.queue.purge(Status.COMPLETED, time.time() + 1)
    queue = home.queue
    for ask in (queue.job, queue.result, queue.wait, queue.detail, queue.why, queue.retry):
        with pytest.raises(NotFound, match=f"^job {id} has been purged"):
            ask(id)


def test_a_result_that_was_too_long_to_be_kept_is_not_given_in_part(home: Home) -> None:
    id = home.run("return 'x' * 70_000")
    home.work()
    job = home.queue.job(id)
    assert (job.status, job.result, job.cut_bytes) == ("completed", None, 70_002)
    with pytest.raises(ResultCut, match=f"^job {id} has completed, but its result of 70,002 bytes"):
        home.queue.result(id)


def test_how_far_a_job_has_come_is_read(home: Home) -> None:
    id = home.run("self.progress(3, 10, 'pages'); wait_for('gate')")
    home.worker().ready()
    progress = wait_until(lambda: home.queue.job(id).progress)
    assert progress is not None
    assert (progress.done, progress.total, progress.text) == (3, 10, "pages")
    home.open("gate")


def test_a_failed_job_has_an_error_for_its_result(home: Home) -> None:
    id = home.run("raise ValueError('no')")
    home.work()
    with pytest.raises(JobFailed) as caught:
        home.queue.result(id, timeout=float("inf"))
    assert (caught.value.id, caught.value.error) == (id, "ValueError: no")
    assert str(caught.value).startswith(f"job {id} failed: ValueError: no; ")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_job_that_is_to_be_tried_again_has_not_failed_yet(home: Home) -> None:
    id = home.run("raise ValueError('no')", retries=1, retry_after=600)
    home.worker().ready()
    wait_until(lambda: home.queue.job(id).attempts == 1)
    assert (home.queue.job(id).status, home.queue.job(id).error) == ("pending", "ValueError: no")
    with pytest.raises(NotEnded, match="is pending"):
        home.queue.result(id)


def test_what_programs_read_and_catch_is_public() -> None:
    assert prokerja.JobRecord is JobRecord
    assert prokerja.Status is Status
    for error in (JobFailed, NotEnded, NotFound, ResultCut, WaitedTooLong):
        assert issubclass(error, ProkerjaError)
