"""Jobs and what happens to them, the same for every kind of worker."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prokerja import Await, GiveUp, Job, Later
from prokerja.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja import Queue

    States = dict[int, str]
    Life = Callable[[Queue, str], Iterator[States]]


@dataclass
class Play(Job):
    """Do what the last letter of `parts` says that is due at this attempt."""

    parts: str
    log: str = ""

    retry_after = 0.01

    def handle(self) -> Any:
        """One part an attempt; the last one is repeated."""
        part = self.parts[min(self.count(), len(self.parts)) - 1]
        return getattr(self, f"play_{part}")()

    def count(self) -> int:
        """How often it has been run, which is noted in a file."""
        if not self.log:
            return 1
        with Path(self.log).open("a+") as file:
            file.write("run\n")
            file.seek(0)
            return len(file.readlines())

    def play_r(self) -> Any:
        return {"parents": [*self.parents.values()], "counts": self.counts}

    def play_f(self) -> None:
        raise ValueError("it did not work")

    def play_l(self) -> Any:
        return Later(0.01)

    def play_g(self) -> None:
        raise GiveUp("there is no hope")

    def play_a(self) -> Any:
        return Await(timeout=None)

    def play_t(self) -> Any:
        return Await(timeout=0.02)

    def play_x(self) -> None:
        raise SystemExit(3)

    def play_j(self) -> Any:
        return object()

    def play_c(self) -> str:
        return "long" * 2**15

    def play_p(self) -> int:
        for number in range(5):
            self.progress(number, 4, "pages")
        return number

    def play_s(self) -> list[Any]:
        return [self.step("one", self.count), self.step("two", self.fail_once)]

    def fail_once(self) -> str:
        if self.count() < 5:
            raise OSError("not yet")
        return "done"

    def play_d(self) -> None:
        self.declare(Play("r"), delay=0.01)
        self.declare(Play("f"), priority=7, label="follow-up")

    def play_e(self) -> None:
        self.play_d()
        raise ValueError("nothing of this is declared")

    def resolved(self, data: Any) -> Any:
        if data == "again":
            raise ValueError("it is asked for once more")
        return {"answer": data}


@dataclass
class Told(Job):
    """Write down what it hears by its hooks."""

    log: str
    fails: bool = False

    retry_after = 50.0
    retries = 3

    def handle(self) -> None:
        self.note("handle")
        if self.fails:
            raise ValueError("as it was to")

    def note(self, *words: object) -> None:
        with Path(self.log).open("a") as file:
            file.write(" ".join(map(str, words)) + "\n")

    def description(self) -> str:
        return "one that is told"

    def should_retry(self, attempt: int, error: BaseException) -> bool:
        self.note("should_retry", attempt, error)
        return attempt < 2

    def retry_delay(self, attempt: int) -> float:
        return 0.01

    def failed(self, error: str) -> None:
        self.note("failed", error)

    def status_changed(self, before: str, after: str, why: str) -> None:
        self.note("changed", before, after, why)

    def cleanup(self) -> None:
        raise RuntimeError("this changes nothing")


def ends(queue: Queue, _: str) -> Iterator[States]:
    """What `handle()` may end with."""
    good = queue.declare_many(Play(part) for part in "rcp")
    bad = queue.declare_many(Play(part) for part in "fgxj")
    yield dict.fromkeys(good, "completed") | dict.fromkeys(bad, "failed")


def retries(queue: Queue, log: str) -> Iterator[States]:
    """Attempts until one goes well, or there are no more."""
    well = queue.declare(Play("ffr", f"{log}.1"), retries=2)
    badly = queue.declare(Play("ffr", f"{log}.2"), retries=1)
    given_up = queue.declare(Play("fgr", f"{log}.3"), retries=2)
    later = queue.declare(Play("llr", f"{log}.4"))
    yield {well: "completed", badly: "failed", given_up: "failed", later: "completed"}
    queue.retry(badly)
    yield {badly: "completed"}


def waits_for_an_answer(queue: Queue, log: str) -> Iterator[States]:
    """What is resolved, with or without success, and what is not."""
    first, second = queue.declare_many([Play("a"), Play("ar", f"{log}.1")], retries=1)
    yield {first: "awaiting", second: "awaiting"}
    queue.resolve(first, 42)
    queue.resolve(second, "again")
    yield {first: "completed", second: "completed"}
    third = queue.declare(Play("t"))
    yield {third: "failed"}


def waits_for_others(queue: Queue, _: str) -> Iterator[States]:
    """Dependencies, in each of their ways."""
    good, bad = queue.declare(Play("p"), batch="b"), queue.declare(Play("f"), batch="b")
    child = queue.declare(Play("r"), after=good)
    cancelled = queue.declare(Play("r"), after=[good, bad])
    runs = queue.declare(Play("r"), after=[good, bad], if_parent_fails="run")
    waits = queue.declare(Play("r"), after=bad, if_parent_fails="wait")
    closes = queue.declare(Play("r"), after_batch="b")
    yield {
        good: "completed", bad: "failed", child: "completed", cancelled: "failed",
        runs: "completed", waits: "pending", closes: "completed",
    }  # fmt: skip
    queue.cancel(waits, why="enough")
    yield {waits: "failed"}


def is_kept_back(queue: Queue, _: str) -> Iterator[States]:
    """Holds, keys, and what expires."""
    held = queue.declare(Play("r"), hold=True, coalesce="k")
    assert queue.declare(Play("p"), coalesce="k", replace=True) == held
    expires = queue.declare(Play("r"), hold=True, expires=0.01)
    yield {held: "pending", expires: "failed"}
    queue.release(held)
    yield {held: "completed"}


def declares_others(queue: Queue, _: str) -> Iterator[States]:
    """Follow-ups, if the job completes."""
    completes, fails = queue.declare(Play("d")), queue.declare(Play("e"))
    yield {completes: "completed", fails: "failed", fails + 1: "completed", fails + 2: "failed"}


def does_steps(queue: Queue, log: str) -> Iterator[States]:
    """A step that is done is not repeated."""
    id = queue.declare(Play("s", f"{log}.1"), retries=1)
    yield {id: "completed"}


def goes_in_order(queue: Queue, log: str) -> Iterator[States]:
    """The higher priority first, then whoever was declared first."""
    low, also_low, high = queue.declare_many(
        [Told(log), Told(log), Told(log, fails=True).options(priority=1, retries=0)]
    )
    yield {low: "completed", also_low: "completed", high: "failed"}


def is_told(queue: Queue, log: str) -> Iterator[States]:
    """Hooks of what completes, fails, and ends without having begun."""
    fails = queue.declare(Told(log, fails=True))
    yield {fails: "failed"}
    cancelled = queue.declare(Told(log), hold=True)
    queue.cancel(cancelled)
    yield {cancelled: "failed"}


LIVES: tuple[Life, ...] = (
    ends,
    retries,
    waits_for_an_answer,
    waits_for_others,
    is_kept_back,
    declares_others,
    does_steps,
    goes_in_order,
    is_told,
)


def states(queue: Queue, ids: Any) -> States:
    """Where jobs stand that are there; one that is to be told of its end has not ended yet."""
    found = {}
    for id in ids:
        with suppress(NotFound):
            detail = queue.detail(id)
            state = "awaiting" if detail.record.awaiting else str(detail.record.status)
            found[id] = state if detail.is_told else "ending"
    return found


def facts(queue: Queue) -> list[Any]:
    """All that is known of all jobs but for times."""
    found: list[Any] = []
    for job in reversed(queue.find(limit=1000)):
        detail = queue.detail(job.id)
        found += [
            (job.id, job.job, job.queue, job.priority, job.status, job.label, job.payload),
            (job.result, job.cut_bytes, job.progress and job.progress[:4], job.error),
            (detail.record.description, [one.name for one in detail.steps]),
            [(one.number, one.error) for one in detail.attempts],
        ]
    return found
