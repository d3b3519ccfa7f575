"""A supervisor's side of one realizer: process, line, board, and what it has in hand."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from prokerja.names import portable
from prokerja.worker.pool.descriptors import Descriptors
from prokerja.worker.pool.family import signal_family
from prokerja.worker.pool.launch import command
from prokerja.worker.wire import journal as notes
from prokerja.worker.wire.channel import Channel
from prokerja.worker.wire.messages import Launch, Report, Work
from prokerja.worker.wire.shared_page import BETWEEN, IDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from prokerja.model import Claimed
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker.wire.messages import Done, Failure

LONG = 0.02
"""Seconds: a job that runs longer is long, and nothing may wait behind it."""
ENOUGH = 0.025
"""Seconds of work in a realizer's hands: some 20 ms ahead of the job that it is at."""
SILENCE = 5.0
"""Seconds for which a realizer may have jobs in hand, be at none of them, and say nothing."""
LAST = 2**31 - 2**20
"""Sequence numbers end here: two of them share a word of the board."""
CERTAIN = 0.002
"""Seconds after which a write to the board has been seen for certain."""

MAX_LOADING_SECONDS = 60.0
KILL_AGAIN_SECONDS = 0.1
"""Before a kill that nobody died of is repeated."""


class RealizerProcess:
    """One realizer. All times are monotonic seconds.

    Raises OSError if the system has no room for it, and leaves nothing behind then.
    """

    def __init__(
        self,
        jobs: str,
        classes: Sequence[str],
        lock: int,
        ring: int,
        watch: Callable[[int], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._ends = ends = Descriptors(watch)
        self.board = ends.board
        self.channel = Channel(ends.line, Report)
        setup = Launch(
            channel=ends.channel, board=self.board.descriptor, lifeline=ends.alive,
            nudge=ends.nudged, lock=lock, ring=ring, jobs=portable(jobs), classes=list(classes),
            path=[portable(os.path.abspath(entry)) for entry in sys.path],
        )  # fmt: skip
        with contextlib.ExitStack() as undo:
            undo.callback(ends.close)
            self.process = subprocess.Popen(
                command(setup),
                stdin=subprocess.DEVNULL,
                stdout=ends.printed,
                stderr=ends.printed,
                pass_fds=(*setup.own, lock) if lock >= 0 else setup.own,
                start_new_session=True,
                env=environment,
            )
            undo.pop_all()
        ends.close_theirs()
        self.pid = self.process.pid
        """The realizer's own, once it has greeted: `process` is its reaper, where there is one."""
        self.ending = _ending(self.process.pid)
        """Becomes readable when the process ends, where the system has such a thing; else -1."""
        self._lock = lock
        self.ring = ring
        """Which ring of the lock's file it notes in what it has done."""
        self.tasks: dict[int, Claimed] = {}
        """What it has in hand, by sequence number, in order."""
        self.ready = False
        self.loading = ""
        """The job file that it imports, before it is ready."""
        self.loading_seconds = MAX_LOADING_SECONDS
        """How long that may take."""
        self.look_at: float | None = time.monotonic() + self.loading_seconds
        """When to look at the board next; at first, when its jobs have to be loaded."""
        self.overdue = 0
        """The number of the job that has broken its time limit, if one has."""
        self.kill_at: float | None = None
        self.excused = False
        """Whether we end it in good order, whatever it is at."""
        self.why = ""
        """Why it is killed, in words; empty for a reason that is told elsewhere, or not ours."""
        self.killed = False
        self.spoiled = False
        """Whether a job has changed its process, so that no other may run there."""
        self.silent_since: float | None = None
        """When it was first seen to have jobs and to be at none, since it last spoke."""
        self.load = 0.0
        """Seconds of work in its hands, as far as we know."""
        self._batch: list[Claimed] = []
        self._long = 0
        """The last job that was seen to be long."""
        self._revoked = range(0)
        """Jobs that it was told not to start."""
        self._certain_at = 0.0
        self._next = 1

    @property
    def worn(self) -> bool:
        """Whether its numbers are nearly used up, so that it is better replaced."""
        return self._next > LAST

    def silent(self, now: float) -> bool:
        """Whether it has had jobs for a while, is at none, and does not say why."""
        sequence, current, _ = self.at()
        if not self.tasks or current is not None or sequence == BETWEEN:
            self.silent_since = None
        elif self.silent_since is None:
            self.silent_since = now
        return self.silent_since is not None and now - self.silent_since > SILENCE

    def fits(self) -> bool:
        """Whether it may be handed jobs at all, just now."""
        if not self.ready or self._revoked or self._long in self.tasks or self.kill_at is not None:
            return False
        if self.worn or self.spoiled:
            return False
        return self.load < ENOUGH or not (self.tasks or self._batch)

    def put(self, claimed: Claimed, cost: float) -> bool:
        """Add a job that takes `cost` seconds to the next batch, unless it had to wait for long."""
        if (self.load > ENOUGH or cost > LONG) and (self.tasks or self._batch):
            return False
        self._batch.append(claimed)
        self.load += cost
        return True

    def deal(self, names: dict[int, str]) -> None:
        """RealizerProcess the batch over; the jobs' names by lane go with it."""
        batch, self._batch = self._batch, []
        if not batch:
            return
        jobs = [((c.token, c.id), c.lane, c.payload) for c in batch]
        self.channel.post(Work(self._next, {c.lane: names[c.lane] for c in batch}, jobs))
        self.tasks.update(enumerate(batch, self._next))
        self._next += len(batch)
        if self.look_at is None:
            self.look_at = time.monotonic() + LONG

    def has_to_do(self, sequence: int) -> bool:
        """Whether this job is in its hands, and was not revoked."""
        return sequence in self.tasks and sequence not in self._revoked

    def undo(self) -> None:
        """Forget the batch."""
        self._weigh(len(self.tasks) + len(self._batch))
        self._batch = []

    def done(self, sequences: Sequence[int]) -> list[Claimed | None]:
        """It says that it is done with these jobs; None for one it does not have (any more)."""
        before = len(self.tasks)
        if self._revoked and max(sequences, default=0) >= self._revoked[-1]:
            self._revoked = range(0)
            self.board.allow()
        jobs = [self.tasks.pop(sequence, None) for sequence in sequences]
        self._weigh(before)
        return jobs

    def at(self) -> tuple[int, Claimed | None, float]:
        """The number of the job it is at, by its own word, the job, and the moment it began."""
        sequence, since = self.board.running()
        return sequence, self.tasks.get(sequence), since / 1e9

    def last_begun(self) -> int:
        """The number of the last job it has begun, by its own word; 0 for none."""
        return self.board.last_begun()

    def became_long(self) -> tuple[Claimed, float] | None:
        """The job at hand with the moment it began, the first time it is seen to be long."""
        sequence, task, since = self.at()
        if task is None or sequence == self._long or time.monotonic() - since < LONG:
            return None
        self._long = sequence
        return task, since

    def nudge(self) -> None:
        """Have it report what it has done before the long job that it is at."""
        sequence, _, _ = self.at()
        if sequence == self._long and next(iter(self.tasks), sequence) < sequence:
            with contextlib.suppress(BrokenPipeError, BlockingIOError):
                os.write(self._ends.nudge, b".")

    def revoke(self) -> None:
        """Forbid it to start what waits behind the job it is at."""
        sequence, _, _ = self.at()
        behind = [number for number in self.tasks if number > sequence]
        if behind and not self._revoked:
            self._revoked = range(behind[0], behind[-1] + 1)
            self.board.revoke(behind[0], behind[-1])
            self._certain_at = time.monotonic() + CERTAIN

    def withdraw(self) -> list[Claimed]:
        """What was revoked and is now certain not to be started: taken out of its hands."""
        if not self._revoked or time.monotonic() < self._certain_at:
            return []
        sequence, _, _ = self.at()
        if sequence in (IDLE, BETWEEN):
            return []  # it is through, and will tell by itself what it dropped
        before = len(self.tasks)
        behind = [number for number in self._revoked if number > sequence and number in self.tasks]
        taken = [self.tasks.pop(number) for number in behind]
        self._weigh(before)
        return taken

    def plan_look(self) -> None:
        """Decide when the board is worth a look again."""
        sequence, task, since = self.at()
        now = time.monotonic()
        if not self.ready:
            return  # it still loads its jobs
        if not self.tasks:
            self.look_at = self.kill_at
        elif self._revoked and len(self.tasks) > 1:
            self.look_at = now + CERTAIN
        elif self.kill_at is not None:
            self.look_at = self.kill_at
        elif task is None:
            self.look_at = now + LONG
        elif sequence != self._long:
            # A report that is on its way comes first, and saves us the look.
            self.look_at = min(since, now) + LONG + CERTAIN
        elif task.timeout is not None:
            self.look_at = since + task.timeout
        else:
            self.look_at = None

    def hurry(self, grace: float) -> None:
        """Ask the job to end; it is killed if it has not within `grace` seconds."""
        if self.kill_at is None:
            self._signal(signal.SIGTERM)
            self.kill_at = time.monotonic() + grace

    def kill(self, why: str = "") -> None:
        """End the realizer, and all that its jobs have started, at once."""
        self.why = self.why or why
        self.killed = True
        self.kill_at = time.monotonic() + KILL_AGAIN_SECONDS
        self._signal(signal.SIGKILL)

    def dismiss(self, grace: float) -> None:
        """Hang up: an idle realizer leaves; it is killed if it has not within `grace` seconds."""
        if not self.excused:
            self.excused = True
            self.kill_at = self.look_at = time.monotonic() + grace
            with contextlib.suppress(OSError):
                self.channel.socket.shutdown(socket.SHUT_WR)

    def bury(self) -> int:
        """After its death: end what it has left, and return its exit code."""
        code: int | None = None
        while code is None:
            # It may have hung up, and live; its reaper may not have forked it yet.
            self._signal(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self.process.wait(KILL_AGAIN_SECONDS)
        if self.ending >= 0:
            os.close(self.ending)
        self._ends.close()
        return code

    def noted(self) -> dict[Claim, Done | Failure]:
        """After its death: what it has done, by its own notes."""
        return notes.read(self._lock, self.ring) if self.tasks else {}

    def _weigh(self, before: int) -> None:
        """Take off the load what has gone; `before` is how many jobs there were."""
        if self.tasks:
            self.load *= len(self.tasks) / before
        else:
            self.load = 0.0
            self.look_at = None

    def _signal(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            signal_family(self.process.pid, number)


def _ending(pid: int) -> int:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may not have it
            return os.pidfd_open(pid)
    return -1
