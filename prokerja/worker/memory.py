"""How much memory there is, and what the kernel does when there is none."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from functools import cache

from prokerja import sizes
from prokerja.worker import cgroups
from prokerja.worker.kernel_file import KernelFile

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def free() -> int:
    """Bytes that may still be used, of the machine or of this process's control group."""
    import psutil

    machine = int(psutil.virtual_memory().available)
    group = cgroups.own()
    left = None if group is None else group.free()
    return machine if left is None else min(machine, left)


def oom_kills() -> int:
    """How many processes the kernel has killed for memory, of our group or of the machine."""
    return _oom_file().read()


@cache
def _oom_file() -> KernelFile:
    group = cgroups.own()
    return KernelFile("/proc/vmstat" if group is None else group.oom_file, oom_kills_in)


def oom_kills_in(text: bytes) -> int:
    """What such a file says; raises IndexError if it says nothing of it."""
    return int((b"\n" + text).split(b"\noom_kill ", 1)[1].split(b"\n", 1)[0])


def held(pid: int) -> int:
    """Bytes that a process holds; 0 if it is gone."""
    if sys.platform == "linux":  # psutil would make a realizer larger that asks for itself
        with contextlib.suppress(OSError), open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
        return 0
    import psutil

    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def is_oom(code: int, kills_before: int) -> bool:
    """Whether a process that ended so, as `subprocess` gives it, was killed for memory.

    `kills_before` is what `oom_kills` gave before that. A shell passes on the end of its command.
    """
    return code in (-signal.SIGKILL, 128 + signal.SIGKILL) and oom_kills() > kills_before


def killed(peak_bytes: int) -> str:
    """What is to be said of a process that was; 0 for a peak that is not known."""
    peak = f", peak {sizes.human(peak_bytes)}" if peak_bytes else ""
    return f"killed by the kernel: out of memory{peak}"
