"""What a worker does to its file, without the worker."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from prokerja.model.worker import Taking
from prokerja.repository.verbs import Want

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.claim import Claimed
    from prokerja.repository.sqlite.repository import SQLiteRepository

NO_END = 2**31


def take(
    repository: SQLiteRepository,
    token: int,
    now: float,
    room: int = NO_END,
    taking: Taking = Taking(),  # noqa: B008  immutable
) -> list[Claimed]:
    """Claim what is due, as far as there is room; inside a write transaction."""
    taken: list[Claimed] = []

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        some = list(islice(offered, room - len(taken)))
        taken.extend(some)
        return some, len(taken) == room

    repository.claims.claiming.claim(token, Want(taking, choose), now)
    return taken


def recover(repository: SQLiteRepository, now: float) -> None:
    """Put back what the dead held, and strike them off."""
    workers = repository.registry
    dead = [row.id for row in workers.all() if not workers.alive(row.id)]
    with repository.database.writing():
        for id in dead:
            repository.claims.put_back(id, now)
        workers.delete(dead, now, died=True)
    for id in dead:
        workers.delete_lock(id)
