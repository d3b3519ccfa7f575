"""Runs a job that is given more than its payload: an answer to go on with, or hooks."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from prokerja.hooks import hooks_of
from prokerja.model.result import MAX_RESULT_BYTES
from prokerja.verdicts import OWED, TOLD, Completed, Failed, HooksEnded
from prokerja.worker.realizer.hooks import Hooks
from prokerja.worker.realizer.interruption import Interrupted
from prokerja.worker.realizer.outcome import cut_result, format_error
from prokerja.worker.wire.shared_page import RUNNING, SINCE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from prokerja.model.claim import Extra, Hooking
    from prokerja.running import Running
    from prokerja.verdicts import Ended
    from prokerja.worker.realizer.interruption import Interruption
    from prokerja.worker.realizer.outbox import Outbox
    from prokerja.worker.wire.journal import Claim, Journal
    from prokerja.worker.wire.shared_page import SharedPage


def names_of_hooks(classes: Mapping[str, Callable[..., Any]]) -> dict[str, Collection[str]]:
    """Those that classes have, by job name."""
    found = {name: hooks_of(cls) for name, cls in classes.items() if isinstance(cls, type)}
    return {name: hooks for name, hooks in found.items() if hooks}


class Performer:
    """The running job's hooks are called here, and what becomes of them is told."""

    def __init__(
        self,
        names: Mapping[str, Collection[str]],
        running: Running,
        page: SharedPage,
        outbox: Outbox,
        journal: Journal,
        interruption: Interruption,
    ) -> None:
        """`names` are those of the hooks that classes have, by job name."""
        self._names = names
        self._running = running
        self._page = page
        self._outbox = outbox
        self._journal = journal
        self._interruption = interruption
        self._hooks: Hooks | None = None
        """Those of the running job."""

    def perform(self, claim: Claim, name: str, job: Any, extra: Extra) -> Any:
        """Run it; or, if it has ended elsewhere, tell it so."""
        given, attempt = extra.hooks, self._running.number
        if given is None:
            return _handle(job, extra)
        tell = partial(self._tell_error, claim[1], name)
        self._hooks = hooks = Hooks(job, self._names.get(name, ()), given, tell)
        if given.ended is not None:
            self._running.id = 0  # it does not run
            return hooks.tell_end(*given.ended)
        if text := hooks.begin(attempt):
            self._outbox.descriptions.append((self._page.cells[RUNNING], text))
            self._outbox.send_reportable()
        return _handle(job, extra)

    def decide(self, failed: Failed, error: BaseException) -> None:
        """Let the job say whether, and when, it is to be tried again."""
        if self._hooks is not None:
            self._hooks.decide(failed, self._running.number, error)

    def end(
        self, claim: Claim, name: str, given: Hooking, ended: Ended, times: tuple[float, float]
    ) -> Ended:
        """Run the hooks that are to hear of an end, which is written down before they do."""
        hooks, self._hooks = self._hooks, None
        if isinstance(ended, Completed) and len(ended.result or "") > MAX_RESULT_BYTES:
            cut_result(ended)
        ended.started_at, ended.finished_at = times
        if given.ended is not None:
            if isinstance(ended, Failed):
                self._outbox.report.hook_errors.append((claim[1], name, "hooks", ended.error))
            return HooksEnded(*times)
        if hooks is not None:
            is_final = hooks.is_final(ended)
            if is_final:
                ended.told = OWED  # type: ignore[union-attr]
            self._journal.add((claim, ended))
            self._journal.write()
            self._restart_clock()
            hooks.end(ended)
            self._interruption.exit_if_forked()
            if is_final:
                ended.told = TOLD  # type: ignore[union-attr]
        return ended

    def _restart_clock(self) -> None:
        """The time limit of the hooks that hear of an end begins: it is their own."""
        self._page.cells[SINCE] = time.monotonic_ns()

    def _tell_error(self, id: int, name: str, hook: str, error: BaseException) -> None:
        """Also how a hook learns that its time is over."""
        self._interruption.exit_if_forked()
        if isinstance(error, Interrupted) or self._interruption.tasks_cancelled:
            self._interruption.die()
        self._outbox.report.hook_errors.append((id, name, hook, format_error(error)))


def _handle(job: Any, extra: Extra) -> Any:
    """Run a job, or go on with one that was resolved: its answer is its result by default."""
    if extra.answer is None:
        return job.handle()
    data = json.loads(extra.answer)
    resolved = getattr(type(job), "resolved", None)
    return resolved(job, data) if callable(resolved) else data
