"""What the commands that are about whole queues share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from prokerja.commandline import Argument, Option
from prokerja.errors import RequestError

if TYPE_CHECKING:
    from prokerja.model.flow import QueueRule

Named = Annotated[str | None, Argument("The queue; it need not have been used yet.", "[QUEUE]")]
Every = Annotated[bool, Option("All queues, those yet to come too.", ("--all",))]
Lifted = Annotated[bool, Option("Take it away.", ("--none",))]


def queue_of(named: str | None, *, every: bool) -> str | None:
    """The queue that is meant, None for all; raises RequestError."""
    if (named is not None) is every:
        raise RequestError("name either a queue or --all")
    return named


def require_one(value: object, *, lifted: bool, example: str) -> None:
    """Raise RequestError unless there is either a value or the wish for none."""
    if (value is not None) is lifted:
        raise RequestError(f"give either {example} or --none")


def called(rule: QueueRule) -> str:
    """What to call the queue of a rule at the beginning of a sentence."""
    return f"Queue {rule.name}" if rule.name else "All queues"
