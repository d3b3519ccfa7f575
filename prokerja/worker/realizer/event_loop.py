"""Ending a job whose event loop runs, without losing a task of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

CALLED_BY_LOOP = {"_weakrefset", "contextvars", "heapq", "selectors", "socket", "weakref"}
"""Modules that asyncio calls at its own work."""
RUNS_LOOPS = "prokerja.worker."
"""Begins the names of the modules that run loops, of which some are not written in Python."""


def cancel_tasks(frame: FrameType | None) -> bool:
    """Cancel all tasks if a signal came while asyncio itself was at work in `frame`; else False.

    An exception raised there, between two steps of a task, can lose the next step for good:
    `asyncio.run` would then wait for that task for ever. asyncio's own handler of SIGINT cancels
    for this reason too. In the job's own code an exception is safe, and ends what blocks.
    """
    if not is_of_loop(frame) or "asyncio" not in sys.modules:
        return False
    asyncio = sys.modules["asyncio"]
    try:
        loop = asyncio.get_running_loop()
    except (AttributeError, RuntimeError):  # it is being imported, started or closed
        return False
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon_threadsafe(lambda: None)  # wakes it
    return True


def is_of_loop(frame: FrameType | None) -> bool:
    """Whether an event loop is at work in `frame`, or what runs it, and no code of a job."""
    while frame is not None and frame.f_globals.get("__name__") in CALLED_BY_LOOP:
        frame = frame.f_back
    name = "" if frame is None else str(frame.f_globals.get("__name__"))
    return name.startswith(("asyncio.", RUNS_LOOPS))
