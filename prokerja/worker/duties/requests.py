"""Does what somebody has asked of running jobs: to end, to stand still, to go on."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from prokerja.errors import TryAgain

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.repository.verbs import Repository
    from prokerja.worker.pool.pool import Pool

CHECK_SECONDS = 0.2
"""Between two looks, however often others write."""


class RequestCheck:
    """Looks for requests after others have written, while there are jobs in hand."""

    def __init__(
        self,
        repository: Repository,
        worker: int,
        pool: Pool,
        heard_of: Callable[[float | None], object],
    ) -> None:
        """`heard_of` takes the next deadline of what nobody holds."""
        self._heard_of = heard_of
        self._repository = repository
        self._worker = worker
        self._pool = pool
        self._checked_at = 0.0
        self._check_at: float | None = None

    @property
    def due(self) -> float | None:
        """A moment after a write; None while nothing is written."""
        return self._check_at

    @property
    def is_stirred(self) -> bool:
        """Whether to hear of another write would change nothing."""
        return self._check_at is not None or not self._pool.busy

    def on_write(self, now: float) -> None:
        """Something was written, perhaps a request."""
        if not self.is_stirred:
            self._check_at = max(now, self._checked_at + CHECK_SECONDS)

    def run(self, now: float) -> None:
        """Do what is asked for; if somebody else is writing, look again soon."""
        self._checked_at, self._check_at = now, now + CHECK_SECONDS
        with suppress(TryAgain):
            requests = self._repository.requests(self._worker, time.time())
            ending = {(one.token, one.id) for one in requests.cancelled}
            if not self._pool.stopping:
                # What is to end goes on before.
                self._pool.standstills.suspend(requests.suspended - ending)
            self._pool.cuts.cancel(requests.cancelled, now)
            self._heard_of(requests.deadline)
            self._check_at = None
