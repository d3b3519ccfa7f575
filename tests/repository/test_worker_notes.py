"""What workers say of themselves."""

from __future__ import annotations

from prokerja.model.worker import Taking, WorkerNote
from tests.repository.harness import START, Store

FULL = WorkerNote("disk", START, "the disk is full", holds=True)
CODE = WorkerNote("code", START + 1, "a.py cannot be loaded", holds=False)


def notes(store: Store) -> dict[int, tuple[WorkerNote, ...]]:
    return {worker.id: worker.notes for worker in store.repository.workers()}


def test_what_a_worker_says_is_kept_until_it_says_otherwise(store: Store) -> None:
    one, other = store.worker, store.join()
    store.repository.note(one, [FULL, CODE])
    store.repository.note(other, [CODE])
    assert notes(store) == {one: (CODE, FULL), other: (CODE,)}
    store.repository.note(one, [])
    assert notes(store) == {one: (), other: (CODE,)}


def test_what_a_worker_has_said_goes_with_it(store: Store) -> None:
    other = store.repository.join(11, START, 1, Taking())
    store.repository.note(other.worker, [FULL])
    store.repository.leave(other, START + 2)
    store.repository.note(other.worker, [FULL])  # it comes too late
    assert notes(store) == {store.worker: ()}
    assert store.repository.join(12, START + 3, 1, Taking()).worker > other.worker
    assert all(said == () for said in notes(store).values())
