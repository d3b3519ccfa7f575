"""The file itself: who may read it, what is refused, what a full disk does, what a query costs."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from prokerja.errors import NotFound, Outdated, ProkerjaError, StoreError, TryAgain
from prokerja.model import Declaration, Lane, Status, Taking
from prokerja.repository.sqlite import history, opening, schema
from prokerja.repository.sqlite.claims import TURNS
from prokerja.repository.sqlite.lock import held, hold
from prokerja.repository.sqlite.opening import (
    FORCE,
    MAX_LOG_BYTES,
    NETWORK,
    filesystem,
    refuse_network,
)
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.watch import Watch
from prokerja.repository.verbs import Membership
from prokerja.spec import JobSpec
from prokerja.verdicts import Completed, Failed, Released
from tests.crash import newer
from tests.crash.disk import SECTOR
from tests.crash.invariants import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prokerja.model import Claimed
    from prokerja.verdicts import Settlement

ROOT = Path(__file__).parent.parent
START = 1_900_000_000.0
LANE = Lane("default", "noop", 0)
COMPANIONS = ("-wal", "-shm", "-journal")


def asked(payload: str = "{}", lane: Lane = LANE, due_at: float = 0.0) -> Declaration:
    return Declaration(lane, payload, due_at, 0, 10.0, None)


def declare(path: Path | str, *declarations: Declaration) -> list[int]:
    """Open the file, declare, close it."""
    repository = SQLiteRepository(str(path))
    try:
        return list(repository.declarations.add(declarations or [asked()], START))
    finally:
        repository.close()


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def refusal(action: Callable[[], object], kind: type[StoreError] = StoreError) -> str:
    """The one line that says why the store cannot be used."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable()
    assert re.search(r"[;:] ", message), "it says what to do next"
    return message


