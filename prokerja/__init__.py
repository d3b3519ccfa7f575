"""A declaration-first job queue for one machine, over one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from prokerja.async_queue import AsyncQueue
    from prokerja.exiting import at_exit, declare_at_exit
    from prokerja.job import Job
    from prokerja.listening import on
    from prokerja.model.declaration import Status
    from prokerja.model.job_record import JobRecord
    from prokerja.queue import Queue, declare, declare_many
    from prokerja.steering import Await, GiveUp, Later
    from prokerja.worker.worker import Worker

__all__ = [
    "AsyncQueue",
    "Await",
    "GiveUp",
    "Job",
    "JobRecord",
    "Later",
    "Queue",
    "Status",
    "Worker",
    "at_exit",
    "declare",
    "declare_at_exit",
    "declare_many",
    "on",
]

_HOMES = {
    "AsyncQueue": "prokerja.async_queue",
    "Await": "prokerja.steering",
    "GiveUp": "prokerja.steering",
    "Job": "prokerja.job",
    "JobRecord": "prokerja.model.job_record",
    "Later": "prokerja.steering",
    "Queue": "prokerja.queue",
    "Status": "prokerja.model.declaration",
    "Worker": "prokerja.worker.worker",
    "at_exit": "prokerja.exiting",
    "declare": "prokerja.queue",
    "declare_at_exit": "prokerja.exiting",
    "declare_many": "prokerja.queue",
    "on": "prokerja.listening",
}


def __getattr__(name: str) -> Any:
    """Import each public name when it is first used: a command pays for what it needs."""
    if name == "__version__":
        from importlib.metadata import version

        return version("prokerja")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
