"""A realizer and the processes that its jobs have started."""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def stop_family(pid: int) -> None:
    """Have a realizer and all it has started stand still; `pid` as for `signal_family`."""
    import psutil

    stopped: set[psutil.Process] = set()
    with contextlib.suppress(psutil.Error, OSError):
        # What is started while we look is found the next time; what stands still starts nothing.
        while new := set(psutil.Process(pid).children(recursive=True)) - stopped:
            for process in new:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGSTOP)
            stopped |= new
    if sys.platform != "linux":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGSTOP)


def signal_family(pid: int, number: signal.Signals) -> None:
    """Send a signal to a realizer and all it has started, as far as that can be found.

    `pid` is that of the process the supervisor has started, not reaped yet: on Linux the reaper,
    which hears nothing of it; elsewhere the realizer, with what is left in its process group.
    """
    import psutil

    try:
        below = psutil.Process(pid).children(recursive=True)
    except (psutil.Error, OSError):  # where there is no /proc, only the realizer can be killed,
        below = []  # which dies with its reaper
        if number == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    for process in below:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
    if sys.platform != "linux":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
