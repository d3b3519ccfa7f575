"""Runs the hooks of a job; what goes wrong in one is told, and changes nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from prokerja.terms import WAIT
from prokerja.text import utf8
from prokerja.verdicts import Advice, Completed, Failed, Parked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from prokerja.model.claim import Hooking
    from prokerja.verdicts import Ended

MAX_DESCRIPTION_CHARACTERS = 255


class Hooks:
    """Those of the job that runs; `tell` takes the name of one and its error."""

    def __init__(
        self,
        job: Any,
        names: Collection[str],
        given: Hooking,
        tell: Callable[[str, BaseException], None],
    ) -> None:
        self._job = job
        self._names = names
        self._given = given
        self._tell = tell

    def begin(self, attempt: int) -> str | None:
        """The attempt begins; returns what the job calls itself, if it does."""
        self._call("status_changed", "pending", "processing", f"attempt {attempt}")
        text = self._call("description")
        if text is None or isinstance(text, str):
            return utf8(" ".join((text or "").split()))[:MAX_DESCRIPTION_CHARACTERS] or None
        self._tell("description", TypeError(f"it returned a {type(text).__name__}, not a string"))
        return None

    def decide(self, failed: Failed, attempt: int, error: BaseException) -> None:
        """An attempt has failed: whether there is to be another, and when, as the job likes."""
        if failed.advice is not Advice.NONE or self._given.retries_left < 1:
            return
        again = self._call("should_retry", attempt, error)
        if again is not None and not again:
            failed.advice = Advice.NEVER
        else:
            failed.retry_in = self._delay(attempt)

    def end(self, ended: Ended) -> None:
        """The attempt has ended, and perhaps the job with it."""
        if isinstance(ended, Completed):
            self.tell_end("processing", "completed", None)
        elif isinstance(ended, Failed) and self._is_last(ended):
            self.tell_end("processing", "failed", ended.error)
        elif not isinstance(ended, Parked):
            why = ended.error if isinstance(ended, Failed) else "it is to be run again later"
            self._call("status_changed", "processing", "pending", why)

    def tell_end(self, was: str, status: str, error: str | None) -> None:
        """The job has completed, or failed for good."""
        if error is not None:
            self._call("failed", error)
        self._call("status_changed", was, status, error or "")
        self._call("cleanup")

    def is_final(self, ended: Ended) -> TypeGuard[Completed | Failed]:
        """Whether the job ends with that attempt."""
        return isinstance(ended, Completed) or (isinstance(ended, Failed) and self._is_last(ended))

    def _is_last(self, failed: Failed) -> bool:
        return failed.advice is Advice.NEVER or self._given.retries_left < 1

    def _delay(self, attempt: int) -> float | None:
        seconds = self._call("retry_delay", attempt)
        if hasattr(seconds, "total_seconds"):
            seconds = seconds.total_seconds()
        if seconds is None or WAIT.fits(seconds):
            return seconds  # type: ignore[no-any-return]
        self._tell("retry_delay", ValueError(f"it returned no {WAIT.allowed.removeprefix('a ')}"))
        return None

    def _call(self, name: str, *given: object) -> Any:
        if name in self._names:
            try:
                return getattr(self._job, name)(*given)
            except BaseException as error:  # noqa: BLE001  whoever is told of it knows which end all
                self._tell(name, error)
        return None
