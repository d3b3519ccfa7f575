"""The process that calls the functions of `listeners.py`, which follows the store by itself."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from prokerja import repository
from prokerja.catalog.files import LISTENERS
from prokerja.catalog.package import import_file, install
from prokerja.events import Position
from prokerja.listening import Listener, registered, stop_all
from prokerja.settings import settings
from prokerja.text import error_line
from prokerja.worker.realizer.parent_death import die_with_parent

if TYPE_CHECKING:
    from prokerja.events import Event
    from prokerja.repository.verbs import Repository

CANNOT_BE_USED = 3
"""The exit code if the file cannot be imported."""
PLACE_BYTES = 64
"""What a listener's place takes in the file of them."""


class Listening(NamedTuple):
    """What the process is to do."""

    db: str
    jobs: str
    """The jobs directory."""
    after: str
    """The place that it begins at."""
    places: int
    """The descriptor of a file in which the listeners keep theirs."""
    alive: int
    """The descriptor of a pipe whose other end is closed when the worker dies."""
    path: list[str]
    """Where else to import from."""


def main(given: str) -> None:
    """Call them until stdin ends; `given` is a Listening as JSON."""
    task = Listening(*json.loads(given))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the worker hears them, and ends this process
    die_with_parent(task.alive)
    sys.path.extend(entry for entry in task.path if entry not in sys.path)
    _import(task.jobs)
    if not settings(task.db).events:
        say("the setting events is off here, so listeners hear of little but declarations")
    if not registered:
        say(f"{LISTENERS} registers nothing; have `@on(Completed)` stand above a function")
    with closing(repository.open(task.db, create=False)) as store:
        listeners = [_listener(store, task, n) for n in range(len(registered))]
        while os.read(sys.stdin.fileno(), 64):
            pass
        stop_all(listeners)
    sys.stderr.flush()
    os._exit(0)  # whatever is still busy


def say(line: str) -> None:
    """A line of the worker's log."""
    sys.stderr.write(f"prokerja: {line}\n")
    sys.stderr.flush()


def _import(jobs: str) -> None:
    path = os.path.join(jobs, LISTENERS)
    install(jobs)
    try:
        import_file(path, jobs)
    except BaseException as error:  # noqa: BLE001  it is theirs
        say(f"{path} cannot be used: {error_line(error)}")
        sys.stderr.flush()
        os._exit(CANNOT_BE_USED)


def _listener(store: Repository, task: Listening, number: int) -> Listener:
    """That of the function of that number; it goes on where an earlier process was."""
    kept = os.pread(task.places, PLACE_BYTES, number * PLACE_BYTES).decode()
    after = Position.read(kept.strip()) or Position.read(task.after) or Position()
    return Listener(store, after, registered[number], say, partial(_keep, task.places, number))


def _keep(places: int, number: int, event: Event) -> None:
    """What is told once is not told again, even if the process dies of it."""
    os.pwrite(places, event.cursor.ljust(PLACE_BYTES).encode(), number * PLACE_BYTES)
