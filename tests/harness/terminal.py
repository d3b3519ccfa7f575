"""A command at a terminal."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

from tests.harness.waiting import PATIENCE

if TYPE_CHECKING:
    from tests.harness.home import Home

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command at a terminal of 100 columns."""

    def __init__(self, home: Home, *words: object, stderr: int | None = None) -> None:
        self._screen, terminal = os.openpty()
        self._resize(100, 40)
        self.settings_before = self.settings()
        self.process = subprocess.Popen(
            home.command(*words),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal if stderr is None else stderr,
            cwd=home.path,
            env={**home.environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(terminal)
        self.shown = b""

    def settings(self) -> object:
        """How the terminal takes keys, and what it does with them."""
        return termios.tcgetattr(self._screen)

    def _resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._screen, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """Give it another size, and tell the command."""
        self._resize(columns, lines)
        self.process.send_signal(signal.SIGWINCH)

    def clear(self) -> None:
        """Forget what it has shown so far."""
        self.shown = b""

    @property
    def text(self) -> str:
        """What the screen has shown so far, without colours and movements."""
        return ESCAPES.sub("", self.shown.decode(errors="replace")).replace("\r\n", "\n")

    def expect(self, words: str) -> None:
        """Wait until these words are on the screen."""
        give_up = time.monotonic() + PATIENCE
        while words not in self.text:
            if time.monotonic() > give_up or not self._read():
                raise AssertionError(f"no {words!r} in {self.text!r}")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._screen, keys.encode())

    def end(self) -> tuple[int, str]:
        """The exit code and all that was shown, once the command has left."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up and self._read():
            pass
        os.close(self._screen)
        return self.process.wait(PATIENCE), self.text

    def _read(self) -> bool:
        if not select.select([self._screen], [], [], PATIENCE)[0]:
            return False
        try:
            piece = os.read(self._screen, 65536)
        except OSError:  # how Linux says that nobody is there any more
            return False
        self.shown += piece
        return bool(piece)


def terminal(home: Home, *words: object) -> tuple[int, str]:
    """Run a command at a terminal; its exit code and what it showed."""
    return Terminal(home, *words).end()
