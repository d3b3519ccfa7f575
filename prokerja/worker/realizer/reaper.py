"""The process between a supervisor and its realizer, which ends whatever jobs leave running.

On Linux it is a subreaper: a process that a job has started becomes its child as soon as its own
parent dies, whatever session or process group it has moved to. So when the realizer is gone,
however it went, what is left of its jobs are the reaper's children, and it ends them. It holds the
worker's lock until then: no job runs again while a part of its last attempt is still there.

Elsewhere there is no reaper, and what has left the realizer's family by then is out of reach.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
REAP_SECONDS = 2.0
"""How long to wait for killed processes to end: one that hangs in the kernel may never do so."""

RETRY_SECONDS = 0.01
USED_AT, CELL_BYTES = 7, 8
"""Where in the shared page it is written what the realizer has used; see `shared_page.PEAK`."""
RSS_UNIT = 1024
"""Bytes, of what the kernel tells."""


def divide(inherited: list[int], lock: int) -> None:
    """Fork: return in the child, which is to be the realizer; the parent reaps, and never returns.

    `inherited` are the descriptors that are the realizer's alone, but for its page, the second;
    `lock`, the worker's lock (-1 for none), stays open in both. The child leads a session of its
    own, without a terminal.
    """
    if sys.platform != "linux":
        return
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reaper = os.getpid()
    realizer = os.fork()
    if realizer:
        _reap(realizer, inherited, lock)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != reaper:  # it was killed before it could be watched
        os._exit(1)
    os.setsid()


def _reap(realizer: int, inherited: list[int], lock: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    page = inherited[1]
    for descriptor in {0, 1, 2, *inherited} - {lock, page}:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    ended, status = os.waitpid(-1, 0)
    while ended != realizer:
        ended, status = os.waitpid(-1, 0)
    _kill_children()
    _tell_used(page)
    _end_like(os.waitstatus_to_exitcode(status))


def _kill_children() -> None:
    give_up = time.monotonic() + REAP_SECONDS
    with contextlib.suppress(ChildProcessError):  # none are left
        while time.monotonic() < give_up:
            ended, _ = os.waitpid(-1, os.WNOHANG)
            if not ended:
                _signal_children()
                signal.sigtimedwait([signal.SIGCHLD], RETRY_SECONDS)


def _signal_children() -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children():
            child.kill()


def _tell_used(page: int) -> None:
    """Leave to the supervisor what the realizer, and what it has left, have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = used.ru_maxrss * RSS_UNIT, int((used.ru_utime + used.ru_stime) * 1e9)
    cells = b"".join(one.to_bytes(CELL_BYTES, sys.byteorder) for one in figures)
    with contextlib.suppress(OSError):
        os.pwrite(page, cells, USED_AT * CELL_BYTES)


def _end_like(code: int) -> None:
    """Pass the realizer's end on to the supervisor."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):  # KILL cannot be set, nor need it be
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)
