"""What every store can do; nothing outside a store's own folder knows more of it.

No verb reads the clock: each that needs the time takes `now`, in seconds since the epoch. Each is
a transaction of its own. All of them raise StoreError if the store cannot be used, TryAgain if it
can in a moment, and Outdated if a newer program has changed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from prokerja.events import Event, Position
    from prokerja.model.change import Change
    from prokerja.model.claim import Claimed, Extra, FailedAttempt, Reported, Requests
    from prokerja.model.declaration import Declaration, Ids, Status
    from prokerja.model.flow import QueueRule, Rate
    from prokerja.model.metrics import Metrics
    from prokerja.model.record import Condition, Detail, Filter, Record, Running
    from prokerja.model.summary import Summary
    from prokerja.model.worker import Taking, WorkerNote, WorkerRow
    from prokerja.output.folder import OutputFolder
    from prokerja.spec import JobSpec
    from prokerja.verdicts import Ended, Settlement

    Assign = Callable[[Iterator[Claimed]], tuple[list[Claimed], bool]]
    Journalled = Mapping[int, Mapping[tuple[int, int], Ended]]


class Membership(NamedTuple):
    """A worker's registration."""

    worker: int
    """Its id."""
    lock: int
    """A descriptor; the worker counts as alive while it is open. -1 if liveness needs none."""


class Want(NamedTuple):
    """What a worker would claim."""

    taking: Taking
    assign: Assign
    """Given due jobs in their order, returns those that it takes from the front, and whether it
    wants no more. It may be called several times in a turn."""
    assign_ended: Assign | None = None
    """The same for jobs that are only to be told of their end; None if it takes none of those."""
    hooked: frozenset[str] = frozenset()
    """The jobs that have hooks."""
    traced: bool = False
    """Whether attempts have spans."""


class Turn(NamedTuple):
    """What a turn has come to."""

    failed: list[FailedAttempt]
    """Of the settlements, those that were failed attempts."""
    names: dict[int, str]
    """Job names by lane, of the lanes that were looked at."""
    next_due: float | None
    """When the next job that this worker takes is due, or may be once its queue's pause has ended;
    None if none waits."""
    deadline: float | None
    """When a job of whatever queue may fail, because nobody resolves it or starts it by then, or a
    notice is due."""
    extras: dict[tuple[int, int], Extra]
    """What else some of the claimed are given, by token and id."""
    lost: list[tuple[int, int]] = []  # noqa: RUF012  nobody changes it
    """Of those that have reported steps, those that are not the worker's, by token and id."""
    is_throttled: bool = False
    """Whether some that this worker takes are due, and wait for their rate."""


class Recovered(NamedTuple):
    """What a dead worker has left."""

    worker: int
    settled: list[Settlement]
    """Jobs that had ended and were not settled."""
    failed: list[FailedAttempt]
    names: dict[int, str]
    """Job names by lane."""
    returned: int
    """How many declarations were put back."""
    left: OSError | None
    """Why a file that it has left could not be deleted."""


class Watch(Protocol):
    """Wakes who waits when the store is written to, or a worker dies; `fileno` becomes readable."""

    pace: float | None
    """Seconds between looks where nothing can wake us."""
    shortage: str
    """Why it cannot see all, if the system is short of something."""
    sees_files: bool
    """Whether it also wakes who waits when a file of the store is deleted, replaced or changed."""
    suspects: bool
    """Whether that may have happened, since somebody last said that it has not."""

    def fileno(self) -> int:
        """What to select on, or -1."""

    def drain(self) -> bool:
        """Forget what has happened so far; returns whether a worker may have died."""

    def wait(self, timeout: float) -> None:
        """Sleep until something is written, for `timeout` seconds at most."""

    def close(self) -> None:
        """Watch no more."""


