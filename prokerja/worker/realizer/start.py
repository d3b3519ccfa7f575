"""What a realizer's process does before its first job."""

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


def start(given: str) -> None:
    """Load the jobs, say so, and work; `given` is a Launch as JSON."""
    from prokerja.catalog.loading import load, load_classes
    from prokerja.catalog.package import install_in_pools
    from prokerja.worker.output.capture import OutputCapture
    from prokerja.worker.realizer import parent_death as lifeline
    from prokerja.worker.realizer.outcome import legible
    from prokerja.worker.realizer.run import Realizer
    from prokerja.worker.wire.channel import Channel
    from prokerja.worker.wire.messages import Launch, Report, Work

    setup = msgspec.json.decode(given, type=Launch)
    setup.lock = out_of_reach(setup.lock)
    lifeline.hold(setup.lifeline)
    keep_from_children([*setup.own, setup.lock])
    sys.path.extend(entry for entry in setup.path if entry not in sys.path)
    announcer = OutputCapture()
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
