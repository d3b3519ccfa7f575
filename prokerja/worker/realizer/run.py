"""The child process that runs the user's code, and talks to nobody but its supervisor."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec.json import decode

from prokerja.worker.realizer.outcome import declared, encode_result, in_one_line, legible, told
from prokerja.worker.realizer.process_state import ProcessState
from prokerja.worker.wire.journal import Journal
from prokerja.worker.wire.messages import Broken, Done, Failure, FollowUp, Report, Work
from prokerja.worker.wire.shared_page import (
    AT,
    BETWEEN,
    IDLE,
    LAST,
    REVOKED,
    SINCE,
    SharedPage,
    revoked,
)

if TYPE_CHECKING:
    from prokerja.catalog.loading import Loaded
    from prokerja.worker.output.capture import OutputCapture
    from prokerja.worker.wire.channel import Channel
    from prokerja.worker.wire.messages import Launch

NEWS_AFTER, ENOUGH_NEWS = 12_000_000, 500
"""Nanoseconds and results after which they are reported, even if there is more to do."""
NOTE_AFTER = 10_000
"""Nanoseconds between two notes, at least: what takes longer by itself is noted at once."""
LONG = 5_000_000
"""Nanoseconds of a job after which it is looked at what it has changed in this process."""
QUICK = 200_000
"""Nanoseconds: a job slower than this may start processes, so it is announced beforehand."""
LARGE_BYTES = 2**16
"""A result, or follow-ups, of at least so much are reported by themselves: frames stay small."""


NOTHING = Report()


class Interrupted(SystemExit):
    """The job at hand is to end: its time limit, or the worker's grace, is over."""


