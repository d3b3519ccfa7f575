"""Declarations that stand for each other, or wait for more than their time."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from prokerja.model.declaration import Ids
from prokerja.repository.sqlite.blocks import Blocks
from prokerja.repository.sqlite.coalescing import Coalescing
from prokerja.repository.sqlite.endings import Endings
from prokerja.repository.sqlite.expiry import Expiry
from prokerja.repository.sqlite.happenings import Happenings
from prokerja.repository.sqlite.traces import keep_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prokerja.model.declaration import Declaration
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.lanes import Lanes


class Conditional:
    """Inside the transaction at hand; `register` writes declarations without their conditions."""

    def __init__(
        self,
        database: Database,
        lanes: Lanes,
        register: Callable[[Sequence[Declaration], float], range],
    ) -> None:
        self._database = database
        self._lanes = lanes
        self._register = register
        self._endings = Endings(database, lanes)
        self._blocks = Blocks(database, self._endings)
        self._coalescing = Coalescing(database)
        self._expiry = Expiry(database, self._endings)
        self._happenings = Happenings(database)

    def insert(self, declarations: Iterable[Declaration], now: float, *, strict: bool) -> Ids:
        """Register those for which no other stands; returns an id for each, in order.

        Raises RequestError, if `strict`, for a parent or a batch that is not there.
        """
        ids, coalesced = Ids(), set[int]()
        for has_key, some in itertools.groupby(declarations, _has_key):
            for group in ([one] for one in some) if has_key else [list(some)]:
                standing = self._coalescing.standing(group[0]) if has_key else None
                if standing is None:
                    ids += self._insert(group, now, strict=strict)
                    continue
                if group[0].conditions and group[0].conditions.replace:
                    self._coalescing.replace(standing, group[0], now)
                coalesced.add(standing)
                ids.append(standing)
        ids.coalesced = frozenset(coalesced)
        return ids

    def _insert(self, group: Sequence[Declaration], now: float, *, strict: bool) -> range:
        ids = self._register(group, now)
        for id, one in zip(ids, group, strict=True):
            if one.conditions is not None:
                self._apply(id, one, now, strict=strict)
        return ids

    def _apply(self, id: int, one: Declaration, now: float, *, strict: bool) -> None:
        wanted = one.conditions
        assert wanted is not None
        if wanted.coalesce is not None:
            self._coalescing.add(id, one)
        if wanted.on_failure is not None:
            self._happenings.set_rule(id, wanted.on_failure)
        if wanted.expires_at is not None:
            self._expiry.set(id, wanted.expires_at)
        if wanted.trace is not None:
            keep_trace(self._database, id, wanted.trace)
        if wanted.hold or wanted.after or wanted.after_batch is not None:
            lane, due_at = self._lanes.id_of(one.lane), max(now, one.due_at)
            error = self._blocks.block(id, lane, due_at, wanted, strict=strict)
            if error is not None:
                self._endings.fail_waiting([(id, lane, due_at, error)], now)
                self._endings.write(now)  # its key is free for the next


def _has_key(declaration: Declaration) -> bool:
    return declaration.conditions is not None and declaration.conditions.coalesce is not None
