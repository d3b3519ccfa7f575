"""What a command prints of the jobs that it has declared."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prokerja.console import hint, plural, print_json, say
from prokerja.errors import ProkerjaError
from prokerja.model.declaration import Ids, Status

SECOND_CHANCE_SECONDS = 2.0
"""After a Ctrl-C, for another one."""
CANCELLED_AT_ONCE = 500
"""Jobs in one transaction: a few milliseconds."""

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prokerja.model.declaration import Declaration
    from prokerja.model.flow import QueueRule
    from prokerja.queue import Queue
    from prokerja.settings import Settings


class Needs:
    """What declarations need of the machine's resources, noted on their way into the store."""

    def __init__(self) -> None:
        self._amounts: dict[str, int] = {}
        """The most that one of them needs, by name."""

    def noted(self, declarations: Iterable[Declaration]) -> Iterator[Declaration]:
        """The declarations themselves."""
        for one in declarations:
            if one.lane.flow is not None:
                for name, amount in one.lane.flow.needs:
                    self._amounts[name] = max(amount, self._amounts.get(name, 0))
            yield one

    def warn(self, place: Settings) -> None:
        """Say what this machine does not have, or not so much of."""
        there = place.resources
        short = {name: n for name, n in self._amounts.items() if n > there.get(name, 0)}
        if short:
            from prokerja.flow.resources import human
            from prokerja.settings import FILE, settings_file

            some = {name: there[name] for name in short if name in there}
            say(
                f"what was declared needs {human(short)}, and this machine has"
                f" {human(some) or 'none'}; it waits until [resources] in"
                f" {settings_file() or FILE} has enough"
            )


def start_worker(queue: Queue, place: Settings) -> None:
    """Start a worker for what was declared, unless one is alive."""
    from prokerja.detached import start_detached

    start_detached(queue, place.jobs if place.jobs_named else None)


def tell_of_pauses(queue: Queue, ids: Sequence[int]) -> None:
    """Say on stderr, whoever reads it, why jobs just declared have to wait: a queue is paused."""
    with suppress(ProkerjaError, OSError):  # they are declared, whatever becomes of this question
        for pause in queue.repository.pauses(ids, time.time()):
            several = "its jobs" if pause.name else "the jobs"
            _tell_of_pause(pause, "the job" if len(ids) == 1 else several)


def _tell_of_pause(pause: QueueRule, jobs: str) -> None:
    from prokerja.flow.pauses import resuming, sentence
    from prokerja.text import escaped
    from prokerja.times import iso

    end = f"`{resuming(pause)}`" if pause.paused_until is None else iso(pause.paused_until)
    say(escaped(f"{sentence(pause)}; {jobs} will wait until {end}"))


def wait_for(queue: Queue, ids: Sequence[int], name: str) -> int:
    """Show what a job prints until it has ended, or wait for several; returns the exit code."""
    from prokerja.console.job_output import JobOutput
    from prokerja.following import follow
    from prokerja.text import escaped
    from prokerja.waiting import code_of, fault_of

    hint(lambda: _declared(queue, name, len(ids)))
    try:
        if len(ids) == 1:
            output = JobOutput(apart=True)
            detail = follow(queue, ids[0], 1, output.show)
            output.close()
            if why := fault_of(detail):
                say(f"job {ids[0]} failed: {escaped(why)}")
            return code_of(detail)
        failed = [id for id, status in queue.wait(ids).items() if status is Status.FAILED]
        if failed:
            say(f"{len(failed):,} of {plural(len(ids), 'job')} failed, the first is {failed[0]}")
        return int(bool(failed))
    except KeyboardInterrupt:
        if ids:
            _leave(queue, ids)
        raise


def _leave(queue: Queue, ids: Sequence[int]) -> None:
    """The jobs go on, unless somebody at a terminal presses Ctrl-C again."""
    goes_on = f"job {ids[0]} goes on"
    if len(ids) > 1:
        goes_on = f"the jobs go on, {ids[0]} to {ids[-1]}"
    again = f"`prokerja output {ids[0]} -f` shows it again"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        say(f"{goes_on}; {again}")
        return
    try:  # it may come as soon as the words are read
        say(f"{goes_on}; {again}, another Ctrl-C cancels")
        time.sleep(SECOND_CHANCE_SECONDS)
    except KeyboardInterrupt:
        cancel_open(queue, ids)
        say("cancelled")


def cancel_open(queue: Queue, ids: Sequence[int]) -> None:
    """Cancel those of these jobs that have not ended."""
    from prokerja.lifecycle import CANCELLED

    for first in range(0, len(ids), CANCELLED_AT_ONCE):
        some = ids[first : first + CANCELLED_AT_ONCE]
        queue.repository.cancel(some, CANCELLED, time.time(), skip_ended=True)


def show_declared(queue: Queue, ids: Sequence[int], name: str, *, single: bool, json: bool) -> None:
    """Print the ids of jobs of that name; `single` if it can only have been one."""
    if json:
        answer: dict[str, Any] = {"id": ids[0]} if single else {"ids": list(ids)}
        print_json({**answer, "job": name, **coalesced_json(ids, single=single)})
    else:
        sys.stdout.writelines(f"{id}\n" for id in ids)
        if not ids:
            say("stdin has no values, so nothing was declared")
            return
    hint(lambda: _declared(queue, name, len(ids)))


def coalesced_json(ids: Sequence[int], *, single: bool) -> dict[str, Any]:
    """What `--json` says of those for which others stand; nothing if there are none."""
    found = ids.coalesced if isinstance(ids, Ids) else frozenset[int]()
    if not found:
        return {}
    return {"coalesced": True if single else sorted(found)}


def _declared(queue: Queue, name: str, count: int) -> str:
    it = "it" if count == 1 else "them"
    what = f"Declared {plural(count, f'{name} job'.lstrip())} in {queue.path}"
    with suppress(ProkerjaError, OSError):  # it is declared, whatever becomes of this question
        if not queue.summary().workers:
            return f"{what}. No worker is alive: `prokerja realization:start` runs {it}."
    return f"{what}; a worker will run {it}."
