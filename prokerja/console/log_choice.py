"""Which log a worker writes: by what was asked for, and by what its stderr is."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext

from prokerja.console.journal import on_journal
from prokerja.console.log_formats import Journal, Text
from prokerja.console.worker_log import SUMMARY_SECONDS, TERMINAL_SECONDS, WorkerLog

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)


def log_of(format: str) -> tuple[WorkerLog, AbstractContextManager[object]]:
    """The log, and what is to be entered for as long as others write to our stderr.

    From here on, what this process itself writes there fits the format.
    """
    if format == JSON:
        return _json()
    seconds = TERMINAL_SECONDS if sys.stderr.isatty() else SUMMARY_SECONDS
    return WorkerLog(Journal() if on_journal() else Text(), summary_seconds=seconds), nullcontext()


def _json() -> tuple[WorkerLog, AbstractContextManager[object]]:
    from prokerja.console.captured import STDERR, CapturedStderr, LineStream
    from prokerja.console.log_formats import Json

    written = Json(os.dup(STDERR))
    sys.stderr = LineStream(written.write_other)
    return WorkerLog(written), CapturedStderr(written.write_other)
