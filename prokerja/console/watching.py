"""A queue as it changes: on a screen of its own, or as a line a second."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from prokerja.times import iso
from prokerja.watching import Watcher

if TYPE_CHECKING:
    from prokerja.queue import Queue

PERIOD = 1.0
"""Seconds between two looks."""


def watch_screen(source: Queue, queue: str | None) -> None:
    """Show it until somebody presses q or Ctrl-C; as lines where no cursor can be moved."""
    from prokerja.console.dashboard import Dashboard
    from prokerja.console.screen import Screen

    watcher = Watcher(source, queue)
    screen = Screen()
    if screen.console.is_dumb_terminal:
        watch_lines(source, queue)
        return
    with screen:
        dashboard = Dashboard(source.path, ascii_only=not screen.can_show_blocks)
        while True:
            width, height = screen.size
            snapshot = watcher.look(time.monotonic())
            screen.show(dashboard.draw(snapshot, width, height))
            if not screen.wait(PERIOD):
                return


def watch_lines(source: Queue, queue: str | None) -> None:
    """Print a line a second until Ctrl-C."""
    watcher = Watcher(source, queue)
    began = time.monotonic()
    for number in itertools.count(1):
        found = watcher.look(time.monotonic())
        summary = found.summary
        counts = " ".join(f"{status}={n}" for status, n in summary.total.counts().items())
        rates = f"ended_1s={found.last_second:.1f} ended_1min={found.last_minute:.1f}"
        paused = f" paused={len(summary.paused)}" if summary.paused else ""
        moment = iso(summary.now)
        print(f"{moment} {counts} workers={len(summary.workers)} {rates}{paused}", flush=True)
        time.sleep(max(began + number * PERIOD - time.monotonic(), 0.0))
