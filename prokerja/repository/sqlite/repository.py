"""The one SQLite repository: every statement stands in this folder, one noun in each module."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from prokerja.errors import StoreError
from prokerja.repository.sqlite.catalog import Catalog
from prokerja.repository.sqlite.declarations import Declarations
from prokerja.repository.sqlite.lanes import Lanes
from prokerja.repository.sqlite.opening import open_database

if TYPE_CHECKING:
    from prokerja.repository.sqlite.claims import Claims
    from prokerja.repository.sqlite.history import History
    from prokerja.repository.sqlite.workers import Workers


class Repository:
    """What is stored in one file, noun by noun.

    Nothing below this class reads the clock: every verb that needs the time takes `now`.
    """

    def __init__(self, path: str, *, create: bool = True) -> None:
        if "\0" in path:
            raise StoreError(f"{path!r} has a NUL in it; pass a --db without one")
        self.path = path if path == ":memory:" else os.path.realpath(path)
        self.database = open_database(self.path, create=create)
        self.lanes = Lanes(self.database)
        self.declarations = Declarations(self.database, self.lanes)
        self.catalog = Catalog(self.database)

    @cached_property
    def claims(self) -> Claims:
        from prokerja.repository.sqlite.claims import Claims

        return Claims(self.database, self.lanes, self.declarations)

    @cached_property
    def workers(self) -> Workers:
        from prokerja.repository.sqlite.workers import Workers

        return Workers(self.database)

    @cached_property
    def history(self) -> History:
        from prokerja.repository.sqlite.history import History

        return History(self.database, self.lanes)

    def close(self) -> None:
        self.database.close()
