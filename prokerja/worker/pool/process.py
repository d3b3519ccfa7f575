"""A supervisor's side of one realizer: its process, the channel to it and the shared page."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from prokerja import signal_masks
from prokerja.model.cost import COUNTED_SECONDS, Cost
from prokerja.names import portable
from prokerja.worker import memory
from prokerja.worker.pool.descriptors import Descriptors
from prokerja.worker.pool.ending import Ending
from prokerja.worker.pool.exits import OOM, Cut, Exit, describe_exit
from prokerja.worker.pool.family import signal_family, stop_family
from prokerja.worker.pool.in_flight import LONG_JOB_SECONDS, InFlight
from prokerja.worker.pool.launch import command
from prokerja.worker.pool.suspension import Suspension
from prokerja.worker.process_end import end_of
from prokerja.worker.service import Service
from prokerja.worker.wire import journal
from prokerja.worker.wire.channel import Channel
from prokerja.worker.wire.messages import Batch, Launch, Report
from prokerja.worker.wire.shared_page import IDLE, JOURNALLING, OOM_KILLS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from prokerja.model.claim import Claimed, Extra
    from prokerja.verdicts import Ended
    from prokerja.worker.output.pump import Pump
    from prokerja.worker.wire.journal import Claim
    from prokerja.worker.wire.messages import Loaded

Run = tuple[int, "Claimed", float]
"""A running job: its sequence number, the job, and when it began."""
SILENT_SECONDS = 5.0
"""For which a realizer may have jobs, run none of them, and say nothing."""
REVOKE_SETTLES_SECONDS = 0.002
"""After which a write to the shared page has been seen for certain."""
MAX_LOADING_SECONDS = 60.0
KILL_AGAIN_SECONDS = 0.1
"""Seconds before a kill that had no effect is repeated."""


class RealizerProcess:
    """One realizer. All times are monotonic seconds.

    Raises OSError if the system has no room for it, and leaves nothing behind then.
    """

    loaded: Loaded | None = None
    """What it has loaded, once it is ready; its files, until now."""
    lacks: frozenset[str] = frozenset()
    """Names of jobs that others have, and that it could not load."""
    spare = False
    """Whether it is one more than there are places, and takes no jobs."""

    def __init__(
        self,
        jobs: str,
        classes: Sequence[str],
        lock: int,
        ring: int,
        pump: Pump,
        environment: Mapping[str, str] | None = None,
        tracing: str = "",
        *,
        service: Service = Service(),  # noqa: B008  it is immutable
    ) -> None:
        self._descriptors = descriptors = Descriptors(pump.add, service.concurrency)
        self.page = descriptors.page
        self.channel = Channel(descriptors.line, Report)
        self._pump, self._titles = pump, service.titles
        launch = Launch(
            channel=descriptors.channel, page=self.page.descriptor, alive=descriptors.alive,
            requests=descriptors.requests, mark=descriptors.tap.mark, lock=lock, ring=ring,
            jobs=portable(jobs), classes=list(classes),
            path=[portable(os.path.abspath(entry)) for entry in sys.path], tracing=tracing,
            nice=service.nice, memory_limit=service.memory_limit, titles=service.titles,
            concurrency=service.concurrency,
            watch=service.watch and bool(jobs or classes),
        )  # fmt: skip
        with contextlib.ExitStack() as undo:
            undo.callback(descriptors.close)
            with signal_masks.blocked(signal_masks.OF_WORKERS):  # until it is ready for them
                self._process = subprocess.Popen(
                    command(launch),
                    stdin=subprocess.DEVNULL,
                    stdout=descriptors.out,
                    stderr=descriptors.err,
                    pass_fds=(*launch.own, lock) if lock >= 0 else launch.own,
                    start_new_session=True,
                    env=environment,
                )
            undo.pop_all()
        descriptors.close_theirs()
        self.pid = self._process.pid
        """The realizer's own, once it is ready; before, its reaper's, where there is one."""
        self.end = end_of(self._process.pid)
        """Becomes readable when the process ends, where the system has such a thing; else -1."""
        self.page.cells[OOM_KILLS] = memory.oom_kills()
        self._lock = lock
        self.ring = ring
        """Which ring of the lock's file holds its journal."""
        self.in_flight = InFlight(service.realizer_jobs)
        self.ready = False
        self.loading = ""
        """The job file that it imports, before it is ready."""
        self.loading_seconds = MAX_LOADING_SECONDS
        """How long that may take."""
        self.check_at: float | None = time.monotonic() + self.loading_seconds
        """When to look at the page next; at first, when its jobs have to be loaded."""
        self.kill_at: float | None = None
        self.killed = False
        self.ending: Ending | None = None
        """Why we end it, if we do."""
        self.fault = ""
        """The same in words, where they do not follow from how it ends."""
        self.cuts: dict[int, Cut] = {}
        """The running jobs that we end, if we do."""
        self.spoiled = False
        """Whether a job has changed its process, so that no other may run there."""
        self.suspension = Suspension()
        self.stamps: dict[str, str] = {}
        """Of the job files that it has loaded."""
        self.outdated = False
        """Whether another has newer code, or it lacks what a later realizer may have loaded."""
        self.silent_since: float | None = None
        """When it was first seen to have jobs and to run none, since it last spoke."""
        self._long = 0
        """The last job that was seen to be long."""
        self._revoked = range(0)
        """Jobs that were revoked."""
        self._settled_at = 0.0
        """When it has seen that for certain."""

    @property
    def jobs(self) -> dict[int, Claimed]:
        """What it was sent and has not reported, by sequence number."""
        return self.in_flight.jobs

    @property
    def files(self) -> Mapping[str, str]:
        """The user's files that it has loaded until now, and their stamps."""
        return self.loaded.files if self.loaded is not None else {}

    def is_silent(self, now: float) -> bool:
        """Whether it has had jobs for a while, runs none, and does not say why."""
        is_journalling = self.page.running()[0] == JOURNALLING
        if not self.jobs or self.running() or is_journalling or self.suspension.is_on:
            self.silent_since = None
        elif self.silent_since is None:
            self.silent_since = now
        return self.silent_since is not None and now - self.silent_since > SILENT_SECONDS

    def has_room(self) -> bool:
        """Whether it may be sent jobs at all, just now."""
        if not self.ready or self._revoked or self.is_held_up() or self.kill_at is not None:
            return False
        if self.in_flight.is_exhausted or self.spoiled or self.outdated or self.suspension.is_on:
            return False
        if self.spare:
            return False
        return self.in_flight.has_room

    def is_held_up(self) -> bool:
        """Whether what it was sent now would wait for a long job."""
        return self._long in self.jobs

    def is_to_revoke(self, long: Sequence[Run]) -> bool:
        """Whether what waits there is to be taken back, since these jobs turned out to be long."""
        return bool(long)

    def send(self, names: Mapping[int, str], extras: Mapping[Claim, Extra]) -> None:
        """Send the batch, with the jobs' names by lane, and what else they are given by claim."""
        for batch in self.in_flight.take_batches(names, extras):
            self.channel.post(batch)
            if self.check_at is None:
                self.check_at = time.monotonic() + LONG_JOB_SECONDS

    def warm(self) -> None:
        """Send it a batch without jobs."""
        self.channel.post(Batch(0, {}, []))

    def has_to_do(self, sequence: int) -> bool:
        """Whether it has this job, not revoked."""
        return sequence in self.jobs and sequence not in self._revoked

    def finish(self, sequences: Sequence[int]) -> list[Claimed | None]:
        """It says that it is done with these jobs; None for one it does not have (any more)."""
        if self._revoked and max(sequences, default=0) >= self._revoked[-1]:
            self._revoked = range(0)
            self.page.allow()
        return self._remove(sequences)

    def current(self) -> tuple[int, Claimed | None, float]:
        """The number of the job it runs, by its own word, the job, and when it began.

        For as long as it has stood still, it counts as having begun later.
        """
        sequence, since = self.page.running()
        began = since / 1e9 + self.suspension.seconds(sequence)
        return sequence, self.jobs.get(sequence), began

    def running(self) -> Sequence[Run]:
        """The jobs that it runs: one, if any."""
        sequence, job, since = self.current()
        return () if job is None else ((sequence, job, since),)

    def is_alone(self, sequence: int) -> bool:
        """Whether this job, which it runs, may be ended by ending it."""
        return not self.in_flight.behind(sequence)

    def newly_long(self) -> Sequence[Run]:
        """The jobs that it runs, the first time they are seen to be long."""
        sequence, job, since = self.current()
        if job is None or sequence == self._long or time.monotonic() - since < LONG_JOB_SECONDS:
            return ()
        self._long = sequence
        return ((sequence, job, since),)

    def request_report(self) -> None:
        """Have it report what has ended before the long job that it runs."""
        sequence, _, _ = self.current()
        if sequence == self._long and next(iter(self.jobs), sequence) < sequence:
            self._poke()

    def show_title(self, run: Run, name: str) -> None:
        """Have it tell in its title, if it has one, that it runs this job, which has this name."""
        if self._titles:
            sequence, job, _ = run
            others = len(self.running()) - 1
            more = f" and {others:,} more" if others > 0 else ""
            self._poke(f"\n{sequence} {name} {job.id}{more}\n".encode())

    def confirm_step(self) -> None:
        """Tell it that one more of its steps, in the order in which they came, is on the disk."""
        self.page.confirm_step()
        self._poke()

    def revoke(self) -> None:
        """Forbid it to start what waits behind the job it runs."""
        sequence, _, _ = self.current()
        behind = self.in_flight.behind(sequence)
        if behind and not self._revoked:
            self._revoked = range(behind[0], behind[-1] + 1)
            self.page.revoke(behind[0], behind[-1])
            self._settled_at = time.monotonic() + REVOKE_SETTLES_SECONDS

    def take_back(self) -> list[Claimed]:
        """What was revoked and is now certain not to be started: in flight no more."""
        if not self._revoked or time.monotonic() < self._settled_at:
            return []
        sequence, _, _ = self.current()
        if sequence in (IDLE, JOURNALLING):
            return []  # it is through, and will tell by itself what it dropped
        behind = [number for number in self._revoked if number > sequence and number in self.jobs]
        return [job for job in self._remove(behind) if job is not None]

    def plan_check(self) -> None:
        """Decide when the page is worth a look again."""
        sequence, job, since = self.current()
        now = time.monotonic()
        if not self.ready:
            return  # it still loads its jobs
        if not self.jobs or self.suspension.is_on:
            self.check_at = self.kill_at
        elif self._revoked and len(self.jobs) > 1:
            self.check_at = now + REVOKE_SETTLES_SECONDS
        elif self.kill_at is not None:
            self.check_at = self.kill_at
        elif job is None:
            self.check_at = now + LONG_JOB_SECONDS
        elif sequence != self._long:
            # A report that is on its way comes first, and saves us the look.
            self.check_at = min(since, now) + LONG_JOB_SECONDS + REVOKE_SETTLES_SECONDS
        elif job.timeout is not None:
            self.check_at = since + job.timeout
        else:
            self.check_at = None

    def end_for(self, ending: Ending, why: str = "") -> None:
        """Remember why we end it; the first reason stands."""
        if self.ending is None:
            self.ending, self.fault = ending, why

    def cut_short(self, cut: Cut, seconds: float) -> None:
        """End a running job, and this realizer with it; it is killed after so many seconds."""
        self.end_for(Ending.CUT_SHORT)
        self.cuts[cut.sequence] = cut
        self.terminate(seconds)

    def end_cut(self) -> None:
        """A job has ended that was cut short: what it has started may go on as well."""
        self.kill()

    def give_up(self, now: float, seconds: float) -> bool:
        """End all, if a job does not heed that it was cut short; whether that was so."""
        return False

    def terminate(self, seconds: float) -> None:
        """Ask the job to end; it is killed if it has not after so many seconds."""
        if self.kill_at is None:
            self._signal(signal.SIGTERM)
            self.resume()  # what stands still does not hear of it
            self.kill_at = time.monotonic() + seconds

    def suspend(self) -> None:
        """Have the job that it runs, and all that was started there, stand still."""
        sequence, _, _ = self.current()
        if self._process.returncode is None:
            self.suspension.begin(sequence)
            stop_family(self._process.pid)
            if sequence not in [one for one, *_ in self.running()]:  # it has ended meanwhile
                self.resume()

    def refuse_suspension(self, claims: Collection[Claim]) -> Sequence[Claimed]:
        """Those of its jobs that are to stand still and cannot, as others run beside them."""
        return ()

    def resume(self) -> None:
        """Have it go on, if it stands still."""
        if self.suspension.is_on:
            self.suspension.end()
            self._signal(signal.SIGCONT)

    def drain_output(self, ended: Iterable[int]) -> None:
        """Have all written down that these jobs have printed, which have ended."""
        tap = self._descriptors.tap
        self._pump.drain(tap)
        if tap.recordings:
            jobs = filter(None, map(self.jobs.get, ended))
            self._pump.end(tap, [(job.id, job.attempt) for job in jobs])

    def end_output(self) -> None:
        """After its death: have all written down that its jobs have printed."""
        tap = self._descriptors.tap
        self._pump.drain(tap)
        self._pump.end_all(tap)

    def kill(self) -> None:
        """End the realizer, and all that its jobs have started, at once."""
        self.killed = True
        self.kill_at = time.monotonic() + KILL_AGAIN_SECONDS
        self._signal(signal.SIGKILL)

    def close(self, seconds: float) -> None:
        """Hang up: an idle realizer leaves; it is killed if it has not after so many seconds."""
        if self.ending is None:
            self.end_for(Ending.CLOSED)
            self.kill_at = self.check_at = time.monotonic() + seconds
            with contextlib.suppress(OSError):
                self.channel.socket.shutdown(socket.SHUT_WR)

    def reap(self) -> Exit:
        """After its death: end what it has left, and tell how it ended."""
        running, since = self.page.running()
        last_begun = self.page.last_begun()
        code: int | None = None
        while code is None:
            # It may have hung up, and live; its reaper may not have forked it yet.
            self._signal(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(KILL_AGAIN_SECONDS)
        peak, spent = self.page.used()
        oom_kills = self.page.cells[OOM_KILLS]
        if self.end >= 0:
            os.close(self.end)
        self._descriptors.close()
        is_oom = not self.killed and memory.is_oom(code, oom_kills)
        oom = memory.killed(peak) if is_oom else ""
        how = self.fault or describe_exit(code, killed=self.killed, oom=oom)
        if self.loading and not self.ready:
            how = f"{self.loading}: {how}"
        exit = Exit(how, running, since / 1e9, last_begun)
        return exit._replace(kind=OOM if is_oom else exit.kind, cost=self._cost(exit, peak, spent))

    def _cost(self, exit: Exit, peak: int, spent: int) -> Cost | None:
        """What the job has used that it was running; `spent` is in ns."""
        if exit.running < 1 or time.monotonic() - exit.began < COUNTED_SECONDS:
            return None
        return Cost(peak or None, spent / 1e9 or None) if peak or spent else None

    def exit_for(self, sequence: int, exit: Exit) -> Exit:
        """After its death: what that means for one of its jobs."""
        return exit

    def journalled(self) -> dict[Claim, Ended]:
        """After its death: what has ended, by its journal."""
        return journal.read(self._lock, self.ring) if self.jobs else {}

    def _remove(self, sequences: Sequence[int]) -> list[Claimed | None]:
        jobs = self.in_flight.finish(sequences)
        if not self.jobs:
            self.check_at = None
        return jobs

    def _poke(self, request: bytes = b".") -> None:
        """Have it look up, unless it is yet to look up for the last time."""
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self._descriptors.request, request)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            signal_family(self._process.pid, number)
