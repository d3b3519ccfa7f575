"""Notices, as a worker's turn sees to them: what makes them is loaded once anybody wants one."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from prokerja.errors import TryAgain
from prokerja.repository.sqlite.happenings import Happenings

if TYPE_CHECKING:
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.declarations import Declarations
    from prokerja.repository.sqlite.lanes import Lanes
    from prokerja.repository.sqlite.telling import Telling


class Notices:
    """Inside the transaction at hand."""

    def __init__(self, database: Database, lanes: Lanes, declarations: Declarations) -> None:
        self._database = database
        self._lanes = lanes
        self._declarations = declarations
        self._happenings = Happenings(database)
        self.worker_down = self._happenings.worker_down

    def load(self, *, wanted: bool) -> None:
        """Be ready, if that or anything is `wanted`: later there may be no descriptor for it."""
        if wanted or self._happenings.are_wanted():
            assert self._telling

    def tell(self, now: float) -> float | None:
        """Declare the notices that are due; returns when there may be more to do, None if never.

        Raises TryAgain while the system has no descriptor to load what makes them.
        """
        return self._telling.tell(now) if any(self._happenings.used()) else None

    def due(self, now: float) -> float | None:
        """When there may be something to do; None if never."""
        return self._telling.due(now) if any(self._happenings.used()) else None

    @cached_property
    def _telling(self) -> Telling:
        try:
            from prokerja.repository.sqlite.telling import Telling
        except (ImportError, OSError) as error:
            raise TryAgain(f"cannot load what makes notices: {error}; it is tried again") from None
        return Telling(self._database, self._lanes, self._declarations)
