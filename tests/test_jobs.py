"""The jobs that ship with the project: real files, a real database, a real mail server."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import random
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import send_email
from jobs.backup_database import BackupDatabase
from jobs.checksum_file import ALGORITHMS, ChecksumFile
from jobs.compress_file import CompressFile
from jobs.noop import Noop
from jobs.send_email import SendEmail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from prokerja import Job

NOISE = random.Random(1).randbytes(300_000)

LIMITED = """
import resource, signal, sys
how, module, name, payload = sys.argv[1:]
if how == "killed":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""

RUN = """
import importlib, json, sys
module, name, payload = sys.argv[-3:]
job = getattr(importlib.import_module(module), name)(**json.loads(payload))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    job.handle()
"""

WRITE = """
import sqlite3, sys, threading
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set())).start()
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA synchronous = OFF")
print("ready", flush=True)
while not stop.is_set():
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO entry VALUES ('debit', -7)")
    db.execute("INSERT INTO entry VALUES ('credit', 7)")
    db.execute("COMMIT")
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another Python that imports what this one imports."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_job(code: str, job: Job, *arguments: str) -> subprocess.Popen[str]:
    """Another Python with this job, rebuilt from its payload."""
    cls = type(job)
    return start(code, *arguments, cls.__module__, cls.__name__, json.dumps(job.payload()))


def is_ready(process: subprocess.Popen[str]) -> bool:
    """Wait for the child's word."""
    assert process.stdout
    return process.stdout.readline() == "ready\n"


