"""A small database with a job in every status there is, made without running anything."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from prokerja.catalog.refresh import refresh
from prokerja.model.declaration import Declaration, Lane
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.settings import settings
from prokerja.verdicts import Completed, Failed, Released
from tests.crash.site import PROJECT
from tests.crash.work import take

JOBS = os.path.join(PROJECT, "jobs")
NOW = 1_700_000_000.0
"""When everything in it happened, but for what is due far later."""
LATER = 4_000_000_000.0
DEAD = 4_194_304
"""A process that never was."""
IDS = {"completed": 1, "failed": 2, "retrying": 3, "returned": 4, "processing": 5, "running": 6,
       "pending": 7, "later": 8}  # fmt: skip
"""What became of which job; the rest, to COUNT, is pending."""
COUNT = 40
TAKEN = 6
MAIL = '{"to": "a@example.com", "subject": "Hi", "body": "there"}'


def make(path: str) -> None:
    """Make the file at `path`, with nothing beside it."""
    with closing(SQLiteRepository(path)) as repository:
        refresh(repository, settings(path, JOBS))
        lane = Lane("default", "noop", 0)
        made = [Declaration(lane, f'{{"n": {n}}}', NOW, 0, 60.0, None) for n in range(1, COUNT + 1)]
        made[IDS["retrying"] - 1] = made[0]._replace(retries=3, retry_after=1e8)
        made[IDS["later"] - 1] = made[0]._replace(due_at=LATER, payload='{"n": 8}')
        made[IDS["pending"] - 1] = made[0]._replace(
            lane=Lane("mail", "send_email", -7), payload=MAIL
        )
        repository.declarations.add(made, NOW)
        _work(repository)
        repository.database.shorten_log()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL")


def _work(repository: SQLiteRepository) -> None:
    """One worker, that died with two jobs in its hands."""
    worker, held = repository.registry.register(DEAD, NOW, 2, Taking(("default",), ("noop",)))
    token = worker * TURNS + 1
    with repository.database.writing():
        lane = take(repository, token, NOW, TAKEN)[1].lane
        repository.claims.started(token, [(IDS["running"], NOW)], NOW)
        verdicts = (
            (IDS["completed"], lane, Completed(NOW, NOW + 1, '{"answer": 42}')),
            (IDS["failed"], lane, Failed(NOW, NOW + 1, "ValueError: no", "Traceback: no")),
            (IDS["retrying"], lane, Failed(NOW, NOW + 1, "OSError: not yet", None)),
            (IDS["returned"], lane, Released(counted=True)),
        )
        repository.claims.settle(token, verdicts, NOW + 1, lambda: 0.5)
    os.close(held)
    os.unlink(repository.registry.lock_path(worker))
