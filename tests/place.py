"""A directory with a queue and jobs of its own, and how to wait for what happens there."""

from __future__ import annotations

import os
import textwrap
import time
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from prokerja import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds for what happens soon, but on a busy machine."""
SOON = 2.0
"""Seconds for what is promised within one."""


def wait_until(condition: Callable[[], T], limit: float = PATIENCE) -> T:
    """What `condition` gives as soon as that is true; fails when it is not within the limit."""
    give_up = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {limit:g} s; it is still {value!r}")
        time.sleep(0.005)
    return value


def request(name: str, **payload: Any) -> Any:
    """A request for a job that need not be known here."""
    job = _named(name)()
    job.given = payload
    return job


@cache
def _named(name: str) -> type:
    methods = {"payload": lambda self: self.given, "handle": lambda self: None}
    return type("Request", (), {"name": name, **methods})


class Place:
    """A directory with a queue, a jobs directory, and an environment that knows of no other."""

    def __init__(self, path: Path, jobs: str = "jobs") -> None:
        self.path = path
        self.db = path / "queue.sqlite3"
        self.jobs = path / jobs
        self.jobs.mkdir()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PROKERJA_", "XDG_"))},
            "HOME": str(path / "home"),
        }

    @cached_property
    def queue(self) -> Queue:
        """The queue, in this process."""
        return Queue(self.db)

    def write(self, name: str, source: str) -> Path:
        """A job file."""
        file = self.jobs / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(source))
        return file

    def in_environment(self, variables: Mapping[str, str]) -> None:
        """Have all that is started from here on find these variables."""
        self.environment.update(variables)

    def declare_job(
        self, name: str, /, *, options: dict[str, Any] | None = None, **payload: Any
    ) -> int:
        """Declare a job of any name, without the price of a process; its id."""
        return self.queue.declare(request(name, **payload), **options or {})

    def close(self) -> None:
        """Let go of the queue."""
        if "queue" in self.__dict__:
            self.queue.close()
