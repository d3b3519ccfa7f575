"""What running jobs tell of themselves: steps that they have done, and how far they have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.claim import Reported
from prokerja.model.declaration import Conditions
from prokerja.model.progress import Progress
from prokerja.model.record import Filter
from prokerja.model.step import Step
from prokerja.model.worker import Taking
from prokerja.repository.verbs import Want
from prokerja.verdicts import Completed, Failed, Released
from tests.repository.harness import COMPLETED, FAILED, PENDING, START, Store, asked

if TYPE_CHECKING:
    from prokerja.model.claim import Claimed
    from prokerja.verdicts import Verdict

Given = dict[int, dict[str, str] | None]


def claim(store: Store) -> tuple[dict[int, Claimed], Given]:
    """Claim all that is due; what was claimed, and what steps it is given, by id."""
    claimed: dict[int, Claimed] = {}

    def assign(offered: object) -> tuple[list[Claimed], bool]:
        some = list(offered)  # type: ignore[call-overload]
        claimed.update((one.id, one) for one in some)
        return some, False

    turn = store.turn(Want(Taking(), assign))
    return claimed, {id: extra.steps for (_, id), extra in turn.extras.items()}


def do(store: Store, job: Claimed, **steps: str) -> list[tuple[int, int]]:
    """Report steps of a running job; returns those that are not the worker's."""
    done = [((job.token, job.id), name, value) for name, value in steps.items()]
    return store.repository.turn(
        store.worker, {}, (), None, store.now, reported=Reported(done)
    ).lost


def tell(store: Store, job: Claimed, progress: Progress) -> None:
    """Report how far a running job has come."""
    reported = Reported((), [((job.token, job.id), progress)])
    store.repository.turn(store.worker, {}, (), None, store.now, reported=reported)


def end(store: Store, job: Claimed, verdict: Verdict) -> None:
    """Settle it."""
    store.settle(job.token, (job.id, job.lane, verdict))


def done(store: Store, id: int) -> list[Step]:
    """The steps that a job has done."""
    detail = store.repository.find(id, store.now)
    assert detail is not None
    return detail.steps


NO = Failed(START, START, "no")


def test_every_attempt_is_given_the_values_of_the_steps_that_are_done(store: Store) -> None:
    one, other, third = store.declare(*[asked(retries=1, retry_after=0)] * 3)
    jobs, given = claim(store)
    assert given == {}
    assert do(store, jobs[one], upload='"s3"') == do(store, jobs[other], x="null") == []
    store.now += 1
    assert do(store, jobs[one], notify="[1]") == []
    assert done(store, one) == [Step("upload", START), Step("notify", START + 1)]
    end(store, jobs[one], NO)
    end(store, jobs[other], Released(counted=True))
    end(store, jobs[third], Released(counted=True))
    assert claim(store)[1] == {one: {"upload": '"s3"', "notify": "[1]"}, other: {"x": "null"}}
    store.recover()
    assert claim(store)[1] == {one: {"upload": '"s3"', "notify": "[1]"}, other: {"x": "null"}}


def test_the_first_value_of_a_step_stands(store: Store) -> None:
    [id] = store.declare()
    jobs, _ = claim(store)
    do(store, jobs[id], a="1")
    store.now += 1
    do(store, jobs[id], a="2", b="3")
    assert done(store, id) == [Step("a", START), Step("b", START + 1)]
    store.recover()
    assert claim(store)[1] == {id: {"a": "1", "b": "3"}}


def test_a_fresh_start_keeps_the_steps_that_are_done(store: Store) -> None:
    [id] = store.declare()
    jobs, _ = claim(store)
    do(store, jobs[id], a="1")
    end(store, jobs[id], NO)
    assert store.one(id).status is FAILED
    store.repository.retry([id], store.now)
    assert claim(store)[1] == {id: {"a": "1"}}


