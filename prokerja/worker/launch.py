"""How a realizer's process begins: its command line, and what it does before its first job."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import socket
import sys
from typing import Any, cast

import msgspec

FAR = 200
"""A descriptor that a process with few files does not reach."""

BOOT = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
def load(name, file):
    spec = spec_from_file_location(name, sys.argv[1] + file)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
own = list(map(int, sys.argv[3].split(",")))
load("prokerja_reaper", "/worker/reaper.py").divide(own, int(sys.argv[4]))
load("prokerja", "/__init__.py")
from prokerja.worker.launch import start
start(sys.argv[2])
"""
"""With this very package, wherever it was imported from. The reaper stays as large as it is when it
forks, so it is loaded by itself before that."""


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

    @property
    def own(self) -> tuple[int, ...]:
        """The descriptors that are nobody else's."""
        return self.channel, self.board, self.lifeline, self.nudge


def command(setup: Setup) -> list[str]:
    """The command line of a realizer and its reaper."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    told = msgspec.json.encode(setup).decode()
    own = ",".join(map(str, setup.own))
    # Whatever the locale, a name in a payload means the bytes that were declared.
    return [sys.executable, "-X", "utf8", "-P", "-c", BOOT, package, told, own, str(setup.lock)]


def start(given: str) -> None:
    """Load the jobs, say so, and work; `given` is a Setup as JSON."""
    from prokerja.catalog.loading import load, load_classes
    from prokerja.catalog.package import install_in_pools
    from prokerja.worker import lifeline
    from prokerja.worker.outcome import legible
    from prokerja.worker.output import Announcer
    from prokerja.worker.realizer import Realizer
    from prokerja.worker.wire import Channel, Report, Work

    setup = msgspec.json.decode(given, type=Setup)
    setup.lock = out_of_reach(setup.lock)
    lifeline.hold(setup.lifeline)
    keep_from_children([*setup.own, setup.lock])
    sys.path.extend(entry for entry in setup.path if entry not in sys.path)
    announcer = Announcer()
    channel = Channel(socket.socket(fileno=setup.channel), Work)

    def tell(path: str) -> None:
        channel.post(Report(loading=legible(path)))

    install_in_pools()
    classes = map(imported, setup.classes)
    loaded = load_classes(classes) if setup.classes else load(setup.jobs, tell)
    announcer.flush()
    notes = setup.lock if setup.lock >= FAR else -1
    realizer = Realizer(setup, channel, notes, loaded, announcer)
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


def keep_from_children(descriptors: list[int]) -> None:
    """Let neither a program that a job starts have these, nor a process that it forks.

    Only its own children close them: in what those fork in turn, the numbers may be other files'.
    """
    for descriptor in descriptors:
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)

    def close() -> None:
        while descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptors.pop())

    os.register_at_fork(after_in_child=close)


def imported(name: str) -> type:
    """The class called `module:qualified.name`."""
    module, _, qualified = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return cast("type", found)