class Repository(Protocol):
    """One store, opened."""

    path: str
    """What names it to people."""
    is_shared: bool
    """Whether other processes can open it."""
    patience: float
    """Seconds for which a write waits for its turn."""
    chance: Callable[[], float]
    """For jitter: random numbers in [0, 1)."""

    @property
    def outputs(self) -> OutputFolder | None:
        """Where what jobs print is kept; None if it is not."""

    # Declarations

    def declare(
        self, declarations: Iterable[Declaration], now: float, within: Any = None
    ) -> range | Ids:
        """Register all of them or none; returns their ids, in order, once they are durable.

        Where an open declaration stands for one, its id; see `Conditions`. Raises RequestError
        where one is to wait for what is not there.

        They may come as slowly as they like: the store is locked once the last of them is there.
        With `within`, the caller's own connection, they stand or fall with its transaction.
        """

    def retry(self, ids: Sequence[int], now: float) -> None:
        """Give failed declarations a fresh start, all of them or none; make pending ones due.

        Raises NotFound or RequestError, naming the first id that is neither.
        """

    def retry_failed(self, queue: str | None, name: str | None, now: float) -> int:
        """Give all failed declarations of a queue and a job a fresh start; returns how many."""

    def resolve(self, id: int, answer: str, token: str | None, now: float) -> None:
        """Hand an awaiting declaration what it waits for, as JSON: it is pending, and due.

        Raises NotFound, NotAwaiting, or BadOption for a token that is not its own.
        """

    def cancel(
        self, ids: Iterable[int], error: str, now: float, *, skip_ended: bool = False
    ) -> int:
        """End declarations with that error, all or none; returns how many are yet to be stopped.

        Pending and awaiting ones fail at once, the others once their worker has stopped them; none
        is retried. Raises NotFound or RequestError naming the first id that is not there or, unless
        those are to be skipped, has ended.
        """

    def cancel_matching(self, wanted: Filter, error: str, now: float) -> tuple[int, int]:
        """End all that match and have not ended; returns how many, and how many are yet to be.

        Of the filter, queue, name, label and batch count.
        """

    def hold(self, ids: Iterable[int]) -> None:
        """Keep pending declarations from being claimed until they are released, all or none.

        Raises NotFound or RequestError naming the first id that is not there or not pending.
        """

    def release(self, ids: Iterable[int]) -> None:
        """Hold declarations no longer, all or none.

        Raises NotFound or RequestError naming the first id that is not there or not held.
        """

    def change(self, ids: Iterable[int], change: Change, now: float) -> None:
        """Change pending declarations, all or none.

        Raises NotFound or RequestError naming the first id that is not there or not pending.
        """

    def suspend(self, ids: Iterable[int], now: float) -> None:
        """Have running declarations stand still, all or none, until they are resumed or end.

        Raises NotFound or NotRunning naming the first id that is not there or does not run.
        """

    def resume(self, ids: Iterable[int]) -> None:
        """Have suspended declarations go on, all or none.

        Raises NotFound or NotRunning naming the first id that is not there or not suspended.
        """

    def purge(
        self,
        status: Status,
        before: float,
        queue: str | None = None,
        most: int | None = None,
        now: float | None = None,
    ) -> int:
        """Delete declarations that ended (if pending: were due) before that moment.

        What depends on pending ones fails; the time of that is `now`, or `before`.

        Returns how many, `most` at the most. Raises ValueError for processing ones.
        """

    def purge_old(self, keep: Mapping[Status, float], now: float, seconds: float) -> float | None:
        """Delete what ended longer ago than it is kept, for about so many seconds at the most.

        `keep` are the seconds for which each status is kept; a job's class may say otherwise.
        Returns when there will be more to delete, `now` if there is, None if nothing has ended.
        """

    def mend(self, now: float) -> None:
        """Let go on what has waited for declarations that an older program has ended."""

    def clock_put_back(self, before: float, now: float) -> bool:
        """The clock shows `now` where it has just shown `before`: have due what was due by it.

        That is what was declared or put off by it; what was asked for at a moment waits for that.
        Of many, only some; returns whether all are.
        """

    def maintain(self) -> None:
        """Give back what room the store can do without, unless others are using it."""

    # Queues

    def pause_queue(
        self, queue: str, now: float, by: str, why: str | None, until: float | None
    ) -> tuple[QueueRule, QueueRule | None]:
        """Have nothing of a queue claimed until that moment, or until it is resumed.

        The queue `""` stands for all of them. Returns what holds of it from now on, and the pause
        that this one replaces.
        """

    def resume_queue(self, queue: str, now: float, by: str | None = None) -> QueueRule:
        """End the pause of a queue, or (`""`) that of all queues; returns it.

        Raises NotPaused.
        """

    def limit_queue(self, queue: str, most: int | None) -> QueueRule:
        """Have no more than so many of a queue run at once; returns what holds of it."""

    def rate_queue(self, queue: str, rate: Rate | None) -> QueueRule:
        """Have no more of a queue start in any time than that; returns what holds of it."""

    def queue_rules(self) -> list[QueueRule]:
        """All that people have said of queues, by name; pauses that have ended may be among it."""

    def pauses(self, ids: Sequence[int], now: float) -> list[QueueRule]:
        """What pauses the queues of these declarations, as each is there."""

    # Workers

    def join(
        self,
        pid: int,
        now: float,
        realizers: int,
        taking: Taking,
        rules: Sequence[tuple[str, str]] = (),
    ) -> Membership:
        """Register a worker, which is alive until its lock is let go.

        `rules` say who is told of what, each with its kind, as `notices.rules_from` gives them.

        From here on, what this object writes is safe from a killed process, but a power cut may
        take the last of it, as settling may be repeated.
        """

    def learn(self, worker: int, names: Sequence[str], told: Collection[str] = ()) -> None:
        """Remember the jobs that a worker has loaded; it refuses none of those from before.

        Those that are `told` have hooks that hear of their end.
        """

    def turn(
        self,
        worker: int,
        settlements: Mapping[int, Sequence[Settlement]],
        started: Sequence[tuple[Claimed, float]],
        want: Want | None,
        now: float,
        *,
        leaving: bool = False,
        reported: Reported | None = None,
    ) -> Turn:
        """Settle by token, remember which jobs are running since when, and claim, in one go.

        What a claim does not hold (any more) changes nothing. What was `reported` is written before
        anything is settled; if there are steps among it, all is durable. Jobs that nobody has
        resolved in time fail. Notices of what has happened are declared. A worker that is `leaving`
        may do this in a store that a newer program has changed.
        """

    def note(self, worker: int, notes: Sequence[WorkerNote]) -> None:
        """Remember these, and no others, as what a worker says of itself; they go with it."""

    def code_changed(
        self, worker: int, files: Sequence[str], error: str | None, now: float
    ) -> None:
        """Remember that files have changed which a worker has loaded; see `events.CodeChanged`."""

    def usual_peak(self, name: str) -> int | None:
        """What 95 in 100 of the last attempts of a job have used of memory; None if unknown."""

    def requests(self, worker: int, now: float) -> Requests:
        """What a worker holds and is to stop, or to keep still, and the next deadline of all."""

    def leave(self, membership: Membership, now: float) -> None:
        """Strike a worker off that has settled all it held."""

    def refuse_gone(self, worker: int | None = None) -> None:
        """Raise StoreGone if what is open is not (any more) what the store's name stands for.

        Given a worker that has joined, look closer: whether it is still known, and the store one.
        """

    def abandon(self) -> None:
        """Once it is gone: save what only this object has, and have closing it change nothing."""

    def workers(self) -> list[WorkerRow]:
        """Every worker on the books, living or dead."""

    def find_dead(self, workers: Iterable[int], watch: Watch) -> tuple[list[int], set[int]]:
        """Those of these workers that are dead; and the living of which `watch` will tell."""

    def journals(self, worker: int) -> tuple[str, int]:
        """The file in which a worker's realizers keep their journals, and how many there may be."""

    def recover(self, workers: Sequence[int], ended: Journalled, now: float) -> list[Recovered]:
        """Settle what dead workers had ended, by token and id, and put back the rest."""

    # Answers

    def summary(self, queue: str | None, now: float, batch: str | None = None) -> Summary:
        """Counts by queue and status, at the same cost for ten jobs and ten million.

        Of a batch, they are counted one by one; raises NotFound if it is not there.
        """

    def metrics(self, queue: str | None, now: float) -> Metrics:
        """Counts, durations and sizes, at the same cost for ten jobs and ten million."""

    def find(self, id: int, now: float) -> Detail:
        """All about one declaration, and why it is not running; raises NotFound."""

    def conditions(self, id: int, now: float) -> list[Condition]:
        """All that has to be so for a worker to claim a declaration; raises NotFound."""

    def read(self, id: int) -> Record:
        """One declaration as it stands; raises NotFound."""

    def statuses(self, ids: Iterable[int]) -> dict[int, Status]:
        """Where declarations stand; NotFound, naming the first that is not there."""

    def open_ids(self, queue: str | None, label: str | None, batch: str | None) -> list[int]:
        """All declarations of a queue, with a label, of a batch that have not ended, by their id.

        None stands for any; those with a label are gone through one by one, ended ones too.
        """

    def newest(self, wanted: Filter, limit: int) -> list[Record]:
        """The declarations that match, newest first."""

    def failures(self, queue: str | None, limit: int) -> list[Record]:
        """What has failed for good, the latest end first."""

    def running(self, queue: str | None, limit: int) -> list[Running]:
        """What has been running for a moment at least, the longest first."""

    def events(self, after: Position, limit: int) -> list[Event]:
        """What has happened after that place, `limit` events at the most, in the order of commits.

        To go on, read on from the last one's cursor.
        """

    def event_position(self, since: float | None) -> Position:
        """The place before what has happened since that moment; None for after all of it."""

    # Job classes

    def known(self, name: str) -> dict[str, JobSpec]:
        """What is known of the jobs of that name, by jobs directory (empty for none)."""

    def known_names(self, directory: str) -> list[str]:
        """Every job that is known of a directory and of none, in order."""

    def sources(self, directory: str) -> dict[str, str]:
        """What each file of a jobs directory was when it was last read; see `files.Stamp`."""

    def record(
        self, directory: str, read: Mapping[str, str], gone: Iterable[str], specs: Iterable[JobSpec]
    ) -> None:
        """Remember what these files of a directory hold now, and forget those that are gone."""

    # Itself

    def watch(self, *, guarded: bool = False) -> Watch:
        """Something to wait on; `guarded`: also until a file of the store is not what it was."""

    def refuse_newer(self) -> None:
        """Raise Outdated if a newer program has changed the store."""

    def close(self) -> None:
        """Let go of it."""