def test_a_replaced_payload_has_no_step_done(store: Store) -> None:
    keyed = asked(retries=1)._replace(conditions=Conditions(coalesce="key", replace=True))
    [id] = store.declare(keyed)
    jobs, _ = claim(store)
    do(store, jobs[id], a="1")
    end(store, jobs[id], NO)
    assert store.declare(keyed._replace(payload='{"n":2}')) == [id]
    assert done(store, id) == []
    store.now += 100
    assert claim(store)[1] == {}


def test_a_completed_job_keeps_no_value_and_says_what_it_did_until_it_is_purged(
    store: Store,
) -> None:
    [id, other] = store.declare(asked(retries=1), asked())
    jobs, _ = claim(store)
    do(store, jobs[id], a="1")
    do(store, jobs[other], a="1")
    end(store, jobs[id], Completed(START, START))
    assert done(store, id) == done(store, other) == [Step("a", START)]
    store.purge(COMPLETED, START + 1)
    [renewed] = store.declare()
    assert renewed > other
    assert done(store, renewed) == []
    assert len(done(store, other)) == 1


def test_a_step_of_a_job_that_the_worker_does_not_hold_changes_nothing(store: Store) -> None:
    first, second = store.declare(asked(retries=3, retry_after=0), asked())
    jobs, _ = claim(store)
    end(store, jobs[first], NO)
    late = jobs[first]
    before = store.everything()
    assert do(store, late, a="1") == [(late.token, first)]
    assert do(store, late._replace(token=late.token + 99), a="1") == [(late.token + 99, first)]
    assert do(store, jobs[second]._replace(id=99), a="1") == [(late.token, 99)]
    tell(store, late, Progress(1, 1, None, "", START))
    assert store.everything() == before
    again, given = claim(store)
    assert given == {}
    assert do(store, late, a="1") == [(late.token, first)]
    assert do(store, again[first], a="2") == []
    store.recover()
    assert claim(store)[1] == {first: {"a": "2"}}


def test_steps_are_written_before_the_job_is_settled_in_the_same_turn(store: Store) -> None:
    [id] = store.declare(asked(retries=1, retry_after=0))
    jobs, _ = claim(store)
    job = jobs[id]
    reported = Reported(
        [((job.token, id), "a", "1")], [((job.token, id), Progress(1, 3, 4, "x", START))]
    )
    store.repository.turn(
        store.worker, {job.token: [(id, job.lane, NO)]}, (), None, START, reported=reported
    )
    assert store.one(id).progress == Progress(1, 3, 4, "x", START)
    assert claim(store)[1] == {id: {"a": "1"}}


def test_the_last_word_of_a_job_on_its_progress_is_told_with_it(store: Store) -> None:
    [id] = store.declare()
    jobs, _ = claim(store)
    assert store.one(id).progress is None
    tell(store, jobs[id], Progress(1, 1, None, "", START))
    tell(store, jobs[id], Progress(1, 0.5, 2, "half \u00f6", START + 1))
    progress = Progress(1, 0.5, 2, "half \u00f6", START + 1)
    assert store.one(id).progress == progress
    assert [one.progress for one in store.repository.newest(Filter(), 9)] == [progress]
    store.begin(jobs[id].token, id)
    [running] = store.repository.running(None, 9)
    assert running.record.progress == progress
    end(store, jobs[id], Completed(START, START))
    assert store.one(id).progress == progress
    store.purge(COMPLETED, START + 1)
    [renewed] = store.declare()
    assert store.one(renewed).progress is None


def test_the_progress_of_an_attempt_is_not_that_of_the_next(store: Store) -> None:
    [id] = store.declare(asked(retries=1, retry_after=0))
    progress = Progress(1, 3, None, "", START)
    jobs, _ = claim(store)
    tell(store, jobs[id], progress)
    end(store, jobs[id], Released(counted=True))
    assert (store.one(id).status, store.one(id).progress) == (PENDING, progress)
    jobs, _ = claim(store)
    end(store, jobs[id], NO)
    assert (store.one(id).status, store.one(id).progress) == (PENDING, progress)
    claim(store)
    assert store.one(id).progress is None