class Realizer:
    """Runs jobs one after the other, in the order in which they come."""

    def __init__(
        self,
        setup: Launch,
        channel: Channel[Work],
        notes: int,
        loaded: Loaded,
        announcer: OutputCapture,
    ) -> None:
        self._channel = channel
        self._board = SharedPage(setup.board)
        self._announcer = announcer
        self._classes = loaded.classes
        self._directory = setup.jobs
        self._jobs: deque[tuple[int, tuple[int, int], str, str]] = deque()
        """Sequence number, the claim's token with the declaration's id, job name, payload."""
        self._news: deque[Done | Failure] = deque()
        """What is not reported yet."""
        self._notebook = Journal(notes, setup.ring)
        self._refused = Report()
        self._sending = threading.Lock()
        self._slow: set[str] = set(self._classes)
        self._poll = select.poll()
        self._poll.register(self._channel.socket, select.POLLIN)
        self._epoch = 0.0
        self._process = os.getpid()
        self._name = ""
        """Of the last job that was run."""
        self._spoiled = False
        """Whether it was changed for good, so that it has to be replaced."""
        threading.Thread(target=self._heed, args=(setup.nudge,), daemon=True).start()

    def run(self) -> None:
        """Work until the supervisor hangs up."""
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._interrupt)
            os.register_at_fork(
                before=self._hold_term,
                after_in_child=self._end_at_term,
                after_in_parent=self._let_go_of_term,
            )
        self._state = ProcessState()
        while self._read(wait=not self._jobs):
            # Monotonic time orders what happens here; this turns it into the time of day.
            self._epoch = time.time() - time.monotonic()
            try:
                self._work()
            except Interrupted:  # a moment before or after the job itself
                self._die()
            self._send()
            self._restore(self._name)
            self._send()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._channel.socket.detach()  # closed by this process's end, and not before

    def _hold_term(self) -> None:
        """Keep a TERM from a child that is being made: Python forgets what it hears before."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def _let_go_of_term(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _end_at_term(self) -> None:
        """What a job forks ends at a TERM, as any process does."""
        if signal.getsignal(signal.SIGTERM) == self._interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._let_go_of_term()

    def _interrupt(self, number: int, _: object) -> None:
        if self._board.words[AT] > 0 and os.getpid() == self._process:
            raise Interrupted("the job was asked to end")
        self._die()

    def _die(self) -> NoReturn:
        """End as any process does that is asked to, now that the job's own clean-up is done."""
        self._announcer.flush()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)

    def hello(self, loaded: Loaded) -> None:
        """Tell the supervisor that the jobs are loaded, and what they are."""
        broken = [Broken(b.file, legible(b.error)) for b in loaded.broken]
        specs = [*loaded.specs.values(), *loaded.shadowed]
        report = Report(ready=True, specs=specs, broken=broken, stamps=loaded.stamps)
        report.pid = os.getpid()
        self._channel.post(report)

    def _read(self, *, wait: bool) -> bool:
        while wait or self._poll.poll(0):
            frames = self._channel.receive()
            if frames is None:
                return False
            for work in frames:
                for sequence, (claim, lane, payload) in enumerate(work.jobs, work.first):
                    self._jobs.append((sequence, claim, work.names[lane], payload))
                wait = False
        if self._spoiled:
            self._drop_all()
        return True

    def _more(self) -> bool:
        """Whether there are jobs again in the meantime."""
        return self._read(wait=False) and bool(self._jobs)

    def _work(self) -> None:
        """Run what is in hand until it is done or there is news to report."""
        words, jobs = self._board.words, self._jobs
        state, path, usual_path = self._state, sys.path, sys.path.copy()
        name = self._name
        now = time.monotonic_ns()
        report_at, note_at = now + NEWS_AFTER, now + NOTE_AFTER
        while now < report_at and len(self._news) < ENOUGH_NEWS and (jobs or self._more()):
            sequence, claim, name, payload = jobs.popleft()
            if name in self._slow:  # what has ended must not wait for it to be noted
                now = self._note()
            words[SINCE] = now
            words[AT] = sequence
            if words[REVOKED] and revoked(words[REVOKED], sequence):
                self._refused.dropped.append(sequence)
            elif name not in self._classes:
                self._refused.unknown.append(sequence)
            else:
                self._announcer.job = claim[1]
                began, now = now, self._realize(sequence, claim, name, payload, now)
                if state.touched or path != usual_path or now - began > LONG:
                    self._note()
                    self._restore(name)
                    now = time.monotonic_ns()
                if now >= note_at:
                    now = self._note()
                    note_at = now + NOTE_AFTER
        self._name = name
        self._note()
        if not jobs:
            words[AT] = IDLE

    def _restore(self, name: str) -> None:
        """Put back what this job has changed in this process, or have it replaced."""
        if not self._spoiled and (lost := self._state.restore()):
            self._spoiled = True
            self._refused.spoiled = (name, ", ".join(lost))
            self._drop_all()

    def _drop_all(self) -> None:
        """Give back what no job may be done of in this process any more."""
        self._refused.dropped += [sequence for sequence, *_ in self._jobs]
        self._jobs.clear()

    def _note(self) -> int:
        """Note what has ended, at no job's expense; returns the time after that, as all here."""
        words = self._board.words
        if words[AT] > 0:
            words[LAST] = words[AT]
        words[AT] = BETWEEN
        self._notebook.write()
        return time.monotonic_ns()

    def _realize(
        self, sequence: int, claim: tuple[int, int], name: str, payload: str, began: int
    ) -> int:
        if name in self._slow:
            self._announcer.announce()
        try:
            job = self._classes[name](**fields(payload))
            result = job.handle()
            text = None if result is None else encode_result(result)
            follow_ups = declared(job, self._directory)
            self._stay_one()
        except Interrupted:
            self._stay_one()
            self._die()
        except BaseException as error:  # noqa: BLE001  it ends this attempt, and no more
            self._stay_one()
            self._announcer.flush()
            ended = time.monotonic_ns()
            times = (self._moment(began), self._moment(ended))
            failure = Failure(sequence, *times, in_one_line(error), told(error))
            self._notebook.failed((claim, failure))
            self._news.append(failure)
        else:
            self._announcer.flush()
            ended = time.monotonic_ns()
            times = (self._moment(began), self._moment(ended))
            done = (sequence, *times, text, follow_ups)
            self._notebook.completed((claim, done))
            self._news.append(done)
            if (text and len(text) > LARGE_BYTES) or (follow_ups and _are_large(follow_ups)):
                self._send(refused=False)
        if ended - began > QUICK:
            self._slow.add(name)
        else:
            self._slow.discard(name)
        return ended

    def _stay_one(self) -> None:
        """End a child that the job has forked and that came back from it like its parent."""
        if os.getpid() != self._process:
            os._exit(0)

    def _moment(self, monotonic_ns: int) -> float:
        return self._epoch + monotonic_ns / 1e9

    def _heed(self, nudge: int) -> None:
        """Report what is done, while the job at hand runs on: the supervisor asks for it."""
        while os.read(nudge, 64):
            self._send(refused=False)

    def _send(self, *, refused: bool = True) -> None:
        with self._sending:
            report = Report()
            if refused:
                report, self._refused = self._refused, report
            while self._news:
                item = self._news.popleft()
                if isinstance(item, Failure):
                    report.failed.append(item)
                else:
                    report.completed.append(item)
            if report != NOTHING:
                self._channel.post(report)


def _are_large(follow_ups: list[FollowUp]) -> bool:
    return sum(len(one.payload) for one in follow_ups) > LARGE_BYTES


def fields(payload: str) -> Any:
    """A payload as Python's own parser reads it, at a tenth of the time."""
    try:
        return decode(payload)
    except (ValueError, RecursionError):  # it refuses some of what Python writes itself
        return json.loads(payload)