def go(process: subprocess.Popen[str]) -> None:
    """Release a waiting child."""
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def files_below(directory: Path) -> list[str]:
    """Every file, hidden and unfinished ones too."""
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A file that gzip cannot make smaller."""
    path = tmp_path / "noise.bin"
    path.write_bytes(NOISE)
    return path


# What every job keeps


JOBS: list[Job] = [
    Noop(n=1),
    ChecksumFile("/a"),
    CompressFile("/a", "/b"),
    BackupDatabase("/a", "/b"),
    SendEmail("a@example.com", "Hi", "there"),
]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: type(job).__name__)
def test_a_job_is_rebuilt_from_its_payload_as_json(job: Job) -> None:
    assert type(job)(**json.loads(json.dumps(job.payload()))) == job


@pytest.mark.parametrize("job", JOBS, ids=lambda job: type(job).__name__)
def test_the_first_line_of_a_docstring_is_short_and_whole(job: Job) -> None:
    first = (type(job).__doc__ or "").splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= 72


def test_noop_does_nothing() -> None:
    Noop().handle()
    Noop(n=3).handle()


# checksum_file


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_is_the_one_hashlib_gives(noise: Path, algorithm: str) -> None:
    assert ChecksumFile(str(noise), algorithm).handle() == {
        "path": str(noise),
        "algorithm": algorithm,
        "digest": hashlib.new(algorithm, NOISE).hexdigest(),
        "bytes": len(NOISE),
    }


def test_an_empty_file_has_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    result = ChecksumFile(str(path)).handle()
    assert (result["digest"], result["bytes"]) == (hashlib.sha256().hexdigest(), 0)


@pytest.mark.parametrize("algorithm", ["sha257", "SHA256", "shake_128", ""])
def test_an_unknown_algorithm_names_the_known_ones(noise: Path, algorithm: str) -> None:
    with pytest.raises(ValueError, match=r"use one of: blake2b, .*sha256"):
        ChecksumFile(str(noise), algorithm).handle()


# What the jobs on files refuse


def job_on(kind: type[Job], path: Path, into: Path) -> Job:
    """The job on that path, with a directory to write to if it takes one."""
    payload = {"path": str(path), "into": str(into)}
    if kind is ChecksumFile:
        del payload["into"]
    return kind(**payload)


ON_FILES = pytest.mark.parametrize("kind", [ChecksumFile, CompressFile, BackupDatabase])


@ON_FILES
def test_a_missing_file_is_reported_and_not_created(kind: type[Job], tmp_path: Path) -> None:
    missing, into = tmp_path / "missing", tmp_path / "into"
    with pytest.raises(FileNotFoundError, match=rf"{missing}, .* give its absolute path"):
        job_on(kind, missing, into).handle()
    assert list(tmp_path.iterdir()) == []


@ON_FILES
def test_a_directory_is_refused(kind: type[Job], tmp_path: Path) -> None:
    with pytest.raises((IsADirectoryError, ValueError), match=r"directory|not a file"):
        job_on(kind, tmp_path, tmp_path / "into").handle()
    assert list(tmp_path.iterdir()) == []


@ON_FILES
def test_a_pipe_is_refused_rather_than_waited_for(kind: type[Job], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="give "):
        job_on(kind, pipe, tmp_path / "into").handle()
    assert list(tmp_path.iterdir()) == [pipe]


@ON_FILES
def test_a_relative_path_is_reported_as_where_it_was_looked_for(kind: type[Job]) -> None:
    with pytest.raises(FileNotFoundError, match=str(Path.cwd() / "not-here")):
        job_on(kind, Path("not-here"), Path("into")).handle()


@pytest.mark.parametrize("kind", [CompressFile, BackupDatabase])
def test_a_file_is_no_place_to_put_files_into(kind: type[Job], noise: Path) -> None:
    with pytest.raises(NotADirectoryError, match="give a directory"):
        job_on(kind, noise, noise).handle()
    assert noise.read_bytes() == NOISE


# compress_file


def test_a_compressed_file_lies_below_its_absolute_path(noise: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    result = CompressFile(str(noise), str(into)).handle()
    target = Path(f"{into}{noise}.gz")
    assert result == {
        "path": str(target),
        "bytes_in": len(NOISE),
        "bytes_out": target.stat().st_size,
    }
    assert gzip.decompress(target.read_bytes()) == NOISE
    assert files_below(into) == [str(target.relative_to(into))]


def test_files_of_the_same_name_do_not_collide(tmp_path: Path) -> None:
    into = tmp_path / "into"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "abc.py").write_text(name)
    paths = [
        CompressFile(str(tmp_path / name / "abc.py"), str(into)).handle()["path"]
        for name in ("one", "two")
    ]
    assert [gzip.decompress(Path(path).read_bytes()) for path in paths] == [b"one", b"two"]


def test_dots_in_a_path_cannot_lead_out_of_the_directory(noise: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    roundabout = f"{tmp_path}/../../../../..{noise}"
    assert CompressFile(roundabout, str(into)).handle()["path"] == f"{into}{noise}.gz"


def test_a_copy_has_the_time_and_permissions_of_its_source(noise: Path, tmp_path: Path) -> None:
    noise.chmod(0o640)
    os.utime(noise, ns=(1, 1_234_567_890_123_456_789))
    target = Path(CompressFile(str(noise), str(tmp_path / "into")).handle()["path"])
    assert target.stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    with gzip.open(target) as packed:
        packed.read()
        assert packed.mtime == 1_234_567_890


def test_a_copy_is_as_hard_to_reach_as_its_source(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "secret").write_text("x")
    target = Path(CompressFile(str(private / "secret"), str(tmp_path / "into")).handle()["path"])
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("seconds", [-1_000, 2**33])
def test_a_time_that_gzip_cannot_hold_is_no_obstacle(
    noise: Path, tmp_path: Path, seconds: int
) -> None:
    os.utime(noise, (seconds, seconds))
    target = Path(CompressFile(str(noise), str(tmp_path / "into")).handle()["path"])
    assert gzip.decompress(target.read_bytes()) == NOISE
    assert target.stat().st_mtime == seconds


def test_a_repeat_changes_no_byte(noise: Path, tmp_path: Path) -> None:
    job = CompressFile(str(noise), str(tmp_path / "into"))
    first = job.handle()
    before = Path(first["path"]).read_bytes()
    assert job.handle() == first
    assert Path(first["path"]).read_bytes() == before


@pytest.mark.parametrize("level", [-1, 10])
def test_a_level_that_gzip_does_not_have_is_refused(
    noise: Path, tmp_path: Path, level: int
) -> None:
    with pytest.raises(ValueError, match=rf"no level {level}; use 0 .* to 9"):
        CompressFile(str(noise), str(tmp_path / "into"), level).handle()
    assert not (tmp_path / "into").exists()


@settings(deadline=None, max_examples=50)
@given(content=st.binary(max_size=2_000), level=st.integers(0, 9))
def test_what_is_compressed_comes_back(content: bytes, level: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "source")
        source.write_bytes(content)
        result = CompressFile(str(source), f"{directory}/into", level).handle()
        assert gzip.decompress(Path(result["path"]).read_bytes()) == content
        assert result["bytes_in"] == len(content)


def test_processes_that_compress_the_same_file_at_once_all_succeed(
    noise: Path, tmp_path: Path
) -> None:
    into = tmp_path / "into"
    job = CompressFile(str(noise), str(into))
    target = Path(f"{into}{noise}.gz")
    with start_job(RUN, job) as one, start_job(RUN, job) as two:
        both = (one, two)
        assert all(is_ready(process) for process in both)
        for process in both:
            go(process)
        while any(process.poll() is None for process in both):
            assert not target.exists() or gzip.decompress(target.read_bytes()) == NOISE
        assert [process.communicate()[1] for process in both] == ["", ""]
    assert gzip.decompress(target.read_bytes()) == NOISE
    assert files_below(into) == [str(target.relative_to(into))]


# Where the disk ends, and where a worker does


def large_database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE noise (data BLOB)")
        db.execute("INSERT INTO noise VALUES (?)", [NOISE])
    return path


def job_on_something_large(kind: type[Job], tmp_path: Path) -> Job:
    """More than a LIMITED process may write."""
    return job_on(kind, large_database(tmp_path / "large.db"), tmp_path / "into")


@pytest.mark.parametrize("kind", [CompressFile, BackupDatabase])
def test_a_disk_that_takes_no_more_leaves_no_file(kind: type[Job], tmp_path: Path) -> None:
    with start_job(LIMITED + RUN, job_on_something_large(kind, tmp_path), "refused") as process:
        _, errors = process.communicate("go\n")
    assert process.returncode == 1
    assert "File too large" in errors or "disk" in errors
    assert files_below(tmp_path / "into") == []


@pytest.mark.parametrize("kind", [CompressFile, BackupDatabase])
def test_what_a_killed_attempt_left_is_gone_after_the_next(kind: type[Job], tmp_path: Path) -> None:
    job = job_on_something_large(kind, tmp_path)
    with start_job(LIMITED + RUN, job, "killed") as process:
        process.communicate("go\n")
    assert process.returncode < 0
    assert len(files_below(tmp_path / "into")) == 1
    target = Path(job.handle()["path"])
    assert files_below(tmp_path / "into") == [str(target.relative_to(tmp_path / "into"))]


# backup_database


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Path]:
    """A database in WAL mode that is open elsewhere, its rows still in the WAL."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE entry (kind TEXT, amount INTEGER)")
        enter(path, "opening", 0)
        yield path


