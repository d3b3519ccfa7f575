"""The duties of one supervisor, put together."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from prokerja.worker.duties.clock import ClockCheck
from prokerja.worker.duties.file_check import FileCheck
from prokerja.worker.duties.notes import Notes
from prokerja.worker.duties.pause import Pause
from prokerja.worker.duties.recovery import Recovery
from prokerja.worker.duties.requests import RequestCheck
from prokerja.worker.duties.shutdown import Shutdown
from prokerja.worker.duties.state import StateOnRequest
from prokerja.worker.duties.upgrade import UpgradeCheck
from prokerja.worker.duties.warmth import Warmth
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
    from prokerja.worker.duties.preflight import Preflight
    from prokerja.worker.duties.relief import Reliefs
    from prokerja.worker.duties.signals import StopRequests
    from prokerja.worker.duties.size import OwnSize
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
    after: Position | None
    """What has happened until the worker began; None if no listeners want to know."""
    is_done: Callable[[], bool]
    """Whether its work is."""
    tell: Callable[[Event], None]
    own_code: OwnCode


class Duties:
    """All of them, in the order in which they run."""

    def __init__(self, parts: Parts) -> None:
        repository, worker, options, requests, pool, turns, *_ = parts
        self._turns = turns
        self._recovery = Recovery(
            repository, worker, parts.watch, parts.tell, self._look_for_deadlines
        )
        self._upgrade = UpgradeCheck(repository, lambda: not turns.has_room)
        self._clock = ClockCheck(repository, turns, parts.tell)
        asked = RequestCheck(repository, worker, pool, self._hear_of_deadline)
        files = FileCheck(repository, worker, parts.watch)
        self.writes = turns.writes = Writes(
            parts.watch, self._recovery, self._upgrade, asked, files, parts.tell,
            options.service.sleep_jitter,
        )  # fmt: skip
        self.shutdown = Shutdown(requests, pool, options.grace, parts.is_done, parts.tell)
        pause = Pause(requests, parts.holds)
        state = StateOnRequest(worker, requests, pool, turns, parts.holds, parts.tell)
        notes = Notes(repository, worker, parts.holds)
        warmth = Warmth(parts.maintenance, turns, pool)
        self._systemd = _systemd_of(parts)
        self._listeners = _listeners_of(parts)
        self._reliefs = _reliefs_of(parts)
        self._code = _code_of(parts)
        # Systemd comes first: what keeps the others from working is no reason to start again.
        self._all: list[Duty] = _there(
            self._systemd, self.writes, self.shutdown, pool, asked, self._recovery, self._upgrade,
            pause, state, notes, warmth, self._clock, files if repository.is_shared else None,
            self._listeners, self._reliefs, *(make(parts) for make in OPTIONAL),
            *(self._code.all if self._code else ()),
        )  # fmt: skip
        self._without_store = _there(self._systemd, self.shutdown, pool, state, self._reliefs)
        """Those that need no store."""

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
        if self._systemd is not None:
            self._systemd.close()
        if self._code is not None:
            self._code.close()

    def _hear_of_deadline(self, moment: float | None) -> None:
        """Others may have declared what expires soon, though no realizer is free."""
        self._turns.deadline = moment

    def _look_for_deadlines(self) -> None:
        """Those of a dead worker's jobs are nobody's but ours."""
        self._turns.deadline = 0.0


def _there(*duties: Duty | None) -> list[Duty]:
    return [duty for duty in duties if duty is not None]


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
    options, after = parts.options, parts.after
    if after is None:
        return None
    from prokerja.worker.duties.listeners import Listeners

    environment = options.environment()
    return Listeners(options.db, options.jobs, after, environment, parts.loop, parts.tell)


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


def _own_size_of(parts: Parts) -> OwnSize | None:
    limit, pool = parts.options.service.memory_limit, parts.pool
    if limit is None:
        return None
    from prokerja.worker.duties.size import OwnSize

    return OwnSize(limit, parts.requests, lambda: pool.busy)


def _preflight_of(parts: Parts) -> Preflight | None:
    service, turns = parts.options.service, parts.turns
    if not (service.memory_free or service.memory_learn):
        return None
    from prokerja.worker.duties.preflight import Preflight

    usual_peak, look = parts.repository.usual_peak, turns.writes.look
    turns.preflight = Preflight(service, parts.pool, parts.holds, usual_peak, look)
    return turns.preflight


OPTIONAL: tuple[Callable[[Parts], Duty | None], ...] = (
    _titles_of, _lifespan_of, _disk_space_of, _own_size_of, _preflight_of,
)  # fmt: skip
"""What makes those that somebody has to ask for, and that nobody else has to know of."""
