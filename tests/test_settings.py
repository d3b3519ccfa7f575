"""Settings: flags before environment before file before defaults, and what is wrong with a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from prokerja.directories import user_directory
from prokerja.errors import BadOption
from prokerja.notices import Rule, rule_of
from prokerja.settings import FILE, KEYS, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY = 86400.0
NOBODY = 65534


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working directory of its own, and nothing of ours in the environment."""
    for key in KEYS:
        monkeypatch.delenv(f"PROKERJA_{key.upper()}", raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    return home


@pytest.fixture
def config(own_home: Path) -> Path:
    """Where the configuration file belongs; its directory is there."""
    folder = Path(platformdirs.user_config_dir("prokerja", appauthor=False))
    assert folder.is_relative_to(own_home)
    folder.mkdir(parents=True)
    return folder / FILE


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may look into; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_without_a_word_everything_lies_where_the_system_keeps_such_things(own_home: Path) -> None:
    found = settings()
    data = platformdirs.user_data_dir("prokerja", appauthor=False)
    folder = platformdirs.user_config_dir("prokerja", appauthor=False)
    assert found.db == os.path.join(data, "prokerja.sqlite3")
    assert found.jobs == os.path.join(folder, "jobs")
    assert (found.jobs_named, found.keep_completed, found.keep_failed) == (False, 7 * DAY, 30 * DAY)
    assert Path(found.db).is_relative_to(own_home)


@pytest.mark.parametrize("home", ["/home/one", "/", "/home/one//", "", "one", "~", None])
@pytest.mark.parametrize("xdg", ["/elsewhere", "/elsewhere/", "", "elsewhere", "~/x", None])
def test_a_users_directories_are_those_that_platformdirs_names(
    monkeypatch: pytest.MonkeyPatch, home: str | None, xdg: str | None
) -> None:
    for name, value in (("HOME", home), ("XDG_CONFIG_HOME", xdg), ("XDG_DATA_HOME", xdg)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    for kind, find in (
        ("config", platformdirs.user_config_dir),
        ("data", platformdirs.user_data_dir),
    ):
        assert user_directory(kind) == os.path.normpath(find("prokerja", appauthor=False))


def test_asking_for_the_settings_makes_nothing(own_home: Path) -> None:
    settings()
    assert list(own_home.iterdir()) == []


def test_a_jobs_directory_right_here_comes_before_that_of_the_user() -> None:
    Path("jobs").mkdir()
    found = settings()
    assert found.jobs == os.path.abspath("jobs")
    assert not found.jobs_named


def test_a_file_called_jobs_is_no_jobs_directory() -> None:
    Path("jobs").touch()
    assert settings().jobs != os.path.abspath("jobs")


@pytest.mark.parametrize("key", ["db", "jobs"])
def test_a_flag_comes_before_the_environment_before_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    def found() -> str:
        path: str = getattr(settings(), key)
        return path

    default = found()
    config.write_text(f'{key} = "/from/file"')
    assert found() == "/from/file" != default
    monkeypatch.setenv(f"PROKERJA_{key.upper()}", "/from/environment")
    assert found() == "/from/environment"
    flagged = settings(**{key: "/from/flag"})
    assert getattr(flagged, key) == "/from/flag"


@pytest.mark.parametrize("key", ["keep_completed", "keep_failed"])
def test_for_how_long_to_keep_jobs_is_set_by_environment_or_file(
    config: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    other = ({"keep_completed", "keep_failed"} - {key}).pop()
    untouched = getattr(settings(), other)
    config.write_text(f'{key} = "12h"')
    assert getattr(settings(), key) == DAY / 2
    monkeypatch.setenv(f"PROKERJA_{key.upper()}", "90")
    assert getattr(settings(), key) == 90.0
    assert getattr(settings(), other) == untouched


def test_settings_from_different_places_go_together(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('jobs = "/file/jobs"\nkeep_failed = "1w"\ndb = "/file/db"')
    monkeypatch.setenv("PROKERJA_KEEP_COMPLETED", "0")
    found = settings(db="/flag/db")
    assert found[:6] == ("/flag/db", "/file/jobs", True, 0.0, 7 * DAY, 2**20)


@pytest.mark.parametrize("place", ["flag", "environment", "file"])
def test_a_jobs_directory_that_somebody_named_is_known_as_such(
    config: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "environment":
        monkeypatch.setenv("PROKERJA_JOBS", "there")
    elif place == "file":
        config.write_text('jobs = "there"')
    found = settings(jobs="there" if place == "flag" else None)
    assert found.jobs_named
    folder = config.parent if place == "file" else Path.cwd()
    assert found.jobs == str(folder / "there")


def test_an_empty_environment_variable_says_nothing(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('db = "/from/file"')
    for key in KEYS:
        monkeypatch.setenv(f"PROKERJA_{key.upper()}", "")
    found = settings()
    assert found.db == "/from/file"
    assert found.keep_completed == 7 * DAY


def test_an_empty_flag_never_leads_to_another_file_than_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in `prokerja report --db "$QUEUE"` where QUEUE is not set.
    monkeypatch.setenv("PROKERJA_DB", "/from/environment")
    try:
        found = settings(db="")
    except BadOption:
        return  # refusing it is as good
    assert found.db == "/from/environment"


@pytest.mark.parametrize("folder", ["work", "home"])
def test_paths_in_the_file_are_relative_to_it_wherever_it_is_read(
    config: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    config.write_text('db = "work.sqlite3"\njobs = "../more/jobs"')
    monkeypatch.chdir(own_home.parent / folder)
    assert settings().db == str(config.parent / "work.sqlite3")
    assert settings().jobs == str(config.parent.parent / "more/jobs")


def test_in_the_file_too_a_path_may_be_absolute_or_begin_at_home(
    config: Path, own_home: Path
) -> None:
    config.write_text('db = "~/work.sqlite3"\njobs = "/srv/jobs"')
    assert settings()[:2] == (str(own_home / "work.sqlite3"), "/srv/jobs")
    config.write_text('db = ":memory:"')
    assert settings().db == ":memory:"


@pytest.fixture
def _homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows this user."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("_homeless")
def test_a_user_without_a_home_may_name_all_that_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings("/srv/db", "/srv/jobs")[:3] == ("/srv/db", "/srv/jobs", True)
    monkeypatch.setenv("PROKERJA_DB", "/srv/db")
    assert settings()[:3] == ("/srv/db", os.path.abspath("jobs"), False)


@pytest.mark.usefixtures("_homeless")
@pytest.mark.parametrize("db", [None, "~", "~/work.sqlite3"])
def test_what_a_user_without_a_home_has_to_name_is_reported(db: str | None) -> None:
    with pytest.raises(BadOption, match=f"uid {os.getuid()} has no home directory and HOME is not"):
        settings(db)
    assert not Path("~").exists()


def test_paths_are_made_absolute_and_the_tilde_is_home(own_home: Path) -> None:
    found = settings(db="~/here/q.db", jobs="../jobs")
    assert found.db == str(own_home / "here" / "q.db")
    assert found.jobs == str(Path.cwd().parent / "jobs")


@pytest.mark.parametrize("place", ["flag", "environment", "file"])
def test_a_database_in_memory_stays_one(
    config: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "environment":
        monkeypatch.setenv("PROKERJA_DB", ":memory:")
    elif place == "file":
        config.write_text('db = ":memory:"')
    assert settings(db=":memory:" if place == "flag" else None).db == ":memory:"


@pytest.mark.parametrize("text", ["soon", "-1", "1y", "101w5d", "36501d"])
@pytest.mark.parametrize("key", ["keep_completed", "keep_failed"])
def test_a_bad_duration_is_refused_under_its_key(
    config: Path, monkeypatch: pytest.MonkeyPatch, key: str, text: str
) -> None:
    config.write_text(f'{key} = "{text}"')
    with pytest.raises(BadOption, match=rf"^{key}: .*; write "):
        settings()
    config.unlink()
    monkeypatch.setenv(f"PROKERJA_{key.upper()}", text)
    with pytest.raises(BadOption, match=rf"^{key}: .*; write "):
        settings()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"db = ", r"correct it or move it away$"),
        (b"db", r"correct it or move it away$"),
        (b"<xml/>", r"correct it or move it away$"),
        (b"db = '\xff'", r"correct it or move it away$"),
        (b"\xfe\xff", r"correct it or move it away$"),
        (b"\0" * 100, r"correct it or move it away$"),
        (b"db = '1'\ndb = '2'", r"correct it or move it away$"),
        (b"database = '/q'", r"unknown setting 'database'; there are db, jobs, "),
        (b"[prokerja]\ndb = '/q'", r"unknown setting 'prokerja'; there are db, "),
        (b"db = 1", r'db must be a string, such as db = "…"$'),
        (b"keep_failed = 90", r"keep_failed must be a string"),
        (b"jobs = ['a', 'b']", r"jobs must be a string"),
        (b"db = {}", r"db must be a string"),
        (b"notify = 1", r"notify must be a table"),
        (b"[notify]\nfail = ['x']", r"\[notify\] has no 'fail'; there are failed, completed, "),
        (b"[notify]\nfailed = []", r"\[notify\] failed: \[\] does not fit; give a command: "),
        (b"[notify]\nfailed = '\"'", r"failed: '\"' does not fit; give a command: "),
        (b"[notify]\nfailed = ['a', 1]", r"failed: an array does not fit; give a command: "),
        (b"[notify.failed]\nevery = '5m'", r"failed needs either a command or a url$"),
        (b"[notify.failed]\nurl = 'http://a'\ncommand = 'b'", r"either a command or a url$"),
        (b"[notify.failed]\nurl = 'file:///a'", r"give one with http:// or https://,"),
        (b"[notify.failed]\nurl = 'http://a'\nevry = 1", r"failed has no 'evry'; there are comm"),
        (b"[notify.failed]\ncommand = 'a'\nevery = 'x'", r"failed: every: 'x' is not a duration"),
        (b"[notify.failed]\ncommand = 'a'\npayload = 1", r"payload: 1 is neither true nor false"),
        (b"[notify.failed]\ncommand = 'a'\nafter = 1", r"failed takes no after; leave out after"),
        (b"[notify]\nqueue_stuck = 'a'", r'queue_stuck needs after, such as after = "10m"$'),
        (b"db = 2030-01-01", r"db must be a string"),
    ],
)
def test_a_configuration_file_that_is_wrong_is_named_with_its_fault(
    config: Path, content: bytes, message: str
) -> None:
    config.write_bytes(content)
    with pytest.raises(BadOption, match=message) as refusal:
        settings()
    assert str(config) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_configuration_file_says_who_is_told_of_what(config: Path) -> None:
    config.write_text(
        """db = "q"
        [notify]
        failed = "mail -s '{job} failed' root"
        queue_stuck = {url = "https://a/b?c=d", every = "5m", payload = true, after = 90}
        """
    )
    folder = str(config.parent)
    told = {kind: rule_of(text) for kind, text in settings().notify}
    assert told == {
        "failed": Rule(("mail", "-s", "{job} failed", "root"), cwd=folder),
        "queue_stuck": Rule((), "https://a/b?c=d", folder, 300.0, payload=True, after=90.0),
    }
    assert settings().db == os.path.join(folder, "q")


def test_a_configuration_file_nested_without_end_is_refused_like_any_other(config: Path) -> None:
    config.write_text("db = " + "[" * 100_000)
    with pytest.raises(BadOption, match="correct it or move it away"):
        settings()


def test_an_empty_configuration_file_says_nothing(config: Path) -> None:
    before = settings()
    config.write_text("# nothing yet\n")
    assert settings() == before


def test_a_directory_in_place_of_the_configuration_file_is_refused(config: Path) -> None:
    config.mkdir()
    with pytest.raises(BadOption, match="correct it or move it away"):
        settings()


READ = """
import json, os, sys, tomllib, platformdirs
from prokerja.errors import ProkerjaError
from prokerja.settings import settings
platformdirs.user_config_dir("prokerja", appauthor=False)
settings()
os.environ["HOME"] = sys.argv[1]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    settings()
except ProkerjaError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def test_a_configuration_file_that_this_user_may_not_read_is_refused(
    own_home: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(public))
    folder = Path(platformdirs.user_config_dir("prokerja", appauthor=False))
    folder.mkdir(parents=True)
    for part in (folder, *folder.parents):
        if part.is_relative_to(public):
            part.chmod(0o755)
    (folder / FILE).write_text('db = "/q"')
    (folder / FILE).chmod(0)
    monkeypatch.setenv("HOME", str(own_home))
    command = [sys.executable, "-c", READ, str(public)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    kind, message = json.loads(done.stdout)
    assert kind == "BadOption"
    assert message.startswith(f"{folder / FILE}: [Errno 13] Permission denied: ")
    assert message.endswith("; correct it or move it away")


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8")))
def test_no_content_of_the_file_raises_anything_but_a_bad_option(
    config: Path, content: bytes
) -> None:
    config.write_bytes(content)
    reads: Callable[[], object] = settings
    try:
        reads()
    except BadOption as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017 - it need not raise
