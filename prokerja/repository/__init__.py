"""The store that declaring, realizing, reporting, retrying and purging share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from prokerja.model.check import Examination
    from prokerja.repository.verbs import Repository


MEMORY = ":memory:"
"""The store that lives in this process, as long as it is open."""


def is_path(url: str) -> bool:
    """Whether a store's URL is the path of a file."""
    return url != MEMORY


def open(url: str, *, create: bool = True, local: bool = False, events: bool = True) -> Repository:
    """The store that a URL names: the path of an SQLite file, or `:memory:`.

    Raises NotFound if it is not there and `create` is false, StoreError if it cannot be used. With
    `local`, as a worker needs it, also for a file on a network file system. Without `events`, what
    this object does is not written to the log of events.
    """
    from prokerja.repository.sqlite.repository import SQLiteRepository

    return SQLiteRepository(url, create=create, local=local, events=events)


def examined(url: str) -> AbstractContextManager[Examination]:
    """What is right and wrong with a store, which is left as it is; it raises nothing.

    What there is to clean up stays until the block is left, if others have not done it.
    """
    from prokerja.repository.sqlite.examination import examined

    return examined(url)
