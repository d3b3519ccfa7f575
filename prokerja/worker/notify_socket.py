"""Tells systemd how the worker is doing, as sd_notify(3) does."""

from __future__ import annotations

import os
import socket


class NotifySocket:
    """A datagram socket that somebody listens to."""

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, *assignments: str) -> bool:
        """Say this, each `NAME=value` of one line; False if it was not taken."""
        try:
            self._socket.sendto("\n".join(assignments).encode(errors="replace"), self._address)
        except OSError:  # nobody listens just now, or has no room
            return False
        return True

    def close(self) -> None:
        """Say nothing any more."""
        self._socket.close()


def watchdog_seconds() -> float | None:
    """How long systemd waits for a sign of life of this process; None if it expects none."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return None
    is_number = microseconds.isascii() and microseconds.isdecimal() and int(microseconds) > 0
    return int(microseconds) / 1e6 if is_number else None
