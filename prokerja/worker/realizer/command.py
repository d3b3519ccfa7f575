"""Runs a command as a job: a process group of its own, which ends with it."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any

from prokerja import running, shell
from prokerja.exit_codes import NEVER, NOT_EXECUTABLE, NOT_FOUND, in_words
from prokerja.text import escaped, quoted
from prokerja.verdicts import Advice
from prokerja.worker import memory
from prokerja.worker.realizer.costs import RSS_UNIT
from prokerja.worker.realizer.outcome import Steered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prokerja.model.claim import Extra

ID, ATTEMPT = b"PROKERJA_JOB_ID", b"PROKERJA_ATTEMPT"
"""The variables in which a command finds its job's id, and the number of the attempt."""
PARENTS = b"PROKERJA_PARENTS"
"""That for the ids of the jobs that it has waited for."""
COUNTS = {"completed": b"PROKERJA_COMPLETED", "failed": b"PROKERJA_FAILED"}
"""Those for how many of the batch that it has waited for have ended how."""
LINGER_SECONDS = 2.0
"""For what a command has left in its group to end after a TERM."""
LOOK_SECONDS = 0.01


class Command:
    """One command, from its payload; see `prokerja.shell.payload_of`."""

    def __init__(
        self, id: int, attempt: int, argv: Sequence[str] = (), line: str = "", **surroundings: Any
    ) -> None:
        self._argv = [shell.INTERPRETER, "-c", line] if line else argv
        self._place = place = shell.Surroundings(**surroundings)
        self._environment = {**os.environb, ID: b"%d" % id, ATTEMPT: b"%d" % attempt}
        attempted = running.running("a command")
        self._environment |= _given(attempted.extra)
        self._environment |= _as_bytes(attempted.variables)
        self._environment |= _as_bytes(place.env)

    def handle(self) -> int:
        """Run it to its end; returns its exit code, or raises Steered."""
        kills = memory.oom_kills()
        with contextlib.ExitStack() as files:
            process = self._start(files)
        try:
            code = _wait(process)
        except BaseException:  # it was asked to end as well; the supervisor kills what does not
            _wait(process)
            raise
        if code in self._place.ok:
            return code
        advice = Advice.NONE
        if code in self._place.retry_on:
            advice = Advice.LATER
        elif code == NEVER:
            advice = Advice.NEVER
        killed = memory.is_oom(code, kills)
        peak = running.running("a command").peak_bytes
        raise Steered(memory.killed(peak) if killed else in_words(code), advice, code)

    def _start(self, files: contextlib.ExitStack) -> subprocess.Popen[bytes]:
        source = self._open_stdin(files)
        try:
            return subprocess.Popen(
                list(map(_bytes, self._argv)), stdin=source, cwd=_bytes(self._place.cwd),
                env=self._environment, process_group=0,
            )  # fmt: skip
        except OSError as error:
            raise self._not_started(error) from None

    def _open_stdin(self, files: contextlib.ExitStack) -> Any:
        place = self._place
        if place.data is not None:
            kept = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  it does
            kept.write(base64.b64decode(place.data))
            kept.seek(0)
            return kept
        if place.stdin is None:
            return subprocess.DEVNULL
        try:
            return files.enter_context(open(_bytes(place.stdin), "rb"))
        except OSError as error:
            why = f"cannot read its stdin {quoted(place.stdin)}: {error.strerror}"
            raise Steered(why, Advice.NONE, None) from None

    def _not_started(self, error: OSError) -> Steered:
        name = escaped(str(self._argv[0]))
        if not os.path.isdir(_bytes(self._place.cwd)):
            return Steered(f"its directory {quoted(self._place.cwd)} is gone", Advice.NONE, None)
        if isinstance(error, FileNotFoundError):
            return Steered(f"{name}: command not found", Advice.NONE, NOT_FOUND)
        why = f"{name}: cannot be run: {error.strerror}"
        return Steered(why, Advice.NONE, NOT_EXECUTABLE)


def _given(extra: Extra | None) -> dict[bytes, bytes]:
    """What a command finds in its environment of those that it has waited for."""
    if extra is None:
        return {}
    given = {COUNTS[how]: b"%d" % count for how, count in (extra.counts or {}).items()}
    if extra.parents:
        given[PARENTS] = b" ".join(b"%d" % id for id in extra.parents)
    return given


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The command's exit code, once it and what is left of its group have ended."""
    code = _reap(process)
    give_up = time.monotonic() + LINGER_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < give_up:
            os.killpg(process.pid, 0)
            time.sleep(LOOK_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    return code


def _reap(process: subprocess.Popen[bytes]) -> int:
    """Wait for a command to end, and note the most memory that one of its processes has held."""
    try:
        _, status, used = os.wait4(process.pid, 0)
    except ChildProcessError:  # the job was interrupted just when it had ended
        return process.wait()
    process.returncode = os.waitstatus_to_exitcode(status)
    running.running("a command").peak_bytes = used.ru_maxrss * RSS_UNIT
    return process.returncode


def _as_bytes(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    return {_bytes(key): _bytes(value) for key, value in variables.items()}


def _bytes(text: str) -> bytes:
    """What `names.portable` was given."""
    return text.encode("utf-8", "surrogateescape")
