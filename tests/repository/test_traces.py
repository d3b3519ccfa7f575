"""The trace in which a declaration was made is kept with it, and handed to whoever asks for it."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from prokerja.model.claim import Traced
from prokerja.model.worker import Taking
from prokerja.repository.verbs import Want
from prokerja.verdicts import Completed
from tests.repository.harness import COMPLETED, LANES, MANY, PENDING, START, Store, asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.model.claim import Claimed

CONTEXT = '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'
OTHER = CONTEXT.replace("b7", "b8")


def take(store: Store, *, traced: bool = True) -> dict[int, Traced | None]:
    """Claim all; what each is given of its trace."""
    taken: list[Claimed] = []

    def assign(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        some = list(offered)
        taken.extend(some)
        return some, False

    turn = store.turn(Want(Taking(), assign, traced=traced))
    extras = {id: extra.traced for (_, id), extra in turn.extras.items()}
    return {one.id: extras.get(one.id) for one in taken}


def test_an_attempt_is_given_the_trace_of_its_declaration_and_its_queue(store: Store) -> None:
    lane = LANES[0]._replace(queue="mail")
    within, without = store.declare(asked(lane, trace=CONTEXT), asked())
    assert take(store) == {within: Traced("mail", CONTEXT), without: Traced("default")}


def test_a_worker_without_tracing_is_given_none(store: Store) -> None:
    [id] = store.declare(asked(trace=CONTEXT))
    assert take(store, traced=False) == {id: None}


def test_a_retry_is_in_the_same_trace(store: Store) -> None:
    [id] = store.declare(asked(trace=CONTEXT))
    store.fail(id)
    store.repository.retry([id], store.now)
    assert take(store) == {id: Traced("default", CONTEXT)}


def test_follow_ups_keep_theirs(store: Store) -> None:
    [id] = store.declare()
    [(token, lane)] = store.take().values()
    ended = Completed(START, START, None, (asked(trace=CONTEXT),))
    store.settle(token, (id, lane, ended))
    assert take(store) == {id + 1: Traced("default", CONTEXT)}


def test_many_keep_theirs_alone_and_among_those_with_conditions(store: Store) -> None:
    for held in (False, True):
        asks = (asked(trace=CONTEXT, hold=held and n == 7) for n in range(MANY))
        ids = store.repository.declare(itertools.chain(asks, [asked(trace=OTHER)]), store.now)
        given = take(store)
        assert given.pop(ids[-1]) == Traced("default", OTHER)
        assert len(given) == MANY - held
        assert set(given.values()) == {Traced("default", CONTEXT)}


def test_where_another_stands_for_it_that_one_keeps_its_own(store: Store) -> None:
    [id] = store.declare(asked(coalesce="key", trace=CONTEXT))
    assert store.declare(asked(coalesce="key", replace=True, trace=OTHER)) == [id]
    assert take(store) == {id: Traced("default", CONTEXT)}


def test_traces_are_purged_with_their_declarations(store: Store) -> None:
    waiting, done = store.declare(asked(trace=CONTEXT, due_at=START + 9), asked(trace=CONTEXT))
    store.complete(done)
    assert store.purge(COMPLETED, START + 1) == 1
    assert traces(store) == [waiting]
    assert store.purge(PENDING, START + 10) == 1
    assert traces(store) == []


def traces(store: Store) -> list[int]:
    """The declarations that have one."""
    with closing(sqlite3.connect(store.path)) as connection:
        return [id for (id,) in connection.execute("SELECT declaration FROM trace ORDER BY 1")]
