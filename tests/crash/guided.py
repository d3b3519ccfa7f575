"""Fuzz guided by coverage, where atheris is installed: `python -m tests.crash.guided SEED RUNS`.

Bytes go to the two places that read what nobody has checked before: frames of the wire, and
lines of a batch. atheris ends the process itself, with a traceback if there was one.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from prokerja.commandline.input import parse_json
from prokerja.declaring import of_spec
from prokerja.errors import ProkerjaError
from prokerja.options import Options
from prokerja.spec import JobSpec
from prokerja.worker.wire.channel import Channel
from prokerja.worker.wire.messages import Report, WireError
from tests.crash.ledger import Broken

if TYPE_CHECKING:
    from tests.crash.ledger import Ledger

SPEC = JobSpec("any", "default", 0, 0, 60.0, None, (), open=True, file="", doc="")


def guide(seed: int, runs: int, ledger: Ledger) -> None:
    """So many inputs in a process of their own; raises Broken."""
    if find_spec("atheris") is None:
        ledger.note("not guided by coverage: atheris is not installed")
        return
    words = [sys.executable, "-m", "tests.crash.guided", str(seed), str(runs)]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        raise Broken(f"guided: {done.stderr.decode(errors='replace')[-3000:]}")
    ledger.count("inputs guided by coverage", runs)


def one(content: bytes) -> None:
    """One input, to both places."""
    with contextlib.suppress(ProkerjaError):
        payload = parse_json(content.decode("utf-8", "surrogateescape"), "the line")
        of_spec(SPEC, payload, 0.0, Options())
    ours, theirs = socket.socketpair()
    with ours, theirs, contextlib.suppress(WireError):
        ours.setblocking(False)
        channel = Channel(ours, Report)
        theirs.send(len(content).to_bytes(4, "little") + content)
        channel.receive()


def main(seed: str, runs: str) -> None:
    """RealizerProcess over to atheris."""
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-seed={seed}", f"-runs={runs}", "-max_len=300"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
