"""The duties of one supervisor, put together."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from prokerja.catalog.files import has_listeners
from prokerja.settings import UNREACHABLE
from prokerja.worker.duties.clock import ClockCheck
from prokerja.worker.duties.file_check import FileCheck
from prokerja.worker.duties.notes import Notes
from prokerja.worker.duties.pause import Pause
from prokerja.worker.duties.recovery import Recovery
from prokerja.worker.duties.requests import RequestCheck
from prokerja.worker.duties.shutdown import Shutdown
from prokerja.worker.duties.state import StateOnRequest
from prokerja.worker.duties.upgrade import UpgradeCheck
from prokerja.worker.duties.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.events import Position
    from prokerja.repository.verbs import Repository, Watch
    from prokerja.worker.duties import Duty
    from prokerja.worker.duties.code import CodeDuties
    from prokerja.worker.duties.disk_space import DiskSpace
    from prokerja.worker.duties.lifespan import Lifespan
    from prokerja.worker.duties.listeners import Listeners
    from prokerja.worker.duties.maintenance import Maintenance
    from prokerja.worker.duties.relief import Reliefs
    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.duties.systemd import Systemd
    from prokerja.worker.duties.titles import Titles
    from prokerja.worker.holds import Holds
    from prokerja.worker.loop import EventLoop
    from prokerja.worker.options import WorkerOptions
    from prokerja.worker.own_code import OwnCode
    from prokerja.worker.pool.pool import Pool
    from prokerja.worker.turns import Turns
    from prokerja.worker_events import Event


class Parts(NamedTuple):
    """What a worker consists of, for duties to work on."""

    repository: Repository
    worker: int
    options: WorkerOptions
    requests: StopRequests
    pool: Pool
    turns: Turns
    holds: Holds
    watch: Watch
    loop: EventLoop
    maintenance: Maintenance
    after: Position
    """What has happened until the worker began."""
    is_done: Callable[[], bool]
    """Whether its work is."""
    tell: Callable[[Event], None]
    own_code: OwnCode


class Duties:
    """All of them, in the order in which they run."""

    def __init__(self, parts: Parts) -> None:
        repository, worker, options, requests, pool, turns, *_ = parts
        self._recovery = Recovery(
            repository, worker, parts.watch, parts.tell, self._look_for_deadlines
        )
        self._upgrade = UpgradeCheck(repository, lambda: not turns.has_room)
        self._turns = turns
        asked = RequestCheck(repository, worker, pool, self._hear_of_deadline)
        files = FileCheck(repository, worker, parts.watch)
        self.writes = turns.writes = Writes(
            parts.watch,
            self._recovery,
            self._upgrade,
            asked,
            files,
            parts.tell,
            options.service.sleep_jitter,
        )
        self._listeners = _listeners_of(parts)
        self.shutdown = Shutdown(requests, pool, options.grace, parts.is_done, parts.tell)
        self._clock = ClockCheck(repository, turns, parts.tell)
        notes = Notes(repository, worker, parts.holds)
        pause = Pause(requests, parts.holds)
        state = StateOnRequest(worker, requests, pool, turns, parts.holds, parts.tell)
        self.systemd = _systemd_of(parts)
        # It comes first: what keeps the others from working is no reason to start again.
        self._all: list[Duty] = [self.systemd] if self.systemd else []
        self._all += [
            self.writes, self.shutdown, pool, asked, self._recovery, self._upgrade, pause, state,
            notes, self._clock,
        ]  # fmt: skip
        if repository.is_shared:
            self._all.append(files)
        if self._listeners:
            self._all.append(self._listeners)
        if titles := _titles_of(parts):
            self._all.append(titles)
        self._reliefs = _reliefs_of(parts)
        if self._reliefs:
            self._all.append(self._reliefs)
        if (lifespan := _lifespan_of(parts)) is not None:
            self._all.append(lifespan)
        if (disk := _disk_space_of(parts)) is not None:
            self._all.append(disk)
        service = options.service
        if service.memory_limit:
            from prokerja.worker.duties.size import OwnSize

            self._all.append(OwnSize(service.memory_limit, requests, lambda: pool.busy))
        if service.memory_free or service.memory_learn:
            from prokerja.worker.duties.preflight import Preflight

            look = self.writes.look
            turns.preflight = Preflight(service, pool, parts.holds, repository.usual_peak, look)
            self._all.append(turns.preflight)
        without: tuple[Duty | None, ...] = (self.systemd, self.shutdown, pool, state, self._reliefs)
        self._without_store = [duty for duty in without if duty is not None]
        """Those that need no store."""
        self._code = _code_of(parts)
        if self._code:
            self._all += self._code.all

    def __iter__(self) -> Iterator[Duty]:
        return iter(self._all)

    @property
    def are_left(self) -> bool:
        """Whether the worker has to stay for what one of them has started."""
        return self._reliefs is not None and self._reliefs.are_left

    def stop_writing(self) -> None:
        """The file is not ours to write any longer, but for what was begun."""
        self._recovery.stop()
        self._upgrade.stop()
        self._clock.stop()

    def leave_store(self) -> None:
        """The store is gone: do only what needs none."""
        self._all = self._without_store

    def close(self, *, forced: bool) -> None:
        """End what duties have started; at once if that is `forced`."""
        if self._listeners is not None:
            self._listeners.close(forced=forced)
        if self._reliefs is not None:
            self._reliefs.close()
        if self.systemd is not None:
            self.systemd.close()
        if self._code is not None:
            self._code.close()

    def _hear_of_deadline(self, moment: float | None) -> None:
        """Others may have declared what expires soon, though no realizer is free."""
        self._turns.deadline = moment

    def _look_for_deadlines(self) -> None:
        """Those of a dead worker's jobs are nobody's but ours."""
        self._turns.deadline = 0.0


def _systemd_of(parts: Parts) -> Systemd | None:
    if not parts.options.service.systemd or "NOTIFY_SOCKET" not in os.environ:
        return None
    from prokerja.worker.duties.systemd import systemd_of

    return systemd_of(parts)


def _disk_space_of(parts: Parts) -> DiskSpace | None:
    floor, repository = parts.options.service.disk_free, parts.repository
    if floor == 0 or not repository.is_shared:
        return None
    from prokerja.worker.duties.disk_space import DiskSpace

    return DiskSpace(repository.path, floor, parts.turns, parts.holds)


def _listeners_of(parts: Parts) -> Listeners | None:
    options = parts.options
    if options.classes or options.db == UNREACHABLE or not has_listeners(options.jobs):
        return None
    from prokerja.worker.duties.listeners import Listeners

    environment = options.environment()
    return Listeners(options.db, options.jobs, parts.after, environment, parts.loop, parts.tell)


def _titles_of(parts: Parts) -> Titles | None:
    if not parts.options.service.titles:
        return None
    from prokerja.titles import title_setter
    from prokerja.worker.duties.titles import Titles

    set_title = title_setter()
    return Titles(parts.pool, set_title) if set_title else None


def _reliefs_of(parts: Parts) -> Reliefs | None:
    options, restart = parts.options, parts.options.restart
    if restart is None:
        return None
    from prokerja.worker.duties.orders import Orders
    from prokerja.worker.duties.relief import Reliefs

    if restart.is_relief:
        Orders(restart.given.orders, parts.requests, parts.loop)
    return Reliefs(
        restart, options, parts.requests, parts.pool, parts.turns, parts.loop, parts.tell
    )


def _lifespan_of(parts: Parts) -> Lifespan | None:
    service, restart = parts.options.service, parts.options.restart
    is_relief = restart is not None and restart.is_relief
    idle_seconds = None if is_relief else service.idle_exit
    if service.max_time is None and idle_seconds is None:
        return None
    from prokerja.worker.duties.lifespan import Lifespan

    ends_at = None if restart is None else restart.given.ends_at
    if ends_at is None and service.max_time is not None:
        ends_at = time.monotonic() + service.max_time
    if restart is not None:
        restart.next.ends_at = ends_at
    return Lifespan(parts.requests, parts.maintenance, ends_at, idle_seconds)


def _code_of(parts: Parts) -> CodeDuties | None:
    if not parts.options.service.watch:
        return None
    from prokerja.worker.duties.code import CodeDuties

    return CodeDuties(parts)
