"""What listens to a service as systemd does: at a datagram socket."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from tests.harness.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


class Listener:
    """Keeps what it is told, by kind, in its order."""

    def __init__(self, address: str) -> None:
        """`address` is a path, or begins with @ for one that is in no directory."""
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.messages: list[list[str]] = []

    def environment(self, *, watchdog: float | None = None) -> dict[str, str]:
        """What systemd gives to a service; `watchdog` in seconds."""
        usec = {} if watchdog is None else {"WATCHDOG_USEC": str(round(watchdog * 1e6))}
        return {"NOTIFY_SOCKET": self.address, **usec}

    def words(self) -> list[str]:
        """All that was said until now."""
        while True:
            try:
                self.messages.append(self._socket.recv(65536).decode().split("\n"))
            except BlockingIOError:
                return [word for message in self.messages for word in message]

    def status(self) -> str:
        """The last one."""
        said = [word for word in self.words() if word.startswith("STATUS=")]
        return said[-1].removeprefix("STATUS=") if said else ""

    def wait(self, word: str, limit: float = PATIENCE) -> None:
        """Until this was said."""
        wait_until(lambda: word in self.words(), limit)

    def wait_for_status(self, fits: Callable[[str], bool]) -> str:
        """The first that fits."""
        wait_until(lambda: fits(self.status()))
        return self.status()

    def close(self) -> None:
        """Hear nothing any more."""
        self._socket.close()
        if not self.address.startswith("@"):
            os.unlink(self.address)