def enter(path: Path, kind: str, amount: int) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO entry VALUES (?, ?)", [kind, amount])


def rows(path: str) -> tuple[int, int]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
        count, total = db.execute("SELECT count(*), sum(amount) FROM entry").fetchone()
        return count, total


def test_a_backup_is_private_and_holds_what_was_committed(ledger: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    result = BackupDatabase(str(ledger), str(into)).handle()
    path = Path(result["path"])
    assert rows(result["path"]) == (1, 0)
    assert result["bytes"] == path.stat().st_size == result["pages"] * 4096
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(into.iterdir()) == [path]
    assert path.match("ledger-????????T??????Z-????????????.db")


def test_a_backup_of_an_unchanged_database_is_renewed_and_no_other_touched(
    ledger: Path, tmp_path: Path
) -> None:
    job = BackupDatabase(str(ledger), str(tmp_path / "into"))
    first = job.handle()
    assert job.handle() == first
    enter(ledger, "debit", -7)
    second = job.handle()
    assert rows(first["path"]) == (1, 0)
    assert rows(second["path"]) == (2, -7)


def test_databases_of_the_same_name_have_backups_of_their_own(tmp_path: Path) -> None:
    paths = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        source = large_database(tmp_path / name / "app.db")
        os.utime(source, (1_000_000_000, 1_000_000_000))
        paths.add(BackupDatabase(str(source), str(tmp_path / "into")).handle()["path"])
    assert len(paths) == 2
    assert all("app-20010909T014640Z-" in path for path in paths)


def test_backups_are_whole_while_another_process_writes(ledger: Path, tmp_path: Path) -> None:
    job = BackupDatabase(str(ledger), str(tmp_path / "into"))
    seen: set[tuple[int, int]] = set()
    with start(WRITE, str(ledger)) as writer:
        assert is_ready(writer)
        while len(seen) < 4:
            seen.add(rows(job.handle()["path"]))
        assert writer.communicate()[1] == ""
    assert all(count % 2 == 1 and total == 0 for count, total in seen)


def test_an_open_transaction_is_not_in_the_backup(ledger: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("INSERT INTO entry VALUES ('debit', -7)")
        assert db.in_transaction
        result = BackupDatabase(str(ledger), str(tmp_path / "into")).handle()
    assert rows(result["path"]) == (1, 0)


def test_a_database_that_stays_locked_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.backup_database.BUSY_SECONDS", 0)
    source = large_database(tmp_path / "app.db")
    with closing(sqlite3.connect(source)) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RuntimeError, match=r"app\.db was not backed up: database is locked; "):
            BackupDatabase(str(source), str(tmp_path / "into")).handle()
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("content", [b"", b"x", b"no database " * 1000])
def test_a_file_that_is_no_database_leaves_nothing_behind(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "notes.txt"
    source.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.txt is no SQLite database; give "):
        BackupDatabase(str(source), str(tmp_path / "into")).handle()
    assert files_below(tmp_path) == ["notes.txt"]
    assert source.read_bytes() == content


def test_a_damaged_database_is_no_backup(tmp_path: Path) -> None:
    source = tmp_path / "app.db"
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("CREATE TABLE word (text TEXT UNIQUE)")
        db.executemany("INSERT INTO word VALUES (?)", [(f"word {n}",) for n in range(2_000)])
    content = bytearray(source.read_bytes())
    content[4 * 4096 : 5 * 4096] = NOISE[:4096]
    source.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"was not backed up: .* check that it is not locked, "):
        BackupDatabase(str(source), str(tmp_path / "into")).handle()
    assert files_below(tmp_path) == ["app.db"]


def test_names_with_odd_characters_are_backed_up_too(tmp_path: Path) -> None:
    source = large_database(tmp_path / "100% säfe? #1.db")
    result = BackupDatabase(str(source), str(tmp_path / "into?mode=memory")).handle()
    assert Path(result["path"]).parent == tmp_path / "into?mode=memory"
    assert Path(result["path"]).read_bytes()[:6] == b"SQLite"


# send_email


KEY_OF_THIS_TEST_ONLY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBa9B7Ge75Wk8XCIW
cXCUBa4lunhLnhh6YmDE5w6QRWyhRANCAAQi6PVHu6P9w5tcHUx+AtbnkqacLtXa
kmMhliZXn3jyQLDHt7zQgjoyzPRLKDe1D3dxMg5MA1CBpiM/pldoYHEZ
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBnzCCAUagAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1wcm9rZXJq
YSB0ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1wcm9rZXJqYSB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEIuj1
R7uj/cObXB1MfgLW55KmnC7V2pJjIZYmV5948kCwx7e80II6Msz0Syg3tQ93cTIO
TANQgaYjP6ZXaGBxGaN/MH0wHQYDVR0OBBYEFML6eJbjZCzMA1ENK4DNBLh3z4Ms
MB8GA1UdIwQYMBaAFML6eJbjZCzMA1ENK4DNBLh3z4MsMA8GA1UdEwEB/wQFMAMB
Af8wDgYDVR0PAQH/BAQDAgKEMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAK
BggqhkjOPQQDAgNHADBEAiBadxo+sFdKthhnK4GJAvbfKEEiFp/lh14PYOxIWmFo
hQIgDjEds3renaImMmwzI6txjsHuBh1m7W744Go3zzVhJqs=
-----END CERTIFICATE-----
"""
"""A self-signed certificate for localhost, valid until 2120; it protects nothing."""

HEADERS = {
    "From",
    "To",
    "Subject",
    "Message-ID",
    "Date",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
}


class Mailbox:
    """What the mail server received; it knows nobody whose name starts with `nobody`."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.hangs_up = False

    @property
    def messages(self) -> list[EmailMessage]:
        contents = [envelope.original_content or b"" for envelope in self.envelopes]
        return [message_from_bytes(content, policy=default) for content in contents]

    def log_in(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, login: Any
    ) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self.logins.append((login.login, login.password))
        return AuthResult(success=login.password == b"opensesame", handled=False)

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.envelopes.append(envelope)
        if self.hangs_up:
            assert server.transport
            server.loop.call_soon(server.transport.close)
        return "250 OK"


class AnyPort(Controller):
    """On a port that the system chose."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail_server(mailbox: Mailbox, **options: Any) -> Iterator[str]:
    """A real SMTP server on loopback; gives its port."""
    controller = AnyPort(
        mailbox, hostname="127.0.0.1", port=0, authenticator=mailbox.log_in, **options
    )
    controller.start()
    try:
        yield str(controller.port)
    finally:
        controller.stop()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No mail settings but the test's own."""
    for name in ("HOST", "PORT", "TLS", "USER", "PASSWORD", "SENDER"):
        monkeypatch.delenv(f"PROKERJA_SMTP_{name}", raising=False)


@pytest.fixture
def server(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mail server that the environment points to."""
    with mail_server(mailbox, enable_SMTPUTF8=True, auth_require_tls=False) as port:
        monkeypatch.setenv("PROKERJA_SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("PROKERJA_SMTP_PORT", port)
        yield


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server encrypts with, trusted by this process."""
    pem = tmp_path / "server.pem"
    pem.write_text(KEY_OF_THIS_TEST_ONLY)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context


def text_of(message: EmailMessage) -> str:
    """The body; line ends travel as CR LF."""
    return str(message.get_content()).replace("\r\n", "\n")


def mail(**fields: Any) -> SendEmail:
    """A mail that is fine except for what the test says."""
    usual = {"to": "ann@example.com", "subject": "Hi", "body": "All well.", "sender": "me@here.org"}
    return SendEmail(**{**usual, **fields})


@pytest.mark.usefixtures("server")
def test_a_mail_arrives_as_it_was_written(mailbox: Mailbox) -> None:
    result = mail(subject="Grüße aus Köln ☀", body="Schön war's.\n.\nFrom here on\n").handle()
    (message,) = mailbox.messages
    assert message["To"] == "ann@example.com"
    assert message["From"] == "me@here.org"
    assert message["Subject"] == "Grüße aus Köln ☀"
    assert text_of(message) == "Schön war's.\n.\nFrom here on\n"
    assert result == {"message_id": message["Message-ID"], "refused": []}
    assert set(message.keys()) == HEADERS


@pytest.mark.usefixtures("server")
def test_long_lines_and_long_names_arrive_whole(mailbox: Mailbox) -> None:
    domain = ".".join(["long" * 10] * 5)
    result = mail(subject="ö " * 300, body="x" * 5_000, sender=f"me@{domain}").handle()
    (message,) = mailbox.messages
    assert text_of(message) == "x" * 5_000 + "\n"
    assert message["Subject"].split() == ["ö"] * 300
    assert message["Message-ID"] == result["message_id"]
    assert result["message_id"].endswith(f"@{domain}>")


@pytest.mark.usefixtures("server")
def test_everyone_addressed_gets_one_copy(mailbox: Mailbox) -> None:
    mail(to='Zoë <zoe@example.com>, "Li, Bo" <bo@example.com>, zoe@example.com').handle()
    (envelope,) = mailbox.envelopes
    assert envelope.rcpt_tos == ["zoe@example.com", "bo@example.com"]
    assert envelope.mail_from == "me@here.org"


@pytest.mark.usefixtures("server")
def test_an_address_may_have_letters_beyond_ascii(mailbox: Mailbox) -> None:
    mail(to="zoë@bücher.example").handle()
    assert mailbox.envelopes[0].rcpt_tos == ["zoë@bücher.example"]


@pytest.mark.usefixtures("server")
def test_the_sender_comes_from_the_environment_unless_given(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail(sender="").handle()
    monkeypatch.setenv("PROKERJA_SMTP_SENDER", "Worker <worker@here.org>")
    mail(sender="").handle()
    mail().handle()
    whose = [envelope.mail_from or "" for envelope in mailbox.envelopes]
    assert "@" in whose[0]
    assert whose[1:] == ["worker@here.org", "me@here.org"]


def test_the_payload_names_another_server_than_the_environment(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROKERJA_SMTP_HOST", "192.0.2.1")
    with mail_server(mailbox) as port:
        mail(host="127.0.0.1", port=int(port)).handle()
    assert len(mailbox.messages) == 1


INJECTIONS = [
    "Hi\nBcc: eve@example.com",
    "Hi\r\nBcc: eve@example.com",
    "Hi\rthere",
    "Hi\u2028there",
    "Hi\x00",
    "=?utf-8?q?Hi=0ABcc:_eve=40example.com?=",
    "=?utf-8?b?SGkKQmNjOiBldmVAZXhhbXBsZS5jb20=?=",
]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("field", ["to", "subject", "sender"])
@pytest.mark.parametrize("text", INJECTIONS)
def test_a_header_cannot_be_smuggled_in(mailbox: Mailbox, field: str, text: str) -> None:
    value = text if field == "subject" else f"{text} <ann@example.com>"
    with pytest.raises(ValueError, match=r"take it out|write name@|cannot contain CR or LF"):
        mail(**{field: value}).handle()
    assert mailbox.messages == []


@settings(deadline=None, max_examples=60)
@given(subject=st.text(max_size=60))
def test_whatever_the_subject_it_arrives_or_is_refused(subject: str) -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        try:
            mail(subject=subject, host="127.0.0.1", port=int(port)).handle()
        except ValueError as error:
            assert "control character; take it out" in str(error)  # noqa: PT017
            return
    (message,) = mailbox.messages
    assert set(message.keys()) == HEADERS
    assert str(message["Subject"]).split() == subject.split()


@pytest.mark.parametrize("to", ["", "ann", "ann@", "@example.com", "a@b.c d@e.f", "<>", "a b", ","])
def test_what_is_no_address_is_refused(to: str) -> None:
    with pytest.raises(ValueError, match=r"is no e-mail address; write name@example\.com"):
        mail(to=to).handle()


def test_only_one_can_send_a_mail() -> None:
    with pytest.raises(ValueError, match="several addresses; give one sender"):
        mail(sender="a@example.com, b@example.com").handle()


@pytest.mark.usefixtures("server")
def test_a_given_message_id_is_the_same_in_a_repeat(mailbox: Mailbox) -> None:
    job = mail(message_id="backup-42@here.org")
    assert job.handle() == job.handle() == {"message_id": "<backup-42@here.org>", "refused": []}
    assert [message["Message-ID"] for message in mailbox.messages] == ["<backup-42@here.org>"] * 2


@pytest.mark.usefixtures("server")
def test_equal_mails_have_message_ids_of_their_own() -> None:
    assert mail().handle()["message_id"] != mail().handle()["message_id"]


@pytest.mark.parametrize("message_id", ["x", "a@b c", "a@b>\nBcc: e@f", "ä@b"])
def test_what_is_no_message_id_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="is no Message-ID; write one like"):
        mail(message_id=message_id).handle()


@pytest.mark.usefixtures("server")
def test_recipients_that_the_server_refuses_are_reported_though_others_got_the_mail(
    mailbox: Mailbox,
) -> None:
    result = mail(to="ann@example.com, nobody@example.com").handle()
    assert result["refused"] == [{"address": "nobody@example.com", "reason": "550 no such user"}]
    assert mailbox.envelopes[0].rcpt_tos == ["ann@example.com"]


@pytest.mark.usefixtures("server")
def test_a_mail_that_everyone_is_refused_fails(mailbox: Mailbox) -> None:
    with pytest.raises(RuntimeError, match=r"refused every recipient: .*550 no such user.*check"):
        mail(to="nobody@example.com").handle()
    assert mailbox.messages == []


@pytest.mark.usefixtures("server")
def test_a_server_that_hangs_up_after_taking_the_mail_is_forgiven(mailbox: Mailbox) -> None:
    mailbox.hangs_up = True
    mail().handle()
    assert len(mailbox.messages) == 1


def test_a_server_that_is_not_there_is_reported() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        with pytest.raises(ConnectionError, match=rf"mail server 127.0.0.1:{port}: .*check PROKER"):
            mail(host="127.0.0.1", port=port).handle()


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_email, "CONNECTION_SECONDS", 0.05)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ConnectionError, match="timed out; check PROKERJA_SMTP_HOST"),
    ):
        mail(host="127.0.0.1", port=silent.getsockname()[1]).handle()


