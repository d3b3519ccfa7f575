"""Tasks that a job has left in an event loop that does not run, and that others would run on."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

CANCEL_SECONDS = 1.0
"""For tasks to end that are cancelled."""


def left_tasks() -> set[Any]:
    """Those of the loop that `asyncio.get_event_loop()` gives, if there is one already."""
    loop = _loop()
    if loop is None or loop.is_closed() or loop.is_running():
        return set()
    import asyncio

    return asyncio.all_tasks(loop)


def cancel(tasks: set[Any]) -> None:
    """Cancel them, and have them end; one that refuses is only told so."""
    import asyncio

    loop = next(iter(tasks)).get_loop()
    for task in tasks:
        task.cancel()
    with suppress(BaseException):  # a task may raise SystemExit
        loop.run_until_complete(asyncio.wait(tasks, timeout=CANCEL_SECONDS))


def _loop() -> Any:
    """The loop of this thread; to ask asyncio for it would make one."""
    events = sys.modules.get("asyncio.events")
    policy = getattr(events, "_event_loop_policy", None)
    return getattr(getattr(policy, "_local", None), "_loop", None)
