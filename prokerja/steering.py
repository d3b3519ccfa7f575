"""What a job may say instead of a result: `handle()` returns it or raises it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.errors import BadOption
from prokerja.terms import LIMIT, WAIT, Rule
from prokerja.text import shown

if TYPE_CHECKING:
    from datetime import timedelta

REASON = Rule(lambda value: isinstance(value, str) and bool(value.strip()), "a reason in words")


class Steering(Exception):
    """Says what is to become of the job; follow-ups that it has declared are not."""


class Later(Steering):
    """Run the job again in so many seconds (or a timedelta); no attempt is used.

    At most 1,000 times since the job was declared, or given a fresh start.
    """

    def __init__(self, seconds: float | timedelta) -> None:
        super().__init__(seconds)
        self.seconds: float = _checked(WAIT, _in_seconds(seconds), "Later")


class GiveUp(Steering):
    """The job has failed, for that reason, and is not retried."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason: str = _checked(REASON, reason, "GiveUp")


class Await(Steering):
    """Park the job until somebody resolves it, for so many seconds (or a timedelta) at most.

    It is processing meanwhile, and no process runs it. What it is resolved with goes to the
    job's `resolved()`.
    """

    def __init__(self, timeout: float | timedelta | None = None) -> None:
        super().__init__(timeout)
        self.timeout: float | None = _checked(LIMIT, _in_seconds(timeout), "Await")


def _in_seconds(value: Any) -> Any:
    return value.total_seconds() if hasattr(value, "total_seconds") else value


def _checked(rule: Rule, value: Any, what: str) -> Any:
    if not rule.fits(value):
        raise BadOption(f"{what}({shown(value)}): give {rule.allowed}")
    return value
