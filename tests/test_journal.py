"""The journals of realizers: read as they were written, or not at all."""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prokerja.model.declaration import Declaration, Lane
from prokerja.verdicts import Completed, Failed
from prokerja.worker.wire import journal
from prokerja.worker.wire.journal import MARK, RING_BYTES, Journal, read, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = 2**33 + 1
MORE = Declaration(Lane("default", "noop", 0), "{}", 1.0, 2, 3.0, None)
FAILED = Failed(1.0, 2.0, "ValueError: no", "Traceback ...")
reused = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "journals", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def done(n: int, result: str | None = None) -> Completed:
    return Completed(1.5, 2.5 + n, result)


def write_each(journal: Journal, ids: range, result: str | None = None) -> None:
    for n in ids:
        journal.add(((TOKEN, n), done(n, result)))
        journal.write()


def test_what_is_written_can_be_read_by_claim_and_only_once_it_is_written(file: int) -> None:
    journal = Journal(file, 0)
    completed = Completed(1.0, 2.0, '"well"', (MORE,))
    journal.add(((TOKEN, 1), completed))
    journal.add(((TOKEN, 2), FAILED))
    assert read(file, 0) == {}
    journal.write()
    assert read(file, 0) == {(TOKEN, 1): completed, (TOKEN, 2): FAILED}
    journal.write()
    assert len(read(file, 0)) == 2


def test_rings_are_apart_and_all_of_them_can_be_read(file: int, tmp_path: Path) -> None:
    write_each(Journal(file, 0), range(5))
    write_each(Journal(file, 3), range(5, 9))
    assert [len(read(file, ring)) for ring in range(5)] == [5, 0, 0, 4, 0]
    assert read_all(str(tmp_path / "journals"), 4) == {(TOKEN, n): done(n) for n in range(9)}
    assert len(read_all(str(tmp_path / "journals"), 3)) == 5


def test_the_newest_entries_overwrite_the_oldest(file: int) -> None:
    many = 20_000
    write_each(Journal(file, 0), range(many))
    write_each(Journal(file, 1), range(3))
    found = read(file, 0)
    kept = len(found)
    assert RING_BYTES / 100 < kept < RING_BYTES / 40
    assert found == {(TOKEN, n): done(n) for n in range(many - kept, many)}
    assert len(read(file, 1)) == 3


def test_what_is_larger_than_a_ring_is_not_written_and_harms_nothing(file: int) -> None:
    journal = Journal(file, 0)
    write_each(journal, range(3))
    write_each(journal, range(3, 4), "x" * RING_BYTES)
    write_each(journal, range(4, 5))
    assert [n for _, n in read(file, 0)] == [0, 1, 2, 4]


def test_without_a_file_nothing_is_written_and_nothing_goes_wrong(tmp_path: Path) -> None:
    write_each(Journal(-1, 0), range(3))
    assert read(-1, 0) == {}
    assert read_all(str(tmp_path / "nothing"), 2) == {}
    assert read_all(str(tmp_path), 2) == {}


def test_where_nothing_can_be_written_nothing_goes_wrong(tmp_path: Path) -> None:
    path = tmp_path / "read-only"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    write_each(Journal(descriptor, 0), range(3))
    assert read(descriptor, 0) == {}
    os.close(descriptor)


@reused
@given(garbage=st.binary(max_size=200), at=st.integers(0, 400), marked=st.booleans())
def test_whatever_lies_in_a_ring_the_whole_entries_are_read_and_no_others(
    file: int, garbage: bytes, at: int, marked: bool
) -> None:
    os.ftruncate(file, 0)
    write_each(Journal(file, 0), range(6))
    os.pwrite(file, MARK + garbage if marked else garbage, at)
    found = read(file, 0)
    assert found.items() <= {(TOKEN, n): done(n) for n in range(6)}.items()
    if at > 300 or not (garbage or marked):
        assert (TOKEN, 0) in found


def test_an_entry_that_is_not_text_is_not_read(file: int) -> None:
    write_each(Journal(file, 0), range(2))
    body = msgspec.msgpack.encode([((TOKEN, 5), (1, 1.0, 2.0, "?", None))])
    body = body.replace(b"?", b"\xff")
    frame = struct.pack("<4sII", MARK, len(body), zlib.crc32(body)) + body
    os.pwrite(file, frame, os.fstat(file).st_size)
    assert set(read(file, 0)) == {(TOKEN, 0), (TOKEN, 1)}


def test_a_ring_that_is_made_to_take_long_is_given_up(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []

    def crc32(body: memoryview) -> int:
        checked.append(len(body))
        return 0

    monkeypatch.setattr(journal, "crc32", crc32)
    os.pwrite(file, struct.pack("<4sII", MARK, RING_BYTES // 2, 1) * (RING_BYTES // 12), 0)
    assert read(file, 0) == {}
    assert 0 < sum(checked) <= 2 * RING_BYTES


@reused
@given(memory=st.lists(st.binary(max_size=60) | st.just(MARK)))
def test_garbage_is_not_read(file: int, memory: list[bytes]) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, b"".join(memory), 0)
    assert read(file, 0) == {}
