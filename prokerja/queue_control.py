"""What a Queue is told of its queues: pauses, limits and rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.answers import Answers

if TYPE_CHECKING:
    from datetime import datetime

    from prokerja.model.flow import QueueRule


class QueueControl(Answers):
    """The verbs that steer whole queues; one need not have been used before."""

    def pause_queue(
        self,
        queue: str | None = None,
        *,
        why: str | None = None,
        until: float | datetime | None = None,
        by: str | None = None,
    ) -> QueueRule | None:
        """Have no job of a queue started until it is resumed; without a queue, of any.

        What runs goes on. `until` (seconds from now, or a datetime) ends the pause by itself, `by`
        is the login name if left out. Returns the pause that this one replaces, if there was one.
        Raises BadOption for what cannot be meant.
        """
        from prokerja.flow import pauses
        from prokerja.options import expiry

        now = self._now()
        end = expiry(until, now, "until")
        pauses.check(queue, why, by, end, now)
        name = pauses.ALL_QUEUES if queue is None else queue
        return self.repository.pause_queue(name, now, by or login_name(), why, end)[1]

    def resume_queue(self, queue: str | None = None) -> QueueRule:
        """End the pause of a queue; without a queue, that of all. Returns it.

        Queues that are paused by their own names stay so when all are resumed. Raises NotPaused.
        """
        from prokerja.flow.pauses import ALL_QUEUES

        name = ALL_QUEUES if queue is None else queue
        return self.repository.resume_queue(name, self._now(), login_name())

    def limit_queue(self, queue: str, most: int | None) -> QueueRule:
        """Let no more than so many jobs of a queue run at once, on all workers; None lifts that.

        Returns what holds of the queue then; raises BadOption.
        """
        from prokerja.terms import MOST_RUNNING, NAME

        NAME.check(queue, "queue")
        if most is not None:
            MOST_RUNNING.check(most, "limit")
        return self.repository.limit_queue(queue, most)

    def rate_queue(self, queue: str, rate: str | None) -> QueueRule:
        """Let no more jobs of a queue start than `10/min` or `5/30s` says; None lifts that.

        It holds for any stretch of that time, on all workers. Returns what holds of the queue then;
        raises BadOption.
        """
        from prokerja.flow.rates import parse_rate
        from prokerja.terms import NAME

        NAME.check(queue, "queue")
        parsed = None if rate is None else parse_rate(rate)
        return self.repository.rate_queue(queue, parsed)

    def queue_rules(self) -> list[QueueRule]:
        """All that people have said of queues, by name; see `QueueRule.is_paused` for pauses."""
        return self.repository.queue_rules()


def login_name() -> str:
    """Who asks, for others to read; the number of a user without a name."""
    import getpass
    import os

    from prokerja.text import brief

    try:
        return brief(getpass.getuser())
    except (OSError, KeyError):
        return str(os.getuid())
