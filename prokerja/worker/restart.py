"""How a worker starts afresh as the same process, and who works until then.

Whoever keeps it running knows it by its process id, so that stays: once what runs has finished, the
program executes itself. If that takes a while, another worker takes jobs meanwhile: the relief. It
is a child of the first, which tells it through a pipe when it may leave.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from msgspec import MsgspecError, Struct, json

from prokerja import signal_masks
from prokerja.errors import BadOption
from prokerja.worker.duties.signals import HANDLED
from prokerja.worker.options import OF_SYSTEMD

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "PROKERJA_RESTART"
"""In which a worker finds what it is told; nobody else is to set it."""
FINISH, STOP, KILL, PAUSE, RESUME = b"f", b"s", b"k", b"p", b"r"
"""What a relief is told to do."""


class Relief(NamedTuple):
    """A worker that was started to take jobs for a while."""

    pid: int
    pipe: int
    """The end of it to write to."""

    def tell(self, orders: bytes) -> None:
        """Have it do something; nothing if it has ended."""
        with suppress(OSError):
            os.write(self.pipe, orders)

    def ended(self, *, wait: bool = False) -> int | None:
        """Its exit code, below zero for a signal, or None while it lives; to be called until then.

        With `wait`, not before it has ended.
        """
        try:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
        except ChildProcessError:  # somebody else has waited for it
            return 0
        return os.waitstatus_to_exitcode(status) if pid else None


class Handover(Struct):
    """What a worker is told by the one before it, or the one that it relieves."""

    orders: int = -1
    """The descriptor in which a relief reads what to do; -1 for any other."""
    reliefs: list[Relief] = []
    left: int | None = None
    """How many jobs may still be done; None for any number."""
    ends_at: float | None = None
    """When it is to leave, in monotonic seconds; None for never."""
    is_paused: bool = False


class Restart:
    """Starts the program of this process again: beside it, or in its place."""

    def __init__(self, command: list[str]) -> None:
        """`command` is its command line."""
        self._command = command
        self._processes: list[subprocess.Popen[bytes]] = []
        given = os.environ.pop(VARIABLE, "")
        self.given = _read(given) if given else Handover()
        """What this process was told; nothing if it is neither a relief nor started afresh."""
        self.is_first = not given
        self.next = Handover()
        """What the next one is to be told."""
        self.reliefs = self.given.reliefs
        """All that have not ended."""
        if given:
            for relief in self.reliefs:
                os.set_inheritable(relief.pipe, False)
            signal_masks.inherit(HANDLED)

    @property
    def is_relief(self) -> bool:
        """Whether this process was started to take jobs for a while."""
        return self.given.orders >= 0

    def relieve(self, *, is_paused: bool) -> Relief:
        """Start another worker that takes jobs; raises OSError if there is no room for it."""
        theirs, ours = os.pipe()
        told = Handover(orders=theirs, is_paused=is_paused)
        try:
            with signal_masks.blocked(HANDLED):
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs,),
                    start_new_session=True,
                    env=_environment(told, os.environ, leave_out=OF_SYSTEMD),
                )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._processes.append(process)  # which waits for it otherwise, before we do
        relief = Relief(process.pid, ours)
        self.reliefs.append(relief)
        return relief

    def forget(self, relief: Relief) -> None:
        """It has ended."""
        self.reliefs.remove(relief)
        os.close(relief.pipe)

    def execute(self) -> NoReturn:
        """Start afresh; raises OSError if the program is gone."""
        if tracing := sys.modules.get("prokerja.tracing.provider"):
            tracing.close()
        self.next.reliefs = self.reliefs
        for relief in self.reliefs:
            os.set_inheritable(relief.pipe, True)
        os.execve(self._command[0], self._command, _environment(self.next, os.environ))  # noqa: S606

    def close(self) -> None:
        """Stop all reliefs, and wait for them: who has started this process takes it for them."""
        for relief in [*self.reliefs]:
            relief.tell(STOP)
            relief.ended(wait=True)
            self.forget(relief)


@cache
def of_this_process() -> Restart:
    """That of the program that runs here; raises BadOption for what nobody should have told it."""
    return Restart([sys.executable, *sys.orig_argv[1:]])


def _read(given: str) -> Handover:
    try:
        return json.decode(given, type=Handover)
    except MsgspecError:
        raise BadOption(f"{VARIABLE} is for prokerja's own use; unset it") from None


def _environment(
    told: Handover, usual: Mapping[str, str], leave_out: tuple[str, ...] = ()
) -> dict[str, str]:
    kept = {name: value for name, value in usual.items() if name not in leave_out}
    return {**kept, VARIABLE: json.encode(told).decode()}
