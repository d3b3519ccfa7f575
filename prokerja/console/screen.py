"""The whole screen of a terminal, for as long as a command needs it."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType, Segment, Segments

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

QUIT = b"qQ"
SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""Those that end a program, which must leave the terminal as it was."""


class Screen:
    """Shows one thing at a time, and writes only the lines that have changed.

    Leaves the terminal as it was, whatever ends it; raises SystemExit on SIGTERM and SIGHUP.
    """

    def __init__(self) -> None:
        self.console = Console()
        self._shown: list[list[Segment]] = []
        self._size = self.size
        self._undo = ExitStack()
        self._awake, self._wake = os.pipe()

    def __enter__(self) -> Self:
        with self._undo:
            for end in (self._awake, self._wake):
                os.set_blocking(end, False)
                self._undo.callback(os.close, end)
            self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(self._wake))
            for number in (*SIGNALS, signal.SIGWINCH, signal.SIGTSTP):
                if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                    self._undo.callback(signal.signal, number, before)
                    signal.signal(number, self._on_signal)
            self._take()
            self._undo.callback(self._give_back)
            self._undo = self._undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as the terminal has them now, whatever COLUMNS and LINES say."""
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
        return columns or 80, lines or 24  # some pseudo-terminals have no size

    @property
    def can_show_blocks(self) -> bool:
        """Whether its encoding has more than letters and signs."""
        return self.console.encoding.startswith("utf")

    def show(self, what: RenderableType) -> None:
        """Bring the screen to show this; what has no room is left out."""
        width, height = self._size = self.size
        options = self.console.options.update(width=width, height=height, no_wrap=True)
        lines = self.console.render_lines(what, options, pad=False)[:height]
        lines += [[] for _ in range(height - len(lines))]
        with self.console:  # one write for all
            for y, line in enumerate(lines):
                if line != self._at(y):
                    start = Control.move_to(0, y), Control((ControlType.ERASE_IN_LINE, 2))
                    self.console.print(*start, Segments(line), sep="", end="", soft_wrap=True)
        self._shown = lines

    def wait(self, seconds: float) -> bool:
        """Sleep for so long, or until a key or a signal comes; whether nobody wants to quit."""
        keys = [0] if sys.stdin.isatty() else []
        ready, _, _ = select.select([*keys, self._awake], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._awake, 4096)
        if self.size != self._size:
            self._shown = []
            self.console.clear()
        if 0 not in ready:
            return True
        typed = os.read(0, 64)
        return bool(typed) and not set(typed) & set(QUIT)

    def _at(self, y: int) -> list[Segment] | None:
        return self._shown[y] if y < len(self._shown) else None

    def _take(self) -> None:
        self._before: Any = termios.tcgetattr(0) if sys.stdin.isatty() else None
        if self._before is not None:
            tty.setcbreak(0)
        self.console.set_alt_screen(True)
        self.console.show_cursor(False)

    def _give_back(self) -> None:
        self.console.show_cursor(True)
        self.console.set_alt_screen(False)
        if self._before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def _on_signal(self, number: int, _: object) -> None:
        if number in SIGNALS:
            raise SystemExit(128 + number)
        if number == signal.SIGTSTP:
            self._give_back()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._take()
            self._shown = []
