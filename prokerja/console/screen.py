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
ENDING = (signal.SIGTERM, signal.SIGHUP)
HEARD = (*ENDING, signal.SIGINT, signal.SIGTSTP, signal.SIGWINCH)


class Screen:
    """Shows one thing at a time, and writes only the lines that have changed.

    Leaves the terminal as it was, whatever ends it. Signals are acted on in `wait`, and nowhere
    else, so that none comes between two halves of a drawing.
    """

    def __init__(self) -> None:
        self.console = Console()
        self._shown: list[list[Segment]] = []
        self._size = (0, 0)
        self._undo = ExitStack()
        self._heard: set[int] = set()

    def __enter__(self) -> Self:
        with self._undo:
            self._awake, wake = os.pipe()
            for end in (self._awake, wake):
                os.set_blocking(end, False)
                self._undo.callback(os.close, end)
            self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(wake))
            for number in HEARD:
                if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                    self._undo.callback(signal.signal, number, before)
                    signal.signal(number, self._hear)
            self._undo.callback(self._give_back)
            self._take()
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
        if self.size != self._size:
            self._size, self._shown = self.size, []
            self.console.clear()
        width, height = self._size
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
        """Sleep for so long, or until a key or a signal comes; whether nobody wants to quit.

        Raises SystemExit if we were told to end.
        """
        keys = [0] if sys.stdin.isatty() else []
        ready, _, _ = select.select([*keys, self._awake], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._awake, 4096)
        heard, self._heard = self._heard, set()
        for number in heard.intersection(ENDING):
            raise SystemExit(128 + number)
        if signal.SIGTSTP in heard:
            self._stop()
        typed = os.read(0, 64) if 0 in ready else b" "
        is_over = not typed or set(typed) & set(QUIT) or signal.SIGINT in heard
        return not is_over

    def _at(self, y: int) -> list[Segment] | None:
        return self._shown[y] if y < len(self._shown) else None

    def _take(self) -> None:
        self._shown = []
        self._before: Any = termios.tcgetattr(0) if sys.stdin.isatty() else None
        if self._before is not None:
            tty.setcbreak(0)
        self.console.set_alt_screen(True)
        self.console.show_cursor(False)

    def _give_back(self) -> None:
        try:
            self.console.show_cursor(True)
            self.console.set_alt_screen(False)
        finally:
            if self._before is not None:
                termios.tcsetattr(0, termios.TCSADRAIN, self._before)

    def _stop(self) -> None:
        """As Ctrl-Z does; where no shell could let us go on, nothing happens."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._hear)
        self._take()

    def _hear(self, number: int, _: object) -> None:
        self._heard.add(number)
