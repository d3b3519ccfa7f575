"""rq; its worker class that does not fork for each job is four times as fast as the default."""

# mypy: disable-error-code=import-not-found
# It runs in the environment of its peer.

import os

import counting
from redis import Redis
from rq import Queue


def noop(n: int) -> None:
    """Do nothing."""
    counting.count()


def declare() -> None:
    """All at once, into an empty redis."""
    connection = Redis.from_url(os.environ["RQ_REDIS_URL"])
    connection.flushall()
    prepared = [Queue.prepare_data(noop, (n,)) for n in range(counting.JOBS)]
    Queue(connection=connection).enqueue_many(prepared)
