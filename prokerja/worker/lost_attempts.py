"""The spans of attempts whose realizers have died, and cannot tell of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prokerja.tracing import attempts, conventions
from prokerja.verdicts import Failed

if TYPE_CHECKING:
    from prokerja.model.claim import Claimed, Extra
    from prokerja.verdicts import Released
    from prokerja.worker.pool.exits import Exit


class LostAttempts:
    """Those of one worker; `seed` is the one that its realizers have."""

    def __init__(self, seed: str) -> None:
        self._attempts = attempts.Attempts(seed)

    def tell(
        self, job: Claimed, name: str, extra: Extra | None, exit: Exit, verdict: Failed | Released
    ) -> None:
        """A job was running when its realizer died."""
        if extra is None or extra.traced is None:
            return
        now = time.time_ns()
        began = now - time.monotonic_ns() + int(exit.began * 1e9)
        span = self._attempts.begin(job.token, job.id, job.attempt, name, extra.traced, began)
        failed = isinstance(verdict, Failed)
        span.set_attribute(conventions.OUTCOME, "failed" if failed else "interrupted")
        attempts.fail(span, exit.kind, exit.how)
        span.end(now)
