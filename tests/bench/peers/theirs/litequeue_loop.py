"""litequeue brings no worker: the loop that its README shows, pop and done."""

# mypy: disable-error-code=import-not-found
# It runs in the environment of its peer.

import os

import counting
from litequeue import LiteQueue

queue = LiteQueue(os.environ["BENCH_STORE"])


def declare() -> None:
    """In one transaction."""
    with queue.transaction():
        for n in range(counting.JOBS):
            queue.put(f'{{"n":{n}}}')


def work() -> None:
    """Until nothing is left."""
    while message := queue.pop():
        counting.count()
        queue.done(message.message_id, claim_id=message.claim_id)