@pytest.mark.parametrize("port", ["smtp", "-1", "0", "65536"])
def test_a_port_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PROKERJA_SMTP_PORT", port)
    with pytest.raises(ValueError, match=rf"'{port}' is no port; use 1 to 65535"):
        mail().handle()


def test_an_unknown_tls_mode_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="use one of: none, starttls, tls"):
        mail(tls="ssl").handle()


@pytest.mark.usefixtures("server")
def test_a_server_without_starttls_gets_no_mail_in_the_clear(mailbox: Mailbox) -> None:
    with pytest.raises(RuntimeError, match=r"STARTTLS.*check PROKERJA_SMTP_TLS"):
        mail(tls="starttls").handle()
    assert mailbox.messages == []


def test_starttls_encrypts_before_logging_in(
    mailbox: Mailbox, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROKERJA_SMTP_HOST", "localhost")
    monkeypatch.setenv("PROKERJA_SMTP_TLS", "starttls")
    monkeypatch.setenv("PROKERJA_SMTP_USER", "worker")
    monkeypatch.setenv("PROKERJA_SMTP_PASSWORD", "opensesame")
    with mail_server(mailbox, tls_context=context, require_starttls=True) as port:
        mail(port=int(port)).handle()
    assert mailbox.logins == [(b"worker", b"opensesame")]
    assert len(mailbox.messages) == 1


def test_tls_from_the_first_byte(mailbox: Mailbox, context: ssl.SSLContext) -> None:
    with mail_server(mailbox, ssl_context=context) as port:
        mail(host="127.0.0.1", port=int(port), tls="tls").handle()
    assert len(mailbox.messages) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(
    mailbox: Mailbox, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        mail_server(mailbox, tls_context=context) as port,
        pytest.raises(ConnectionError, match=r"certificate.*check PROKERJA_SMTP_HOST"),
    ):
        mail(host="127.0.0.1", port=int(port), tls="starttls").handle()
    assert mailbox.messages == []


@pytest.mark.usefixtures("server")
def test_a_wrong_password_is_reported_and_not_shown(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROKERJA_SMTP_USER", "worker")
    monkeypatch.setenv("PROKERJA_SMTP_PASSWORD", "guessed")
    with pytest.raises(RuntimeError, match=r"535.*PROKERJA_SMTP_PASSWORD") as caught:
        mail().handle()
    assert "guessed" not in str(caught.value)
    assert mailbox.messages == []


def test_a_payload_cannot_send_the_password_to_another_server(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROKERJA_SMTP_HOST", "mail.here.org")
    monkeypatch.setenv("PROKERJA_SMTP_USER", "worker")
    monkeypatch.setenv("PROKERJA_SMTP_PASSWORD", "opensesame")
    with mail_server(mailbox, auth_require_tls=False) as port:
        mail(host="127.0.0.1", port=int(port)).handle()
    assert mailbox.logins == []
    assert len(mailbox.messages) == 1


def test_the_password_is_no_part_of_the_payload() -> None:
    assert not {"user", "password"} & set(mail().payload())
