"""The child process that runs the user's code, and talks to nobody but its supervisor."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import select
import socket
import sys
import threading
import time
from collections import deque
from typing import Any, cast

import msgspec
from msgspec.json import decode

from prokerja.catalog.loading import Loaded, load, load_classes
from prokerja.worker import lifeline
from prokerja.worker.board import AT, BETWEEN, IDLE, REVOKED, SINCE, Board, revoked
from prokerja.worker.notes import Notebook
from prokerja.worker.outcome import declared, encode_result, in_one_line, legible, told
from prokerja.worker.output import Announcer
from prokerja.worker.wire import Broken, Channel, Done, Failure, Report, Work

NEWS_AFTER, ENOUGH_NEWS = 12_000_000, 500
"""Nanoseconds and results after which they are reported, even if there is more to do."""
NOTE_AFTER = 10_000
"""Nanoseconds between two notes, at least: what takes longer by itself is noted at once."""
QUICK = 200_000
"""Nanoseconds: a job slower than this may start processes, so it is announced beforehand."""
FAR = 200
"""A descriptor that a process with few files does not reach."""


class Setup(msgspec.Struct):
    """What a realizer is told on its command line."""

    channel: int
    """Descriptors that it inherits."""
    board: int
    lifeline: int
    nudge: int
    lock: int
    """The worker's lock, held by having it open, and the file for notes; -1 for none."""
    ring: int
    """Where in that file this realizer's notes go."""
    jobs: str
    """The jobs directory; it is read unless there are ..."""
    classes: list[str]
    """... classes to import, as `module:qualified.name`."""
    path: list[str]
    """Where the supervisor imports from."""


class Realizer:
    """Runs jobs one after the other, in the order in which they come."""

    def __init__(self, setup: Setup, loaded: Loaded, announcer: Announcer) -> None:
        self._channel = Channel(socket.socket(fileno=setup.channel), Work)
        self._board = Board(setup.board)
        self._announcer = announcer
        self._classes = loaded.classes
        self._directory = setup.jobs
        self._jobs: deque[tuple[int, tuple[int, int], str, str]] = deque()
        """Sequence number, the claim's token with the declaration's id, job name, payload."""
        self._news: deque[Done | Failure] = deque()
        """What is not reported yet."""
        self._notebook = Notebook(setup.lock if setup.lock >= FAR else -1, setup.ring)
        self._refused = Report()
        self._sending = threading.Lock()
        self._slow: set[str] = set(self._classes)
        self._poll = select.poll()
        self._poll.register(self._channel.socket, select.POLLIN)
        self._epoch = 0.0
        self._process = os.getpid()
        threading.Thread(target=self._heed, args=(setup.nudge,), daemon=True).start()

    def run(self) -> None:
        """Work until the supervisor hangs up."""
        while self._read(wait=not self._jobs):
            # Monotonic time orders what happens here; this turns it into the time of day.
            self._epoch = time.time() - time.monotonic()
            self._work()
            self._send()

    def hello(self, loaded: Loaded) -> None:
        """Tell the supervisor that the jobs are loaded, and what they are."""
        broken = [Broken(b.file, legible(b.error)) for b in loaded.broken]
        specs = [*loaded.specs.values(), *loaded.shadowed]
        self._channel.post(Report(ready=True, specs=specs, broken=broken, stamps=loaded.stamps))

    def _read(self, *, wait: bool) -> bool:
        while wait or self._poll.poll(0):
            frames = self._channel.receive()
            if frames is None:
                return False
            for work in frames:
                for sequence, (claim, lane, payload) in enumerate(work.jobs, work.first):
                    self._jobs.append((sequence, claim, work.names[lane], payload))
                wait = False
        return True

    def _more(self) -> bool:
        """Whether there are jobs again in the meantime."""
        return self._read(wait=False) and bool(self._jobs)

    def _work(self) -> None:
        """Run what is in hand until it is done or there is news to report."""
        words, jobs = self._board.words, self._jobs
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
                now = self._realize(sequence, claim, name, payload, now)
                if now >= note_at:
                    now = self._note()
                    note_at = now + NOTE_AFTER
        self._note()
        if not jobs:
            words[AT] = IDLE

    def _note(self) -> int:
        """Note what has ended, at no job's expense; returns the time after that, as all here."""
        self._board.words[AT] = BETWEEN
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
            if report.completed or report.failed or report.dropped or report.unknown:
                self._channel.post(report)


def fields(payload: str) -> Any:
    """A payload as Python's own parser reads it, at a tenth of the time."""
    try:
        return decode(payload)
    except (ValueError, RecursionError):  # it refuses some of what Python writes itself
        return json.loads(payload)


def start(given: str) -> None:
    """Load the jobs, say so, and work; `given` is a Setup as JSON."""
    setup = decode(given, type=Setup)
    setup.lock = out_of_reach(setup.lock)
    lifeline.hold(setup.lifeline)
    mine = (setup.channel, setup.board, setup.lifeline, setup.nudge, setup.lock)
    for descriptor in mine:
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)  # nothing that a job starts ...
    # ... and no daemon that it forks is a part of this worker.
    os.register_at_fork(after_in_child=lambda: close_quietly(*mine))
    sys.path.extend(entry for entry in setup.path if entry not in sys.path)
    announcer = Announcer()
    loaded = load_classes(map(imported, setup.classes)) if setup.classes else load(setup.jobs)
    announcer.flush()
    realizer = Realizer(setup, loaded, announcer)
    realizer.hello(loaded)
    realizer.run()
    announcer.flush()


def out_of_reach(descriptor: int) -> int:
    """The same file, by a number that a job hardly comes by if it closes what is not its own.

    Notes are written to it, and must not end up in a file that the job has opened instead.
    """
    if descriptor < 0:
        return descriptor
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FAR)
    except OSError:  # few numbers are allowed
        return descriptor
    os.close(descriptor)
    return moved


def imported(name: str) -> type:
    """The class called `module:qualified.name`."""
    module, _, qualified = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return cast("type", found)


def close_quietly(*descriptors: int) -> None:
    """Close what may be closed already."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
