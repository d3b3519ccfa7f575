"""A store with words for what is SQLite's own: its tables, and turns piece by piece."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from prokerja.model.worker import Taking
from prokerja.repository.verbs import Want
from tests.repository.harness import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.claim import Claimed
    from prokerja.repository.sqlite.repository import SQLiteRepository


class SQLiteStore(Store):
    """The same store, with its tables laid open."""

    repository: SQLiteRepository

    def rows(self, query: str) -> list[Any]:
        """What a query finds."""
        return self.repository.database.execute(query).fetchall()

    def everything(self) -> list[str]:
        """All there is in the file."""
        return list(self.repository.database.connection.iterdump())


def turn(
    repository: SQLiteRepository,
    token: int,
    now: float,
    room: int = 1000,
    taking: Taking = Taking(),  # noqa: B008  immutable
) -> list[Claimed]:
    """One turn of a worker that has room for so many."""
    taken: list[Claimed] = []

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        some = list(itertools.islice(offered, room - len(taken)))
        taken.extend(some)
        return some, len(taken) == room

    repository.claims.claiming.claim(token, Want(taking, choose), now)
    return taken


def take(
    repository: SQLiteRepository,
    token: int,
    now: float,
    room: int = 1000,
    taking: Taking = Taking(),  # noqa: B008  immutable
) -> list[Claimed]:
    """The same, in a transaction of its own."""
    with repository.database.writing():
        return turn(repository, token, now, room, taking)
