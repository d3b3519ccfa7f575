"""How the lines of a worker's log are written: as text, for the journal, as JSON."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import to_builtins

from prokerja.console.journal import ERROR, INFO, mark
from prokerja.console.log_line import LEVELS, Line, cut
from prokerja.text import escaped
from prokerja.times import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

OUTPUT = re.compile(r"\[(\d+)\] (.*)", re.DOTALL)
"""A line that a job has printed, as it is shown; `prokerja.worker.output` writes them."""
OWN = "prokerja: "
"""How complaints of the program begin."""


class LogFormat(Protocol):
    """One way to write lines."""

    def fields(self, event: Any) -> Mapping[str, Any]:
        """Those of an event, as far as they are written."""

    def write(self, line: Line, fields: Mapping[str, Any], at: float) -> None:
        """Write one; it is lost where stderr takes none, as on a full disk: the jobs go on."""


class Text:
    """Lines for people."""

    def fields(self, event: Any) -> Mapping[str, Any]:
        return {}

    def write(self, line: Line, fields: Mapping[str, Any], at: float) -> None:
        with contextlib.suppress(OSError):
            # All at once: what jobs print is written by another thread.
            head = self.beginning(line)
            sys.stderr.write("".join(f"{head}{escaped(text)}\n" for text in line.texts))
            sys.stderr.flush()

    def beginning(self, line: Line) -> str:
        """What stands before the text."""
        return OWN


class Journal(Text):
    """The same for systemd's journal, which knows whose lines they are, and wants their levels."""

    def beginning(self, line: Line) -> str:
        return mark(line.level)


class Json:
    """One object a line, to a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._writing = threading.Lock()
        self._worker: int | None = None

    def fields(self, event: Any) -> Mapping[str, Any]:
        given = to_builtins(event).items()
        short = {key: cut(value) if type(value) is str else value for key, value in given}
        fields = {"event": _snake(type(event).__name__), **short}
        if fields["event"] == "worker_started":
            self._worker = event.worker
        if "worker" in fields:
            other = fields.pop("worker")
            if fields["event"] == "jobs_recovered":
                fields["dead_worker"] = other
        return fields

    def write(self, line: Line, fields: Mapping[str, Any], at: float) -> None:
        import json

        head = {"time": iso(at), "level": LEVELS[line.level]}
        whole = {**head, "event": "", "worker": self._worker, **fields}
        with contextlib.suppress(OSError):
            self._write_bytes(json.dumps(whole).encode() + b"\n")

    def write_other(self, text: str, at: float) -> None:
        """A line that somebody else has written: a job, a library, the program's last words."""
        found = OUTPUT.fullmatch(text)
        if found:
            fields = {"event": "output", "id": int(found[1]), "text": found[2]}
        elif text.startswith(OWN):
            self.write(Line(ERROR, text), {"event": "error", "error": text.removeprefix(OWN)}, at)
            return
        else:
            fields = {"event": "output", "text": text}
        self.write(Line(INFO, text), fields, at)

    def _write_bytes(self, rest: bytes) -> None:
        with self._writing:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # whoever shares it with us has made it so
                    select.select([], [self._descriptor], [])


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
