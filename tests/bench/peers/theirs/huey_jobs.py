"""huey on SQLite with its defaults: an fsync for each commit, one worker thread."""

# mypy: disable-error-code=import-not-found
# It runs in the environment of its peer.

import os

import counting
from huey import SqliteHuey

huey = SqliteHuey(filename=os.environ["BENCH_STORE"])


def body(n: int) -> None:
    """Do nothing."""
    counting.count()


noop = huey.task()(body)


def declare() -> None:
    """One after the other, as it has no other way."""
    for n in range(counting.JOBS):
        noop(n)
