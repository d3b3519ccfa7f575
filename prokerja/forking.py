"""A child that outlives its program: detached, with a log for what it prints."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from prokerja.errors import ProkerjaError
from prokerja.repository import is_path
from prokerja.settings import settings
from prokerja.times import iso

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = "-exit.log"
"""What follows the default queue's name in that of the log."""
MAX_LOG_BYTES = 2**20
"""A longer one is begun anew."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end the child, whatever the program has made of them."""


def can_fork_at_exit() -> bool:
    """Whether this Python can; for a while, none could."""
    return not (3, 12, 0) <= sys.version_info[:3] < (3, 12, 3)


def fork_detached(work: Callable[[], None]) -> None:
    """Do some work in a child that nobody waits for; in this process, if there can be no child."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()  # or the child would write it once more
    try:
        with warnings.catch_warnings():
            # Python warns of other threads: what is left of them are daemons.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
    except (OSError, RuntimeError) as error:
        complain(f"cannot fork ({error}); the program ends later")
        work()
        return
    if child == 0:
        _live(work)


def complain(what: str, error: BaseException | None = None) -> None:
    """One line on stderr, and the traceback of an error."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"prokerja: {' '.join(what.split())} ({iso(time.time())})\n")
        if error is not None:
            traceback.print_exception(error)


def _live(work: Callable[[], None]) -> None:
    code = 1
    try:
        os.setsid()
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        _redirect()
        work()
        code = 0
    except BaseException as error:  # noqa: BLE001  there is nobody above
        complain("what was to be done at exit failed", error)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(code)


def _redirect() -> None:
    """Let go of the program's streams, or who reads them would wait for the child."""
    nothing = os.open(os.devnull, os.O_RDWR)
    log = _open_log()
    for descriptor, goes_to in enumerate((nothing, log, log)):
        os.dup2(nothing if goes_to is None else goes_to, descriptor)


def _open_log() -> int | None:
    """The log beside the default queue; None if there can be none."""
    try:
        path = settings().db
        if not is_path(path):
            return None
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(f"{path}{LOG}", flags, 0o600)
        if os.fstat(log).st_size > MAX_LOG_BYTES:
            os.ftruncate(log, 0)
    except (OSError, ProkerjaError):
        return None
    return log
