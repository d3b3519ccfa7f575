"""What a realizer's process does before its first job."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from msgspec import json

from prokerja.catalog.loading import load, load_classes
from prokerja.catalog.package import install_in_pools
from prokerja.catalog.young_sources import keep_no_bytecode
from prokerja.file_stamps import stamp_since
from prokerja.hooks import hooks_of
from prokerja.model.declaration import SHELL
from prokerja.spec import Broken
from prokerja.text import utf8
from prokerja.worker import memory
from prokerja.worker.output.capture import OutputCapture
from prokerja.worker.realizer.coroutines import is_async
from prokerja.worker.realizer.deafness import Deafness
from prokerja.worker.realizer.loaded_files import LoadedFiles, places_of
from prokerja.worker.realizer.niceness import be_nice
from prokerja.worker.realizer.outcome import follow_ups
from prokerja.worker.realizer.parent_death import die_with_parent
from prokerja.worker.realizer.run import Realizer
from prokerja.worker.wire.channel import Channel
from prokerja.worker.wire.high_descriptors import HIGH_DESCRIPTOR, duplicate_high
from prokerja.worker.wire.journal import Journal
from prokerja.worker.wire.messages import Batch, Launch, Loaded, Report
from prokerja.worker.wire.shared_page import SharedPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.catalog.loading import Loaded as Catalog
    from prokerja.worker.realizer.titles import Titles


def start(given: str) -> None:
    """Load the jobs, say so, and work; `given` is a Launch as JSON."""
    began = time.time()
    Deafness()
    launch = json.decode(given, type=Launch)
    if launch.lock >= 0:  # the journal is written there
        low, launch.lock = launch.lock, duplicate_high(launch.lock)
        os.close(low)
    die_with_parent(launch.alive)
    if launch.nice:
        be_nice(launch.nice)
    close_in_children([*launch.own, launch.lock])
    sys.path.extend(entry for entry in launch.path if entry not in sys.path)
    output = _capture(launch)
    channel = Channel(socket.socket(fileno=launch.channel), Batch)

    def tell(path: str) -> None:
        channel.post(Report(loading=utf8(path)))

    install_in_pools()
    keep_no_bytecode()
    classes = map(import_class, launch.classes)
    by_name = launch.classes or not launch.jobs
    catalog = load_classes(classes) if by_name else load(launch.jobs, tell)
    output.flush()
    journal = Journal(launch.lock if launch.lock >= HIGH_DESCRIPTOR else -1, launch.ring)
    jobs: dict[str, Callable[..., Any]] = {**catalog.classes, SHELL: partial(command, output)}
    declared = partial(follow_ups, launch.jobs, time.time)
    page = SharedPage(launch.page)
    asynchronous = [name for name, cls in catalog.classes.items() if is_async(cls)]
    is_wide = launch.concurrency > 1 and bool(asynchronous)
    kind = _kind(launch, is_wide=is_wide)
    realizer = kind(page, channel, journal, jobs, catalog.specs, output, declared)
    realizer.titles = _titles(page, launch.concurrency if is_wide else 0) if launch.titles else None
    loaded = _loaded(catalog, memory.held(os.getpid()) if launch.memory_limit else 0)
    loaded.asynchronous = asynchronous if is_wide else []
    if launch.watch:
        places = places_of(
            "" if by_name else os.path.abspath(launch.jobs), catalog.classes.values()
        )
        realizer.files = LoadedFiles(places)
        loaded.files = {path: stamp_since(path, began) for path in catalog.stamps}
        loaded.files |= realizer.files.new(began)
        loaded.files |= realizer.files.of_faults(catalog.faults, began)
    catalog.faults.clear()  # they hold on to what was loaded
    channel.post(Report(loaded=loaded))
    realizer.run(launch.requests)
    output.flush()


def command(output: OutputCapture, **payload: Any) -> Any:
    """The running job, as a command; what runs commands is imported by the first of them."""
    from prokerja.worker.realizer.command import Command

    return Command(*output.speaker, **payload)


def _titles(page: SharedPage, slots: int) -> Titles | None:
    from prokerja.titles import title_setter
    from prokerja.worker.realizer.titles import Titles

    set_title = title_setter()
    return Titles(set_title, page, slots) if set_title else None


def _capture(launch: Launch) -> OutputCapture:
    """What is to take in what jobs print."""
    if launch.concurrency < 2:
        return OutputCapture(launch.mark)
    from prokerja.worker.output.voices import VoiceCapture

    return VoiceCapture(launch.mark)


def _kind(launch: Launch, *, is_wide: bool) -> Callable[..., Realizer]:
    """The realizer that does what was asked for, and looks at nothing else.

    It runs several jobs at once if it `is_wide`.
    """
    kind: type[Realizer] = _wide_kind(launch) if is_wide else Realizer
    if launch.tracing and not is_wide:
        from prokerja.worker.realizer.traced import TracedRealizer

        kind = TracedRealizer
    if launch.memory_limit:
        from prokerja.worker.realizer.memory_limit import limited

        kind = limited(kind, launch.memory_limit)
    given: list[object] = [launch.concurrency] if is_wide else []
    make: Callable[..., Realizer] = kind
    return partial(make, *given, *([launch.tracing] if launch.tracing else []))


def _wide_kind(launch: Launch) -> type[Realizer]:
    if launch.tracing:
        from prokerja.worker.realizer.traced_concurrent import TracedConcurrentRealizer

        return TracedConcurrentRealizer
    from prokerja.worker.realizer.concurrent import ConcurrentRealizer

    return ConcurrentRealizer


def _loaded(catalog: Catalog, size: int) -> Loaded:
    broken = [Broken(one.file, utf8(one.error)) for one in catalog.broken]
    specs = [*catalog.specs.values(), *catalog.shadowed]
    found = {name: sorted(hooks_of(cls)) for name, cls in catalog.classes.items()}
    hooks = {name: names for name, names in found.items() if names}
    return Loaded(os.getpid(), specs, broken, catalog.stamps, hooks, size)


def close_in_children(descriptors: list[int]) -> None:
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


def import_class(name: str) -> type:
    """The class called `module:qualified.name`."""
    module, _, qualified = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return cast("type", found)
