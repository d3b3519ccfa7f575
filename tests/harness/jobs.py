"""Job files of the tests."""

from __future__ import annotations

RUN = '''
import contextlib, ctypes, io, json, os, signal, subprocess, sys, textwrap, threading, time
from dataclasses import dataclass

import psutil

from prokerja import Job

HOME = {home!r}
LEDGER = os.path.join(HOME, "ledger")


def note(line):
    descriptor = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{{line}}\\n".encode())
    os.close(descriptor)


def supervisor():
    parent = os.getppid()
    return parent if sys.platform != "linux" else psutil.Process(parent).ppid()


def wait_for(gate):
    while not os.path.exists(os.path.join(HOME, gate)):
        time.sleep(0.005)


@dataclass
class Run(Job):
    """Do what the payload says."""

    code: str

    def handle(self):
        scope = {{**globals(), "self": self}}
        exec("def body():\\n" + textwrap.indent(self.code, "    "), scope)
        return scope["body"]()
'''
"""One job, which does what its payload says; formatted with `home`, its directory."""

SOME = '''
import os, time
from dataclasses import dataclass

from prokerja import Job


@dataclass
class Noop(Job):
    """Do nothing."""

    n: int = 0

    def handle(self):
        return {"n": self.n}


@dataclass
class Fail(Job):
    """Fail."""

    why: str = "no reason"

    def handle(self):
        raise ValueError(self.why)


@dataclass
class Hold(Job):
    """Run until a file is there."""

    gate: str

    def handle(self):
        while not os.path.exists(self.gate):
            time.sleep(0.005)


@dataclass
class Send(Job):
    """Take what there is to take."""

    to: str
    subject: str = ""
    copies: int = 1
    urgent: bool = False
    weight: float = 1.5
    tags: list[str] | None = None

    queue = "emails"
    priority = 3

    def handle(self):
        return None
'''
"""Jobs that a user might have."""
