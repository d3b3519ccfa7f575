"""A job that uses what its realizer is given to attack the supervisor."""

import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import msgspec

from prokerja import Job

NOISE = 4096
RING = 2**18
COMPLETED, FAILED = 0, 1
"""What verdicts are called on the wire."""
FLOOD = 0.2
"""Seconds."""


@dataclass
class Villain(Job):
    """Attack in the way that is called `how`."""

    how: str
    seed: int = 0
    timeout = 5.0

    def handle(self) -> None:
        """Do it, and end as if nothing had been."""
        launch = json.loads(sys.argv[2])
        line = socket.socket(fileno=os.dup(launch["channel"]))
        line.setblocking(True)
        ATTACKS[self.how](line, launch, random.Random(self.seed))


def garbage(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """Bytes without a meaning."""
    line.sendall(chance.randbytes(NOISE))


def nonsense(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """A frame of the right length that says nothing."""
    line.sendall((10).to_bytes(4, "little") + b"0123456789")


def lies(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """Every job it might have is completed, again and again, at no time at all."""
    nan, inf = float("nan"), float("inf")
    send(line, ([(n, (COMPLETED, nan, inf, "no JSON", [])) for n in range(-5, 50)],))


def failures(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """Every job it might have has failed, at no time at all."""
    for ended in (2.0, float("-inf"), float("nan")):
        send(line, ([(n, (FAILED, 1.0, ended, "\x1b[2J\0", None)) for n in range(50)],))


def declarations(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """Follow-ups that nobody may declare."""
    nan = float("nan")
    for priority in (2**63, 10**6, 0):
        more = [(("", "", priority, ""), "no JSON", nan, -1, nan, nan)]
        send(line, ([(n, (COMPLETED, 1.0, 2.0, None, more)) for n in range(50)],))


def greetings(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """It is ready, with other jobs than it has."""
    send(line, ([], [], [], "", (1, [], [("\0", "\x1b")], {})))


def returns(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """It has never heard of any job, and drops them all."""
    numbers = list(range(50))
    send(line, ([], numbers, numbers))


def flood(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """More than anybody can read."""
    give_up = time.monotonic() + FLOOD
    frame = framed(([], [], [])) * 1000
    while time.monotonic() < give_up:
        line.sendall(frame)


def promise(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """The beginning of a frame that is as long as a frame may be, and no end of it."""
    line.sendall((2**28).to_bytes(4, "little") + bytes(NOISE))


def deafness(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """Hang up, and live."""
    line.shutdown(socket.SHUT_RDWR)
    time.sleep(FLOOD)


def page(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """Numbers that cannot be on the shared page."""
    give_up = time.monotonic() + FLOOD
    while time.monotonic() < give_up:
        os.pwrite(launch["page"], chance.randbytes(24), 0)


def racing_page(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """A page that never says the same twice, written by two at once."""

    def race() -> None:
        give_up = time.monotonic() + FLOOD
        number = 0
        while time.monotonic() < give_up:
            number += 1
            os.pwrite(launch["page"], number.to_bytes(8, "little"), 0)

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def short_page(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """A page that is gone, for whoever looks."""
    os.ftruncate(launch["page"], 0)
    time.sleep(FLOOD)


def escape(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """A child that leaves the process group with the line in its hands, and floods it."""
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "end = time.monotonic() + 1\n"
        "while time.monotonic() < end: os.write(int(sys.argv[1]), b'\\x07\\0\\0\\0' + bytes(7))\n"
    )
    words = [sys.executable, "-c", code, str(line.fileno())]
    subprocess.Popen(words, pass_fds=[line.fileno()], start_new_session=True)
    os._exit(3)


def journal(line: socket.socket, launch: Any, chance: random.Random) -> None:
    """Entries on every job that any realizer might have, garbage among them, and then death."""
    [lock] = [fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_lock(fd)]
    os.ftruncate(lock, chance.choice((0, 2**40)))
    nan, more = float("nan"), [(("", "", 2**63, ""), "no JSON", -1.0, -1, -1.0, -1.0)]
    claims = [(2**32 + turn, id) for turn in range(20) for id in range(20)]
    completed: list[Any] = [
        [(claim, (COMPLETED, nan, nan, None, [])) for claim in claims],
        [(claim, (COMPLETED, 1.0, 2.0, "no JSON", more)) for claim in claims],
        [(claim, (COMPLETED, 1.0, 2.0, "no JSON", [])) for claim in claims[::9]],
    ]
    failed: list[Any] = [(claim, (FAILED, 1.0, 2.0, "\x1b\0", None)) for claim in claims[::7]]
    bodies = [msgspec.msgpack.encode([*each, *failed]) for each in completed]
    bodies.append(bodies[-1].replace(b"\x1b", b"\xff"))
    for ring in range(3):
        frames = [struct.pack("<4sII", b"note", len(b), crc32(b)) + b for b in bodies]
        os.pwrite(lock, b"".join(frames), ring * RING)
        os.pwrite(lock, chance.randbytes(NOISE), ring * RING + chance.randrange(RING))
    os._exit(3)


def _is_lock(descriptor: int) -> bool:
    try:
        return "-worker-" in os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:  # it was there to list them
        return False


def framed(report: Any) -> bytes:
    """As the wire carries it."""
    body = msgspec.msgpack.encode(report)
    return len(body).to_bytes(4, "little") + body


def send(line: socket.socket, report: Any) -> None:
    """Say it."""
    line.sendall(framed(report))


ATTACKS: dict[str, Callable[[socket.socket, Any, random.Random], None]] = {
    attack.__name__: attack
    for attack in (garbage, nonsense, lies, failures, declarations, greetings, returns, flood,
                   promise, deafness, page, racing_page, short_page, escape, journal)
}  # fmt: skip
