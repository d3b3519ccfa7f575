"""A worker as programs start it; the command `realization:start` does the same."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prokerja import repository, signal_masks
from prokerja.catalog.trust import refuse_foreign
from prokerja.errors import BadOption, CatalogError, StoreGone
from prokerja.job import file_of, home_of
from prokerja.settings import UNREACHABLE, Settings, settings
from prokerja.terms import WEIGHT
from prokerja.worker.duties.maintenance import Maintenance
from prokerja.worker.duties.signals import FOR_OTHERS, HANDLED, StopRequests
from prokerja.worker.options import WorkerOptions
from prokerja.worker.output.pump import Pump
from prokerja.worker.service import service_of
from prokerja.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Unpack

    from prokerja.listening import Call, Listener
    from prokerja.queue import Queue
    from prokerja.repository.verbs import Repository
    from prokerja.worker.restart import Restart
    from prokerja.worker.service import ServiceTerms
    from prokerja.worker_events import Event

LAST_OUTPUT_SECONDS = 2.0
"""Seconds for which a leaving worker still carries what its jobs have printed."""


class Worker:
    """Realizes jobs, in this process and the children that it starts.

    `queue` says which file; `jobs` is a directory of job files or a list of job classes that can
    be imported. Where neither is given, and the settings name no directory, and there is none
    where it usually is, it runs commands only. The options are those of `prokerja
    realization:start`, durations in seconds: `same_as` names directories whose jobs are the same
    as these, such as another copy of them; with `verbose`, or a queue
    in memory, stderr shows what jobs print. It takes from `queues` in their order or, if they have
    weights, in turns.
    """

    def __init__(  # noqa: PLR0913  a keyword each
        self,
        queue: Queue,
        jobs: str | os.PathLike[str] | Iterable[type] | None = None,
        *,
        queues: Iterable[str] | Mapping[str, int] = (),
        realizers: int = 1,
        until_empty: bool = False,
        max_jobs: int | None = None,
        grace: float = 30.0,
        same_as: Iterable[str | os.PathLike[str]] = (),
        verbose: bool = False,
        on_event: Callable[[Event], None] = lambda _: None,
        **service: Unpack[ServiceTerms],
    ) -> None:
        if realizers < 1:
            raise BadOption(f"realizers: {realizers} is too few; give 1 or more")
        if max_jobs is not None and max_jobs < 1:
            raise BadOption(f"max_jobs: {max_jobs} is too few; give 1 or more")
        self._queue = queue
        self._settings = settings(queue.path)
        directory, classes = _jobs_of(jobs, self._settings)
        self._options = WorkerOptions(
            directory, tuple(map(_importable, classes)), _directories(directory, classes, same_as),
            tuple(queues), _weights(queues), self._settings.resources, realizers, until_empty,
            max_jobs, grace, queue.path if queue.repository.is_shared else UNREACHABLE,
            self._settings.notify, _tracing_seed() if self._settings.tracing else "",
            service_of(service),
        )  # fmt: skip
        self._on_event = on_event
        self._verbose = verbose
        self._requests: StopRequests | None = None
        self._calls: list[Call] = []
        """What is to be called with which events."""
        self._asked_to_stop = False
        self.exit_code = 0
        """Of `realization:start`, were it this: not 0 if the worker has left by itself, and why."""
        self.restart: Restart | None = None
        """What starts this program afresh, where it can do that by itself."""
        self.restart_wanted = False
        """Whether the worker has stopped at a SIGHUP: it is to be run again, with new code."""

    def run(self, on_idle: Callable[[], object] | None = None) -> str:
        """Block until asked to stop; returns why it stopped, empty if its work was done.

        `on_idle` is called each time there is nothing due and nothing running. In the main
        thread, signals ask it to stop as they do `realization:start`, and are as they were
        afterwards; `stop()` does from anywhere. At a SIGHUP, what runs finishes, and it is up to
        the program to run a worker again: `restart_wanted` says so.
        """
        from prokerja.worker_events import QueueEmptied

        def tell(event: Event) -> None:
            self._on_event(event)
            if on_idle is not None and isinstance(event, QueueEmptied):
                on_idle()

        is_relief = self.restart is not None and self.restart.is_relief
        with StopRequests(FOR_OTHERS if is_relief else ()) as requests:
            self._requests = requests
            if self._asked_to_stop:
                self.stop()
            options = self._prepare(requests)
            store = self._repository()
            pump = Pump(
                sys.stderr.buffer,
                store.outputs,
                self._settings.keep_output,
                verbose=self._verbose or store.outputs is None,
            )
            maintenance = Maintenance(store, self._settings)
            listeners = self._listeners()
            try:
                Supervisor(store, options, requests, pump, maintenance, tell).run()
            except StoreGone:
                self._queue.repository.abandon()
                raise
            finally:
                if listeners:
                    from prokerja.listening import stop_all

                    stop_all(listeners)
                self._requests = None
                self.exit_code = requests.exit_code
                if self.restart is not None:
                    # What comes from here on is for the next one, which hears it once it can.
                    signal_masks.hold(HANDLED)
                self.restart_wanted = requests.restart
                pump.stop(LAST_OUTPUT_SECONDS)
                if store is not self._queue.repository:
                    store.close()
            return requests.reason

    def _prepare(self, requests: StopRequests) -> WorkerOptions:
        """Begin where the worker before this one has stopped, or begin after a while."""
        options, restart = self._options._replace(restart=self.restart), self.restart
        if restart is None or restart.is_first:
            requests.sleep(options.service.jitter)
            return options
        requests.is_paused = restart.given.is_paused
        if restart.given.left is not None:
            options = options._replace(max_jobs=restart.given.left)
        return options

    def listen(
        self, kind: Any, callback: Callable[[Any], object], *, patience: float = 10.0
    ) -> None:
        """Have the next `run` call a function with each event of a kind, whoever causes it.

        See `Queue.listen`. What has happened when the worker stops is told before `run` returns.
        """
        from prokerja.listening import checked

        self._calls.append(checked(kind, callback, patience))

    def _listeners(self) -> list[Listener]:
        if not self._calls:
            return []
        from prokerja.listening import Listener, log

        source = self._queue.repository
        after = source.event_position(None)
        return [Listener(source, after, call, log) for call in self._calls]

    def stop(self) -> None:
        """Ask the worker to stop in good order; from any thread, and for good."""
        self._asked_to_stop = True
        if self._requests is not None:
            self._requests.request("was asked to stop")

    def _repository(self) -> Repository:
        inside = self._queue.repository
        if not inside.is_shared:
            return inside
        return repository.open(inside.path, local=True, events=self._settings.events)


def _jobs_of(
    jobs: str | os.PathLike[str] | Iterable[type] | None, settings: Settings
) -> tuple[str, tuple[type, ...]]:
    """The jobs directory, empty for none, and the classes if those are given instead of one."""
    if jobs is None or isinstance(jobs, (str, os.PathLike)):
        directory = settings.jobs if jobs is None else os.path.abspath(os.fspath(jobs))
        if not os.path.isdir(directory):
            if jobs is None and not settings.jobs_named:
                return "", ()
            raise CatalogError(
                f"there is no jobs directory {directory}; make it or pass --jobs DIR"
            )
        refuse_foreign(directory)
        return directory, ()
    return settings.jobs, tuple(jobs)


def _tracing_seed() -> str:
    """Raises ProkerjaError if spans cannot be made here, or nowhere to be sent to."""
    from secrets import token_hex

    from prokerja.tracing.provider import tracer

    tracer()
    return token_hex(16)


def _directories(
    jobs: str, classes: Sequence[type], same_as: Iterable[str | os.PathLike[str]]
) -> tuple[str, ...]:
    """The jobs directories whose jobs a worker has."""
    # Whoever declares by another way to the very same directory means these jobs, too.
    own = [home_of(file_of(cls), jobs) for cls in classes] if classes else [jobs]
    ways = [way for home in own if home for way in (home, os.path.realpath(home))]
    others = [os.path.abspath(os.path.expanduser(os.fspath(other))) for other in same_as]
    return tuple(dict.fromkeys(ways + others))


def _weights(queues: Iterable[str] | Mapping[str, int]) -> tuple[int, ...]:
    if not isinstance(queues, Mapping):
        return ()
    for queue, weight in queues.items():
        WEIGHT.check(weight, f"the weight of {queue}")
    return tuple(queues.values())


def _importable(cls: type) -> str:
    if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
        raise CatalogError(
            f"{cls.__qualname__} cannot be imported by a realizer; move it to a module of its own"
        )
    return f"{cls.__module__}:{cls.__qualname__}"