def take(repository: SQLiteRepository, token: int, room: int = 10**6) -> list[Claimed]:
    taken: list[Claimed] = []

    def choose(offered: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
        some = list(itertools.islice(offered, room - len(taken)))
        taken.extend(some)
        return some, len(taken) == room

    with repository.database.writing():
        repository.claims.take(token, repository.lanes.waiting(Taking()), START, choose)
    return taken


def settle(repository: SQLiteRepository, claimed: list[Claimed], code: int) -> None:
    """Complete (1), fail (2) or give back (0) what was claimed."""
    verdicts: list[Any] = []
    for n, (id, lane) in enumerate((one.id, one.lane) for one in claimed):
        if code == 0:
            verdicts.append((id, lane, Released(counted=True)))
        elif code == 1:
            verdicts.append((id, lane, Completed(START, START + n, None)))
        else:
            verdicts.append((id, lane, Failed(START, START + n, "no", "here")))
    with repository.database.writing():
        repository.claims.settle(claimed[0].token, verdicts, START + 1, lambda: 0.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "here" / "q.db"


# A child that is no root, whoever runs the tests.

AS_NOBODY = """
import json, os, sys
import psutil
from prokerja.repository.sqlite import claims, history, workers
from prokerja.errors import ProkerjaError
from prokerja.model import Declaration, Lane
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.opening import filesystem
path = sys.argv[1]
filesystem("/")
SQLiteRepository(":memory:").close()
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    repository = SQLiteRepository(path, create="create" in sys.argv)
    repository.declarations.add([Declaration(Lane("q", "n", 0), "{}", 0.0, 0, 1.0, None)], 2e9)
    answer = ["fine", ""]
except ProkerjaError as error:
    answer = [type(error).__name__, str(error), error.exit_code]
print(json.dumps(answer))
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may look into; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for part in (folder, *folder.rglob("*")):
        if part.is_dir():
            part.chmod(0o755)
    shutil.rmtree(folder)


def as_nobody(path: Path, *words: str) -> list[Any]:
    """What comes of opening and declaring as a user with no special rights."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(path), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.stderr == ""
    answer: list[Any] = json.loads(done.stdout)
    return answer


def given_to_nobody(path: Path, mode: int) -> Path:
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    path.chmod(mode)
    return path


# Who may read it.


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_directory_file_and_companions_are_private_whatever_the_umask(
    path: Path, mask: int
) -> None:
    old = os.umask(mask)
    try:
        repository = SQLiteRepository(str(path))
        repository.declarations.add([asked()], START)
        _, lock = repository.registry.register(os.getpid(), START, 1, Taking((), ()))
    finally:
        os.umask(old)
    assert mode(path.parent) == 0o700 & ~mask
    names = {entry.name: mode(entry) for entry in path.parent.iterdir()}
    assert names.keys() == {"q.db", "q.db-wal", "q.db-shm", "q.db-worker-1"}
    assert set(names.values()) == {0o600 & ~mask}
    os.close(lock)
    repository.close()


def test_a_directory_that_is_there_keeps_its_mode(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    declare(path)
    assert mode(path.parent) == 0o755
    assert mode(path) == 0o600


def test_nothing_is_left_beside_a_file_that_was_closed_in_good_order(path: Path) -> None:
    declare(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["q.db"]


def test_a_file_that_is_not_there_is_not_made_when_only_asked_about(path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no queue at .*q\.db yet; declare a job to make"):
        SQLiteRepository(str(path), create=False)
    assert not path.parent.exists()


@pytest.mark.parametrize("create", [[], ["create"]])
def test_a_file_that_this_user_may_only_read_is_refused(public: Path, create: list[str]) -> None:
    path = public / "q.db"
    declare(path)
    given_to_nobody(path, 0o444)
    given_to_nobody(public, 0o755)
    kind, message, code = as_nobody(path, *create)
    assert (kind, code) == ("StoreError", 1)
    assert message.startswith(f"{path} cannot be written by this user (uid ")
    assert message.endswith("mode 0444; change its owner or mode, or pass another --db")


def test_a_file_of_somebody_else_is_refused(public: Path) -> None:
    path = public / "q.db"
    declare(path)
    path.chmod(0o600 if os.geteuid() == 0 else 0)
    given_to_nobody(public, 0o755)
    kind, message, _ = as_nobody(path)
    assert kind == "StoreError"
    assert f"{path} cannot be written by this user" in message


def test_a_file_in_a_directory_that_this_user_may_not_write_to_is_refused(public: Path) -> None:
    path = public / "q.db"
    declare(path)
    given_to_nobody(path, 0o600)
    public.chmod(0o555)
    kind, message, _ = as_nobody(path)
    assert kind == "StoreError"
    assert message.startswith(f"{public}, which holds the database, cannot be written by this user")
    assert "SQLite keeps its log beside the file" in message


@pytest.mark.parametrize("name", ["q.db", "deeper/q.db"])
def test_a_file_cannot_be_made_where_this_user_may_not_write(public: Path, name: str) -> None:
    public.chmod(0o555)
    kind, message, _ = as_nobody(public / name, "create")
    assert kind == "StoreError"
    assert message.startswith(f"cannot make {public / name}: Permission denied; check ")


def test_a_file_in_a_directory_that_this_user_may_not_enter_is_refused(public: Path) -> None:
    (public / "closed").mkdir(mode=0o700)
    declare(public / "closed" / "q.db")
    (public / "closed").chmod(0o700 if os.geteuid() == 0 else 0)
    kind, message, _ = as_nobody(public / "closed" / "q.db")
    assert kind == "StoreError"
    assert message.endswith("Permission denied; check the path and its permissions")


def test_a_user_with_no_special_rights_can_use_a_file_of_its_own(public: Path) -> None:
    declare(public / "q.db")
    given_to_nobody(public / "q.db", 0o600)
    given_to_nobody(public, 0o700 if os.geteuid() == 0 else 0o755)
    public.chmod(0o755)
    assert as_nobody(public / "q.db") == ["fine", ""]


# What is not ours is refused, and left alone.


def fingerprint(path: Path) -> tuple[str, list[str]]:
    """The bytes of the file, and what lies beside it."""
    beside = sorted(entry.name for entry in path.parent.iterdir())
    return hashlib.sha256(path.read_bytes()).hexdigest(), beside


def assert_let_go(path: Path) -> None:
    """This process holds the file and its companions no more."""
    held = [file.path for file in psutil.Process().open_files()]
    assert [name for name in held if name.startswith(str(path))] == []


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("header", ["", "PRAGMA application_id = 1", "PRAGMA user_version = 1"])
def test_somebody_elses_database_is_refused_and_left_as_it_was(
    path: Path, journal: str, header: str
) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(f"PRAGMA journal_mode = {journal}")
    other.execute("CREATE TABLE declaration (id INTEGER PRIMARY KEY, what TEXT)")
    other.execute("INSERT INTO declaration (what) VALUES ('bookmarks')")
    other.execute(header)
    other.close()
    before = fingerprint(path)
    with pytest.raises(StoreError, match="is a database, but not one of prokerja's; pass another"):
        SQLiteRepository(str(path))
    assert fingerprint(path) == before


def test_somebody_elses_database_in_use_is_refused_and_can_be_used_on(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = wal")
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t VALUES (1)")
    refusal(lambda: SQLiteRepository(str(path)))
    other.execute("COMMIT")
    assert other.execute("SELECT x FROM t").fetchall() == [(1,)]
    other.close()


ABANDON = """
import os, signal, sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("PRAGMA journal_mode = wal")
other.execute("CREATE TABLE bookmarks (what TEXT)")
other.execute("INSERT INTO bookmarks VALUES ('mine')")
os.kill(os.getpid(), signal.SIGKILL)
"""
OPEN = """
import sys
from prokerja.errors import StoreError
from prokerja.repository.sqlite.repository import SQLiteRepository
try:
    SQLiteRepository(sys.argv[1])
except StoreError as error:
    print(error)
"""


def test_somebody_elses_log_is_left_to_them_when_their_program_was_killed(path: Path) -> None:
    path.parent.mkdir()
    subprocess.run([sys.executable, "-c", ABANDON, str(path)], check=False)
    log = Path(f"{path}-wal")
    before = path.read_bytes(), log.read_bytes()
    assert before[1], "their last words stand in the log only"
    command = [sys.executable, "-c", OPEN, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "not one of prokerja's" in done.stdout
    assert path.read_bytes() == before[0]
    assert log.read_bytes() == before[1]


def test_a_file_whose_making_a_power_cut_has_cut_off_is_made_anew(path: Path) -> None:
    path.parent.mkdir()
    blank = sqlite3.connect(path)
    blank.execute("PRAGMA journal_mode = wal")
    blank.close()
    Path(f"{path}-wal").touch()
    # The journal of that first write, which stands there again: of no page, into a file of none.
    magic = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
    journal = magic + struct.pack(">5I", 0, 7, 0, SECTOR, path.stat().st_size)
    Path(f"{path}-journal").write_bytes(journal.ljust(SECTOR, b"\0"))
    assert declare(path) == [1]
    assert not Path(f"{path}-journal").exists()


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_was(path: Path) -> None:
    declare(path)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    newer.close()
    before = fingerprint(path)
    message = refusal(lambda: SQLiteRepository(str(path)))
    assert "was written by a newer prokerja" in message
    assert f"schema {schema.VERSION + 1}, this one knows {schema.VERSION}" in message
    assert message.endswith("upgrade this program")
    assert fingerprint(path) == before


@pytest.mark.parametrize("kind", ["foreign", "newer", "text"])
def test_a_refused_file_is_let_go_at_once(path: Path, kind: str) -> None:
    """Not only when the error has been forgotten, on which a connection hangs till then."""
    declare(path)
    if kind == "text":
        path.write_text("Dear diary, " * 1000)
    else:
        meddler = sqlite3.connect(path)
        statement = "application_id = 1" if kind == "foreign" else "user_version = 99"
        meddler.execute(f"PRAGMA {statement}")
        meddler.close()
    with pytest.raises(StoreError) as caught:
        SQLiteRepository(str(path))
    assert_let_go(path)
    assert caught.value is not None
    assert [entry.name for entry in path.parent.iterdir()] == ["q.db"]


def dump(path: Path) -> list[str]:
    """All that is in the file."""
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return lines


def test_no_verb_writes_to_a_file_that_a_newer_program_has_migrated_meanwhile(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.declarations.add([asked()], START)
    [lane] = repository.lanes.matching(None, None)
    newer.migrate(str(path))
    before = dump(path)
    declarations, workers = repository.declarations, repository.registry
    writing: list[Callable[[], object]] = [
        lambda: declarations.add_one(asked(), START),
        lambda: declarations.add([asked()], START),
        lambda: declarations.add([asked(lane=Lane("new", "noop", 0))], START),
        lambda: declarations.retry([1], START),
        lambda: declarations.retry_failed([lane], START),
        lambda: declarations.purge([lane], Status.PENDING, START + 1),
        lambda: workers.register(1, START, 1, Taking((), ())),
        lambda: workers.set_names(1, ["noop"]),
        lambda: repository.catalog.record("/", {}, (), [SPEC]),
    ]
    for verb in writing:
        assert refusal(verb, Outdated) == (
            f"{path} was written by a newer prokerja (schema {newer.NEXT}, this one knows"
            f" {schema.VERSION}); upgrade this program"
        )
    assert dump(path) == before
    repository.close()


def test_who_waits_for_the_lock_while_the_file_is_migrated_notices(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    migrating = sqlite3.connect(path, isolation_level=None)
    migrating.execute("BEGIN IMMEDIATE")
    migrating.execute(f"PRAGMA user_version = {newer.NEXT}")
    repository.database.patience = 0.01
    refusal(lambda: repository.declarations.add([asked()], START), TryAgain)
    repository.database.patience = 30.0
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(repository.declarations.add, [asked()], START)
        assert not waiting.done()
        migrating.execute("COMMIT")
        refusal(waiting.result, Outdated)
    assert migrating.execute("SELECT count(*) FROM declaration").fetchone() == (0,)
    migrating.close()
    repository.close()


def test_what_a_worker_has_begun_can_be_ended_in_a_file_of_a_newer_program(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.declarations.add([asked() for _ in range(6)], START)
    worker, lock = repository.registry.register(1, START, 1, Taking((), ()))
    claimed = take(repository, worker * TURNS + 1, 5)
    newer.migrate(str(path))
    done, lost, back, retried, slow = ((claim.id, claim.lane) for claim in claimed)
    verdicts: list[Settlement] = [
        (*done, Completed(START, START + 1, "1", (asked(lane=Lane("new", "noop", 0)),))),
        (*lost, Failed(START, START + 1, "no", "here")),
        (*back, Released(counted=True)),
        (*retried, Released(counted=False)),
    ]
    claims, token = repository.claims, claimed[0].token
    with repository.database.writing(draining=True):
        claims.started(token, [(slow[0], START)])
        claims.settle(token, verdicts, START + 1, lambda: 0.5)
    with repository.database.writing(draining=True):
        claims.settle(token, [(*slow, Completed(START, START + 9, None))], START + 9, lambda: 0.5)
    repository.registry.unregister(Membership(worker, lock))
    assert repository.registry.all() == []
    assert [tally.counts() for tally in repository.lanes.tallies()] == [
        {"pending": 3, "processing": 0, "completed": 2, "failed": 1},
        {"pending": 1, "processing": 0, "completed": 0, "failed": 0},
    ]
    assert list(faults(repository.database.connection)) == []
    repository.close()


@pytest.mark.parametrize("content", [b"xy", b"Dear diary,\n" * 1000, b"\0" * 4096, b"\xff" * 100])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(
    path: Path, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    before = fingerprint(path)
    assert "is not an SQLite database; pass another --db" in refusal(
        lambda: SQLiteRepository(str(path))
    )
    assert fingerprint(path) == before


def test_a_directory_is_no_database(path: Path) -> None:
    path.mkdir(parents=True)
    assert refusal(lambda: SQLiteRepository(str(path))) == (
        f"{path} is not a file; pass a --db that names one"
    )


def test_a_fifo_is_no_database_and_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    assert "is not a file" in refusal(lambda: SQLiteRepository(str(path)))


def test_a_device_is_no_database() -> None:
    assert "is not a file" in refusal(lambda: SQLiteRepository("/dev/null"))


@pytest.mark.parametrize("below", ["q.db", "deep/er/q.db"])
def test_a_file_in_the_place_of_a_directory_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    message = refusal(lambda: SQLiteRepository(str(tmp_path / "file" / below)))
    assert str(tmp_path / "file") in message


def test_a_path_too_long_for_the_system_is_refused(tmp_path: Path) -> None:
    refusal(lambda: SQLiteRepository(str(tmp_path / ("q" * 300))))


def test_a_path_with_a_nul_in_it_is_refused() -> None:
    with pytest.raises(ProkerjaError):
        SQLiteRepository("/tmp/a\0b")


def test_links_that_lead_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    refusal(lambda: SQLiteRepository(str(tmp_path / "a")))


def test_a_path_whose_name_is_not_unicode_works(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.db")
    assert declare(path) == [1]
    assert os.path.exists(path)


@pytest.mark.parametrize("name", ["a b.db", "what?.db", "50%.db", "#1.db", "file:q.db", "ö.db"])
def test_no_character_of_a_path_means_anything_to_sqlite(tmp_path: Path, name: str) -> None:
    assert declare(tmp_path / name) == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_empty_file_is_adopted(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert declare(path) == [1]
    assert declare(path) == [2]


# Damage.


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
            repository.lanes.next_due(itertools.chain(*repository.lanes.waiting(Taking())))
            repository.history.longest_waiting(None, START)
            for status in (None, *Status):
                records = repository.history.newest(status, None, None, 1000)
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
        repository.declarations.retry_failed(lanes, START + 1000)
        repository.declarations.purge(lanes, Status.COMPLETED, START + 1000)
        repository.declarations.purge(lanes, Status.PENDING, START + 1000)
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


def test_damage_is_told_in_one_line_even_where_sqlite_takes_several(
    path: Path, whole: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(whole.replace(b"CREATE TABLE claim (\n", b"CREATE TABLE claim (`"))
    assert "is damaged (" in refusal(lambda: use(path))


def test_damage_that_sqlite_cannot_even_put_into_words_is_told(path: Path, whole: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(whole.replace(b") STRICT, WITHOUT ROWID", b") STR\xd2CT, WITHOUT ROWID"))
    refusal(lambda: use(path))


def test_a_damaged_page_is_told_as_damage(path: Path, whole: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    assert "is damaged (" in refusal(lambda: use(path))


# Where it lies.


def test_an_sqlite_that_is_too_old_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # SQLite's version is no store of ours, and no old one is at hand.
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.36.0")
    assert "SQLite 3.36.0 is too old; prokerja needs 3.37" in refusal(
        lambda: SQLiteRepository(str(path))
    )
    assert not path.parent.exists()


def mounts() -> dict[str, str]:
    """The file system at each mount point, the topmost where there are several."""
    if sys.platform == "linux":
        lines = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
        return {point.replace("\\040", " "): kind for _, point, kind, *_ in lines}
    told = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^.* on (.+) \((\w+)", told, re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("point", ["/", "/proc", "/proc/self/fd", "/dev/shm", "/dev/null"])
def test_the_file_system_of_a_path_is_what_the_mount_table_says(point: str) -> None:
    table = mounts()
    nearest = max((p for p in table if Path(point).resolve().is_relative_to(p)), key=len)
    assert filesystem(point) == table[nearest]
    if point == "/proc":
        assert filesystem(point) == "proc"


def test_the_file_system_of_what_is_not_there_yet_is_that_of_its_place(tmp_path: Path) -> None:
    assert filesystem(str(tmp_path / "not" / "yet")) == filesystem(str(tmp_path)) != ""


@pytest.fixture
def lying_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make every path lie on a file system of that kind.

    No network file system can be mounted without a server and root, so the answer of the mount
    table is replaced; that the table is read rightly is tested above.
    """
    monkeypatch.delenv(FORCE, raising=False)
    return lambda kind: monkeypatch.setattr(opening, "filesystem", lambda _: kind)


@pytest.mark.parametrize("kind", [*sorted(NETWORK), "fuse.sshfs", "fuse.rclone"])
def test_a_network_file_system_is_refused_with_its_kind_and_the_way_round(
    path: Path, lying_on: Callable[[str], None], kind: str
) -> None:
    lying_on(kind)
    message = refusal(lambda: SQLiteRepository(str(path)))
    assert f"lies on a network file system ({kind}), where SQLite's locks fail" in message
    assert f"set {FORCE}=1 if you know better" in message
    assert not path.exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "apfs", "overlay", ""])
def test_a_local_file_system_is_taken(
    path: Path, lying_on: Callable[[str], None], kind: str
) -> None:
    lying_on(kind)
    assert declare(path) == [1]


def test_who_knows_better_may_use_a_network_file_system(
    path: Path, lying_on: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lying_on("nfs4")
    monkeypatch.setenv(FORCE, "")
    refusal(lambda: refuse_network(str(path)))
    monkeypatch.setenv(FORCE, "1")
    refuse_network(str(path))
    assert declare(path) == [1]


def test_a_link_to_the_file_leads_to_the_same_jobs_and_the_same_worker_locks(
    path: Path, tmp_path: Path
) -> None:
    declare(path)
    (tmp_path / "link.db").symlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)
    real = SQLiteRepository(str(path))
    id, lock = real.registry.register(os.getpid(), START, 1, Taking((), ()))
    for other in (tmp_path / "link.db", tmp_path / "folder" / "q.db", path.parent / ".." / "here"):
        linked = SQLiteRepository(str(other if other.name.endswith(".db") else other / "q.db"))
        assert linked.registry.lock_path(id) == real.registry.lock_path(id)
        assert [worker.id for worker in linked.registry.living()] == [id]
        linked.close()
    os.close(lock)
    assert real.registry.living() == []
    real.close()


def test_a_link_to_a_file_that_is_not_there_yet_makes_it_there(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path)
    assert declare(tmp_path / "link.db") == [1]
    assert declare(path) == [2]
    assert (tmp_path / "link.db").is_symlink()


# Restored, moved, and made by many at once.


def test_a_copy_made_by_vacuum_is_used_like_the_original(path: Path, tmp_path: Path) -> None:
    """VACUUM INTO is how one backs up a live file; its copy is no longer in WAL mode."""
    declare(path)
    copy = tmp_path / "copy.db"
    source = sqlite3.connect(path)
    source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    assert declare(copy) == [2]
    repository = SQLiteRepository(str(copy))
    assert repository.database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    Watch(str(copy)).close()
    repository.close()


def test_a_copy_made_by_the_backup_of_sqlite_is_used_like_the_original(
    path: Path, tmp_path: Path
) -> None:
    declare(path)
    source, target = sqlite3.connect(path), sqlite3.connect(tmp_path / "copy.db")
    source.backup(target)
    source.close()
    target.close()
    repository = SQLiteRepository(str(tmp_path / "copy.db"))
    assert repository.database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    repository.close()


HERD = """
import os, signal, sys
from prokerja.model import Declaration, Lane
from prokerja.repository.sqlite.repository import SQLiteRepository
import prokerja.repository.sqlite.claims, psutil
path, count = sys.argv[1], int(sys.argv[2])
ready, go = os.pipe(), os.pipe()
children = []
for number in range(count):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(go[1])
            os.write(ready[1], b".")
            os.read(go[0], 1)
            lane = Lane("default", f"n{number % 3}", 0)
            repository = SQLiteRepository(path)
            ids = repository.declarations.add([Declaration(lane, "{}", 0.0, 0, 1.0, None)], 2e9)
            os.write(1, f"{ids[0]}\\n".encode())
            code = 0
        except BaseException as error:
            os.write(2, f"{error!r}\\n".encode())
        finally:
            os._exit(code)
    children.append(child)
for _ in children:
    os.read(ready[0], 1)
os.close(go[1])
for child in children:
    os.waitpid(child, 0)
"""


def schema_of(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()
    connection.close()
    return rows


def test_thirty_processes_that_make_the_file_at_once_make_one(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HERD, str(path), "30"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""
    assert sorted(map(int, done.stdout.split())) == list(range(1, 31))
    declare(tmp_path / "other.db")
    assert schema_of(path) == schema_of(tmp_path / "other.db")
    repository = SQLiteRepository(str(path))
    [tally] = repository.lanes.tallies()
    assert tally.pending == 30
    assert repository.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    repository.close()


def test_a_file_whose_making_was_killed_half_way_is_made_by_the_next(path: Path) -> None:
    for kill_at in (1, 2, 6, 11):
        command = [sys.executable, "-c", HALF, str(path), str(kill_at)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert declare(path) == [1]
        shutil.rmtree(path.parent)


HALF = """
import os, signal, sys
from prokerja.repository.sqlite import schema
from prokerja.repository.sqlite.repository import SQLiteRepository
statements = schema.statements
def killed(number):
    for n, statement in enumerate(statements(number), 1):
        if n == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield statement
schema.statements = killed
SQLiteRepository(sys.argv[1])
"""


# The log, and the disk it fills.


def test_the_log_stays_small_however_much_is_written_and_can_be_cut_off(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.database.durable(False)  # it is the size that matters here
    log = Path(f"{path}-wal")
    payload = json.dumps({"a": "x" * 500_000})
    largest = 0
    for _ in range(200):
        repository.declarations.add([asked(payload), asked(payload)], START)
        largest = max(largest, log.stat().st_size)
    assert path.stat().st_size > 150e6
    assert largest < 16e6
    repository.database.shorten_log()
    assert log.stat().st_size == 0
    assert path.stat().st_size > 200e6
    repository.close()


def test_after_one_huge_transaction_the_log_shrinks_again(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    repository.database.durable(False)
    log = Path(f"{path}-wal")
    payload = json.dumps({"a": "x" * 900_000})
    repository.declarations.add((asked(payload) for _ in range(100)), START)
    assert log.stat().st_size > MAX_LOG_BYTES
    repository.declarations.add([asked()], START)
    repository.declarations.add([asked()], START)
    assert log.stat().st_size <= MAX_LOG_BYTES
    repository.close()


def test_shortening_the_log_gives_way_to_a_reader_and_a_writer(path: Path) -> None:
    repository, other = SQLiteRepository(str(path)), SQLiteRepository(str(path))
    repository.declarations.add([asked()], START)
    with other.database.reading():
        other.lanes.tallies()
        repository.declarations.add([asked()], START)
        repository.database.shorten_log()
    with other.database.writing():
        repository.database.shorten_log()
    repository.database.shorten_log()
    assert Path(f"{path}-wal").stat().st_size == 0
    repository.close()
    other.close()


FULL = """
import itertools, json, os, resource, sys
from prokerja.errors import ProkerjaError, TryAgain
from prokerja.model import Declaration, Lane, Status
from prokerja.verdicts import Completed
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.repository.sqlite.claims import TURNS

folder, how = sys.argv[1:3]
path = os.path.join(folder, "q.db")
ballast = os.path.join(folder, "ballast")
ROOM = 3_000_000
SIZE = {"limit": 20_000, "disk": 200_000}[how]
if how == "disk":
    open(ballast, "wb").write(bytes(32_000_000))

def tight():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))

def roomy():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    else:
        os.unlink(ballast)

def asked(size):
    payload = json.dumps({"a": "x" * size})
    return Declaration(Lane("default", "noop", 0), payload, 0.0, 0, 1.0, None)

def lanes():
    with repository.database.reading():
        return list(repository.lanes.matching(None, None))

def ids():
    with repository.database.reading():
        return sorted(r.id for r in repository.history.newest(None, None, None, 10**6))

tight()
repository = SQLiteRepository(path)
acknowledged, refused = [], []
while len(refused) < 3:
    try:
        acknowledged += repository.declarations.add([asked(SIZE) for _ in range(5)], 2e9)
    except TryAgain as error:
        refused.append([type(error).__name__, str(error), error.exit_code])
answer = {"refused": refused, "acknowledged": len(acknowledged)}
answer["lost"] = sorted(set(acknowledged) ^ set(ids()))
try:
    answer["purged"] = repository.declarations.purge(lanes(), Status.PENDING, 3e9, most=50)
except ProkerjaError as error:
    answer["purged"] = str(error)
answer["after"] = len(ids())
before = len(ids())
roomy()
answer["with room"] = len(repository.declarations.add([asked(20_000) for _ in range(100)], 2e9))
answer["whole"] = len(ids()) - before
answer["check"] = repository.database.execute("PRAGMA integrity_check").fetchone()[0]
[tally] = repository.lanes.tallies()
answer["tally"] = tally.pending - len(ids())
repository.close()
print(json.dumps(answer))
"""


def fill(folder: Path, how: str, *before: str) -> dict[str, Any]:
    """Declare until there is no room, purge, go on; what came of it."""
    command = [*before, sys.executable, "-c", FULL, str(folder), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == "", done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def may_mount(folder: Path) -> bool:
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("wanted", ["disk", "limit"])
def test_a_full_disk_loses_nothing_and_can_be_purged_and_used_on(
    tmp_path: Path, wanted: str
) -> None:
    """On a small disk of its own if we may mount one, else under a limit to the size of files."""
    folder = tmp_path / "small"
    folder.mkdir()
    if wanted == "disk" and may_mount(folder):
        # In a mount namespace of its own: the disk is gone with the process.
        mount = f'mount -t tmpfs -o size=96m tmpfs {folder} && exec "$@"'
        answer = fill(folder, "disk", "unshare", "--mount", "sh", "-c", mount, "sh")
        kinds = r"the disk is full; nothing was changed; make room and try again"
    else:
        answer = fill(folder, "limit")
        kinds = r"nothing was changed; (make room|check the disk) and try again"
    for kind, message, code in answer["refused"]:
        assert (kind, code) == ("TryAgain", 75)
        assert re.search(kinds, message)
    assert answer["acknowledged"] >= 50
    assert answer["lost"] == []
    assert answer["with room"] == answer["whole"] == 100
    assert answer["check"] == "ok"
    assert answer["tally"] == 0
    if kinds.startswith("the disk"):
        # With no byte left for the log, even a purge has to wait for room.
        gone = 50 if answer["purged"] == 50 else 0
        assert gone or re.search(kinds, str(answer["purged"]))
        assert answer["after"] == answer["acknowledged"] - gone


# What a query costs.

SPEC = JobSpec("noop", "default", 0, 0, 10.0, None, (), True, "/jobs/noop.py", "")


def statements(repository: SQLiteRepository, action: Callable[[], object]) -> set[str]:
    """Every statement that `action` executes, as it was written."""
    seen: set[str] = set()
    connection = repository.database.connection
    connection.set_trace_callback(seen.add)
    try:
        action()
    finally:
        connection.set_trace_callback(None)
    return {text for text in seen if not text.startswith(("BEGIN", "COMMIT", "PRAGMA", "--"))}


def verbs(repository: SQLiteRepository) -> dict[str, Callable[[], object]]:
    """Everything that is done with a file, by its name."""
    past, lanes = repository.history, repository.lanes
    ids = list(lanes.matching(None, None))
    tokens = itertools.count(TURNS * 50)

    def turn(code: int) -> None:
        repository.declarations.add([asked() for _ in range(3)], START)
        claimed = take(repository, next(tokens), 3)
        with repository.database.writing():
            ended = [(claim.id, START) for claim in claimed[:1]]
            repository.claims.started(claimed[0].token, ended)
        settle(repository, claimed, code)

    def recover() -> None:
        repository.declarations.add([asked() for _ in range(3)], START)
        claimed = take(repository, 40 * TURNS, 3)
        with repository.database.writing():
            repository.claims.started(claimed[0].token, [(claimed[0].id, START)])
            repository.claims.put_back(40, START)

    def one() -> None:
        record = past.one(1)
        assert record is not None
        past.attempts(record)
        past.ahead(record, START)

    def retry() -> None:
        repository.declarations.retry([past.newest(Status.FAILED, None, None, 1)[0].id], START)

    purge = repository.declarations.purge
    found: dict[str, Callable[[], object]] = {
        "declare": lambda: repository.declarations.add([asked()] * 3, START),
        "complete": lambda: turn(1),
        "fail": lambda: turn(2),
        "return": lambda: turn(0),
        "recover": recover,
        "waiting": lambda: lanes.waiting(Taking()),
        "next due": lambda: lanes.next_due(itertools.chain(*lanes.waiting(Taking()))),
        "tallies": lanes.tallies,
        "tallies of one": lambda: lanes.tallies("default"),
        "longest waiting": lambda: past.longest_waiting(None, START),
        "one": one,
        "retry": retry,
        "retry failed": lambda: repository.declarations.retry_failed(ids, START - 1e6),
        "through the door": lambda: repository.database.execute(
            "INSERT INTO declare (job) VALUES ('noop')"
        ),
    }
    for status in (Status.PENDING, Status.COMPLETED, Status.FAILED):
        found[f"purge {status}"] = partial(purge, ids, status, START - 1e6)
    filters = itertools.product((None, *Status), (None, "default"), (None, "noop"))
    for wanted, queue, name in filters:
        found[f"newest {wanted} {queue} {name}"] = partial(past.newest, wanted, queue, name, 20)
    return found


VERBS = [
    "declare", "complete", "fail", "return", "recover", "waiting", "next due", "tallies",
    "tallies of one", "longest waiting", "one", "retry", "retry failed", "through the door",
    *(f"purge {status}" for status in ("pending", "completed", "failed")),
    *(
        f"newest {status} {queue} {name}"
        for status in (None, *Status) for queue in (None, "default") for name in (None, "noop")
    ),
]  # fmt: skip


def filled(path: Path, count: int) -> SQLiteRepository:
    """A file with so many jobs of each status that a worker does not hold, and three that one does.

    Jobs of the past are written by SQL, in a moment.
    """
    repository = SQLiteRepository(str(path))
    repository.database.durable(False)
    repository.catalog.record("", {}, (), [SPEC])
    repository.declarations.add([asked()] * 3, START)
    take(repository, TURNS)
    repository.declarations.add([asked() for _ in range(count)], START)
    [lane] = repository.lanes.matching(None, None)
    database = repository.database
    with database.writing():
        for code, column in ((1, "completed"), (2, "failed")):
            database.execute(
                "INSERT INTO declaration (lane, status, declared_at, due_at, payload, retries,"
                " retry_after, attempt, started_at, finished_at)"
                " SELECT lane, ?, declared_at, due_at, payload, 0, 10, 1, due_at, due_at + id"
                " FROM declaration WHERE id BETWEEN 4 AND 3 + ?",
                (code, count),
            )
            database.execute(f"UPDATE lane SET {column} = ? WHERE id = ?", (count, lane))
        database.execute(
            "INSERT INTO attempt SELECT id, 1, 1, started_at, finished_at, 0, 'no', NULL"
            " FROM declaration WHERE status = 2"
        )
    return repository


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteRepository]:
    repository = filled(tmp_path_factory.mktemp("small") / "q.db", 300)
    yield repository
    repository.close()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists look one by one at the newest hundred only, not at as many as a test's file holds."""
    monkeypatch.setattr(history, "EXACT_ROWS", 100)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteRepository]:
    repository = filled(tmp_path_factory.mktemp("large") / "q.db", 15_000)
    yield repository
    repository.close()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.usefixtures("narrow")
def test_no_statement_of_a_verb_goes_through_all_declarations(
    small: SQLiteRepository, verb: str
) -> None:
    seen = statements(small, verbs(small)[verb])
    assert seen
    explained = {
        text: [row[3] for row in small.database.execute(f"EXPLAIN QUERY PLAN {text}")]
        for text in seen
    }
    for text, plan in explained.items():
        for step in plan:
            if re.search(r"ORDER BY d\.id DESC LIMIT", text):
                continue  # reads ids backwards and stops at its limit; measured below
            assert not re.match(r"SCAN (declaration|d|pending|p|attempt)\b", step), text


def test_a_claim_reads_its_lane_in_the_order_of_the_index_and_sorts_nothing(
    small: SQLiteRepository,
) -> None:
    seen = statements(small, verbs(small)["complete"])
    [ready] = [text for text in seen if "FROM pending AS p" in text]
    plan = [row[3] for row in small.database.execute(f"EXPLAIN QUERY PLAN {ready}")]
    assert plan == [
        "SEARCH p USING PRIMARY KEY (lane=? AND due_at<?)",
        "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)",
    ]


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_lists_of_ended_jobs_come_from_their_index_in_order(
    small: SQLiteRepository, status: Status
) -> None:
    seen = statements(small, lambda: small.history.newest(status, None, None, 500))
    [query] = [text for text in seen if "finished_at DESC" in text]
    plan = [row[3] for row in small.database.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert plan[0].startswith("SEARCH d USING INDEX settled (lane=? AND status=?")
    assert not any(step.startswith("USE TEMP B-TREE") for step in plan)


def cost(repository: SQLiteRepository, action: Callable[[], object]) -> int:
    """How many hundreds of steps SQLite takes for it."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = repository.database.connection
    connection.set_progress_handler(count, 100)
    try:
        action()
    finally:
        connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.usefixtures("narrow")
def test_a_verb_costs_no_more_in_a_file_with_fifty_times_the_jobs(
    small: SQLiteRepository, large: SQLiteRepository, verb: str
) -> None:
    less, more = (cost(repository, verbs(repository)[verb]) for repository in (small, large))
    # The window may be gone through to its end in the one, and not in the other.
    assert more <= 1.5 * less + 30


# Locks that tell the living from the dead.


def private(folder: Path) -> str:
    """A file of mode 0600, whose owner and mode a lock is to have."""
    path = folder / "like this"
    path.touch(0o600)
    return str(path)


def test_a_lock_is_held_until_the_last_holder_lets_go(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    assert not held(path)
    first = hold(path, private(tmp_path))
    second = os.dup(first)
    assert held(path)
    os.close(first)
    assert held(path)
    os.close(second)
    assert not held(path)
    assert mode(path) == 0o600


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys; from prokerja.repository.sqlite.lock import hold;"
        " hold(*sys.argv[1:]); print(); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path), private(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    assert held(str(path))
    holder.kill()
    holder.communicate()
    assert not held(str(path))


PROBE = """
import os, sys
from prokerja.repository.sqlite.lock import held
os.write(1, b".")
sys.stdin.read()
print(sum(held(sys.argv[1]) for _ in range(20_000)))
"""


def test_two_who_look_at_a_dead_workers_lock_at_once_both_see_that_it_is_dead(
    tmp_path: Path,
) -> None:
    """Else a report that looks just then makes a worker believe that its dead neighbour lives."""
    path = tmp_path / "lock"
    os.close(hold(str(path), private(tmp_path)))
    probes = [
        subprocess.Popen(
            [sys.executable, "-c", PROBE, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        for _ in range(2)
    ]
    for probe in probes:
        assert probe.stdout is not None
        probe.stdout.read(1)
    for probe in probes:
        assert probe.stdin is not None
        probe.stdin.close()
    wrong = []
    for probe in probes:
        assert probe.stdout is not None
        wrong.append(int(probe.stdout.read()))
        probe.stdout.close()
        probe.wait()
    assert wrong == [0, 0]


def test_a_worker_on_the_books_lives_as_long_as_its_lock(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    first, lock = repository.registry.register(11, START, 2, Taking(("mail",), ["noop"], ["/jobs"]))
    second, other = repository.registry.register(12, START + 1, 1, Taking((), ()))
    assert second > first
    assert [worker.pid for worker in repository.registry.living()] == [11, 12]
    taking = Taking(("mail",), ("noop",), ("/jobs",))
    assert repository.registry.all()[0][1:] == (11, START, 2, taking)
    os.close(lock)
    assert [worker.pid for worker in repository.registry.living()] == [12]
    with repository.database.writing():
        repository.registry.delete([first])
    repository.registry.delete_lock(first)
    repository.registry.unregister(Membership(second, other))
    assert repository.registry.all() == []
    assert not list(path.parent.glob("*-worker-*"))
    third, last = repository.registry.register(13, START, 1, Taking((), ()))
    assert third > second, "a worker's id is part of its tokens and never used again"
    repository.registry.unregister(Membership(third, last))
    repository.close()


# Waking up.


def test_a_write_of_another_process_wakes_who_waits(path: Path) -> None:
    declare(path)
    repository = SQLiteRepository(str(path))
    watch = Watch(repository.path)
    assert not watch.drain()
    script = f"""
        from prokerja.model import Declaration, Lane
        from prokerja.repository.sqlite.repository import SQLiteRepository
        SQLiteRepository({str(path)!r}).declarations.add(
            [Declaration(Lane("q", "n", 0), "{{}}", 0.0, 0, 1.0, None)], 2e9)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    other = subprocess.Popen(command, cwd=ROOT)
    watch.wait(60)
    assert other.wait() == 0
    assert [tally.pending for tally in repository.lanes.tallies()] == [1, 1]
    watch.close()
    repository.close()


def test_a_reader_wakes_nobody(path: Path) -> None:
    declare(path)
    repository, other = SQLiteRepository(str(path)), SQLiteRepository(str(path))
    watch = Watch(repository.path)
    with other.database.reading():
        other.lanes.tallies()
    other.close()
    watch.drain()
    if watch.fileno() >= 0:
        os.set_blocking(watch.fileno(), False)
        with pytest.raises(BlockingIOError):
            os.read(watch.fileno(), 4096)
    watch.close()
    repository.close()


def test_the_death_of_a_worker_wakes_who_watches_its_lock(path: Path) -> None:
    repository = SQLiteRepository(str(path))
    id, lock = repository.registry.register(1, START, 1, Taking((), ()))
    watch = Watch(repository.path)
    watch.drain()
    watch.locks([repository.registry.lock_path(id), str(path) + "-worker-99"])
    assert repository.registry.alive(id)
    assert not watch.drain() or watch.fileno() < 0
    os.close(lock)
    watch.wait(60) if watch.fileno() < 0 else None
    assert watch.drain()
    watch.close()
    repository.close()


def test_a_database_in_memory_wakes_who_waits_by_a_poke() -> None:
    watch = Watch(":memory:")
    for _ in range(100_000):  # more than a pipe holds
        watch._poke()
    watch.wait(60)
    watch.close()


def test_a_database_in_memory_works_like_any_other() -> None:
    repository = SQLiteRepository(":memory:")
    assert list(repository.declarations.add([asked()], START)) == [1]
    settle(repository, take(repository, TURNS), 1)
    assert [tally.completed for tally in repository.lanes.tallies()] == [1]
    id, lock = repository.registry.register(1, START, 1, Taking((), ()))
    assert lock == -1
    assert repository.registry.alive(id)
    repository.registry.unregister(Membership(id, lock))
    repository.close()


def test_two_databases_in_memory_have_nothing_in_common() -> None:
    one, other = SQLiteRepository(":memory:"), SQLiteRepository(":memory:")
    one.declarations.add([asked()], START)
    assert other.lanes.tallies() == []
    one.close()
    other.close()


def test_busy_is_told_as_try_again(path: Path) -> None:
    one, other = SQLiteRepository(str(path)), SQLiteRepository(str(path))
    other.database.patience = 0.0
    with one.database.writing(), pytest.raises(TryAgain, match="locked by another process; try ag"):
        other.declarations.add([asked()], START)
    assert list(other.declarations.add([asked()], START)) == [1]
    one.close()
    other.close()
