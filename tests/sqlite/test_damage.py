"""A damaged file is named as such, whatever is wrong with it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from prokerja.errors import StoreError
from prokerja.model.declaration import Lane, Status
from prokerja.model.record import Filter
from prokerja.model.worker import Taking
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.sqlite.files import COMPANIONS, START, asked, refusal, settle, take


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a file with jobs in every status."""
    path = tmp_path_factory.mktemp("whole") / "q.db"
    repository = SQLiteRepository(str(path))
    lanes = [Lane("default", "noop", n) for n in range(3)]
    repository.declarations.add(
        [asked(json.dumps({"n": n, "pad": "x" * 200}), lanes[n % 3]) for n in range(300)], START
    )
    settle(repository, take(repository, TURNS, 60), 1)
    settle(repository, take(repository, TURNS + 1, 60), 2)
    take(repository, TURNS + 2, 60)
    repository.close()
    return path.read_bytes()


def use(path: Path) -> None:
    """Everything that commands and workers do with a file."""
    repository = SQLiteRepository(str(path))
    try:
        database = repository.database
        with database.reading():
            repository.lanes.tallies()
            repository.lanes.next_due(repository.lanes.waiting(Taking(), START))
            repository.lanes.due_since(None, START)
            for status in (None, *Status):
                records = repository.history.newest(Filter(status), 1000)
            for record in records:
                repository.history.attempts(record)
                repository.history.ahead(record, START)
            repository.registry.living()
            lanes = repository.lanes.matching(None, None)
        repository.declarations.add([asked()] * 10, START)
        if claimed := take(repository, TURNS + 7, 100):
            settle(repository, claimed[::2], 1)
            settle(repository, claimed[1::2], 2)
        with database.writing():
            repository.claims.put_back(1, START)
        repository.fresh_starts.retry_failed(lanes, START + 1000)
        repository.purging.purge(lanes, Status.COMPLETED, START + 1000)
        repository.purging.purge(lanes, Status.PENDING, START + 1000)
        database.shorten_log()
    finally:
        repository.close()


def test_the_file_that_is_damaged_below_can_be_used_when_it_is_not(
    path: Path, whole: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(whole)
    use(path)


@pytest.mark.parametrize("part", [2, 15, 16, 50, 99, 100, 511, 512, 4095, 4096, 4097, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_refused_in_one_clear_line(
    path: Path, whole: bytes, part: float
) -> None:
    path.parent.mkdir()
    path.write_bytes(whole[: int(len(whole) * part) if isinstance(part, float) else int(part)])
    message = refusal(lambda: use(path))
    assert str(path) in message


@pytest.mark.parametrize("seed", range(6))
def test_a_file_with_flipped_bits_works_or_is_refused_in_one_clear_line(
    path: Path, whole: bytes, seed: int
) -> None:
    chance = random.Random(seed)
    path.parent.mkdir()
    wrong = []
    for _ in range(20):
        damaged = bytearray(whole)
        flipped = [chance.randrange(len(whole) * 8) for _ in range(chance.choice([1, 1, 100]))]
        for bit in flipped:
            damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        for suffix in COMPANIONS:
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        try:
            use(path)
        except StoreError:
            pass
        except Exception as error:  # noqa: BLE001 - which is what may not come out
            wrong.append((flipped[0] // 4096, len(flipped), repr(error)))
    assert wrong == []


def test_damage_is_reported_in_one_line_even_where_sqlite_takes_several(
    path: Path, whole: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(whole.replace(b"CREATE TABLE claim (\n", b"CREATE TABLE claim (`"))
    assert "is damaged (" in refusal(lambda: use(path))


def test_damage_that_sqlite_cannot_even_put_into_words_is_reported(
    path: Path, whole: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(whole.replace(b") STRICT, WITHOUT ROWID", b") STR\xd2CT, WITHOUT ROWID"))
    refusal(lambda: use(path))


def test_a_damaged_page_is_reported_as_damage(path: Path, whole: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    assert "is damaged (" in refusal(lambda: use(path))
