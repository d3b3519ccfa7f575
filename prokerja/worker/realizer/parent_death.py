"""The end of a realizer when its supervisor dies, however it dies, and of all that it started."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading


def die_with_parent(descriptor: int) -> None:
    """Die, with the whole process group, as soon as the other end of this pipe is closed.

    On Linux the kernel itself sends the signal, so that code which never lets go of the
    interpreter cannot outlive its supervisor. Elsewhere a thread waits for the end of the pipe.
    """
    if sys.platform == "linux":
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
        if _hung_up(descriptor):  # it died before we asked the kernel
            os.killpg(0, signal.SIGKILL)
    else:
        threading.Thread(target=_wait, args=(descriptor,), daemon=True).start()


def _hung_up(descriptor: int) -> bool:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _wait(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.killpg(0, signal.SIGKILL)
