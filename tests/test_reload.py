"""New code: realizers are replaced while the worker goes on; for a new package, it leaves."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest

import prokerja
from prokerja.exit_codes import NEW_CODE
from prokerja.worker.duties.code import CodeEvents
from prokerja.worker.duties.packages import PackageCheck
from prokerja.worker.duties.signals import StopRequests
from prokerja.worker.file_watch import FileWatch
from prokerja.worker.own_code import OwnCode
from prokerja.worker.wire.journal import read_all
from tests.harness.processes import gone, has_open
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from prokerja.repository.verbs import Repository
    from tests.harness.home import Home
    from tests.harness.worker import Worker

WHICH = """
from dataclasses import dataclass
from prokerja import Job
from middle import below

@dataclass
class Which(Job):
    slow: bool = False

    def handle(self):
        import late
        from jobs.run import note, wait_for
        if self.slow:
            note("slow")
            wait_for("gate")
        return ["top 1", *below(), late.VALUE]
"""
MIDDLE = "import deep\n\ndef below():\n    return ['middle 1', deep.VALUE]\n"
FIRST = ["top 1", "middle 1", "deep 1", "late 1"]
IN_USE, NOT_LOADED = "new code is in use: ", "new code does not load, so older code runs on: "


@pytest.fixture
def home(home: Home) -> Home:
    """With a job that imports a file, which imports one beside the jobs; when it runs, another."""
    home.write("middle.py", MIDDLE)
    home.write("which.py", WHICH)
    for name in ("deep", "late"):
        (home.path / f"{name}.py").write_text(f"VALUE = '{name} 1'\n")
    return home


def which(home: Home, **payload: Any) -> int:
    return home.declare_job("which", **payload)


def result(home: Home) -> Any:
    return home.wait(which(home))["result"]


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def news(worker: Worker, text: str = IN_USE, count: int = 1) -> None:
    """Wait until it has told of new code so often."""
    wait_until(lambda: worker.said().count(text) >= count)


def notes(home: Home) -> list[str]:
    """What the worker says of its code, for `report`."""
    return [text for (text,) in home.look("SELECT text FROM worker_note WHERE kind = 'code'")]


def changes(home: Home) -> list[tuple[list[str], str | None]]:
    """The events, by the names of the files."""
    lines = home.cli("events", "--json").splitlines()
    events = [one for one in map(json.loads, lines) if one["event"] == "code_changed"]
    assert {one["worker"] for one in events} <= {1}
    return [([*map(os.path.basename, one["files"])], one["error"]) for one in events]


@pytest.mark.parametrize("name", ["jobs/which.py", "jobs/middle.py", "deep.py", "late.py"])
def test_a_changed_file_is_used_whichever_import_has_loaded_it(home: Home, name: str) -> None:
    worker = home.worker().ready()
    assert result(home) == FIRST
    [old] = worker.realizers()
    replace(home.path / name, " 1'" if "which" not in name else '"top 1"', '"top 2"')
    level = {"which": 0, "middle": 1, "deep": 2, "late": 3}[Path(name).stem]
    if level:
        replace(home.path / name, '"top 2"', " 2'")
    news(worker)
    assert result(home) == [text.replace("1", "2") if n == level else text
                            for n, text in enumerate(FIRST)]  # fmt: skip
    wait_until(partial(gone, old))
    assert changes(home) == [([os.path.basename(name)], None)]
    assert worker.said().count(IN_USE) == 1


def test_what_is_broken_and_stays_so_is_not_told_of_as_in_use(home: Home) -> None:
    bad = home.write("bad.py", "1 +\n")
    worker = home.worker().ready()
    for text in ("2 +\n", "pass\n"):
        [old] = worker.realizers()
        bad.write_text(text)
        wait_until(partial(gone, old))
        wait_until(lambda: len(worker.realizers()) == 1)
    news(worker)
    assert changes(home) == [(["bad.py"], None)]


@pytest.mark.parametrize("bad", ["", "import nowhere"])
def test_code_that_a_realizer_finds_new_when_it_starts_is_told_of_once(
    home: Home, bad: str
) -> None:
    home.write("bad.py", bad)
    worker = home.worker().ready()
    text = MIDDLE.replace("middle 1", "middle 2")
    dying = f"import pathlib; pathlib.Path('jobs/middle.py').write_text({text!r}); os._exit(1)"
    home.wait(home.run(dying), "failed")
    news(worker)
    assert result(home) == ["top 1", "middle 2", *FIRST[2:]]
    assert changes(home) == [(["middle.py"], None)]


def test_files_may_come_go_and_be_replaced(home: Home) -> None:
    worker = home.worker().ready()
    home.write("new.py", WHICH.replace("Which", "Other"))
    news(worker)
    assert home.wait(home.declare_job("other"))["result"] == FIRST
    (home.jobs / "new.py").unlink()
    news(worker, count=2)
    wait_until(lambda: "its jobs are now: run, which" in worker.said())
    (home.path / "other").write_text("VALUE = 'deep 2'\n")
    (home.path / "other").rename(home.path / "deep.py")
    news(worker, count=3)
    folder = home.jobs / "more"
    folder.mkdir()
    (folder / "another.py").write_text(WHICH.replace("Which", "Another"))
    news(worker, count=4)
    assert home.wait(home.declare_job("another"))["result"][2] == "deep 2"
    assert changes(home) == [
        (["new.py"], None), (["new.py"], None), (["deep.py"], None), (["another.py"], None),
    ]  # fmt: skip


def test_a_link_to_the_code_may_be_put_on_other_code(home: Home) -> None:
    shutil.copytree(home.jobs, home.path / "second" / "jobs")
    shutil.copy(home.path / "late.py", home.path / "second")
    (home.path / "second" / "deep.py").write_text("VALUE = 'deep 2'\n")
    (home.path / "current").symlink_to(".")
    worker = home.worker("--jobs", home.path / "current" / "jobs").ready()
    (home.path / "next").symlink_to("second")
    (home.path / "next").rename(home.path / "current")
    news(worker)
    assert result(home)[2] == "deep 2"


def test_a_directory_that_is_away_for_a_moment_is_waited_for(home: Home) -> None:
    worker = home.worker().ready()
    home.jobs.rename(home.path / "away")
    news(worker, NOT_LOADED)
    assert result_of_run(home) == 3
    replace(home.path / "away" / "which.py", "top 1", "top 2")
    (home.path / "away").rename(home.jobs)
    news(worker)
    assert result(home)[0] == "top 2"
    wait_until(lambda: notes(home) == [])


def result_of_run(home: Home) -> Any:
    return home.wait(home.run("return 3"))["result"]


@pytest.mark.parametrize("how", ["1 / 0", "os._exit(3)"])
def test_code_that_does_not_load_changes_nothing_until_it_is_mended(home: Home, how: str) -> None:
    broken = f"import os\nfrom jobs.run import note\nnote('tried')\n{how}\n"
    worker = home.worker().ready()
    assert result(home) == FIRST
    deep = home.path / "deep.py"
    deep.write_text(broken)
    news(worker, NOT_LOADED)
    assert result(home) == FIRST
    wait_until(lambda: notes(home))
    [note] = notes(home)
    assert note.startswith(f"{NOT_LOADED}{home.jobs}/")
    assert note in home("report").err
    assert home.ask("report")["workers"][0]["notes"][0]["text"] == note
    tries = len(home.ledger())
    deep.write_text(broken + "\n")
    wait_until(lambda: len(home.ledger()) > tries)
    wait_until(lambda: len(worker.realizers()) == 1)
    deep.write_text("VALUE = 'deep 3'\n")
    news(worker)
    assert result(home)[2] == "deep 3"
    wait_until(lambda: notes(home) == [])
    assert worker.said().count(NOT_LOADED) == 1
    failed, mended = changes(home)
    assert failed[0] == ["deep.py"]
    assert failed[1] is not None
    assert mended == (["deep.py"], None)


def test_code_that_was_broken_from_the_start_is_used_once_it_is_mended(home: Home) -> None:
    (home.path / "deep.py").write_text("import nowhere\nVALUE = nowhere.VALUE\n")
    worker = home.worker().ready()
    assert "which.py cannot be used" in worker.said()
    (home.path / "nowhere.py").write_text("VALUE = 'deep 1'\n")
    news(worker)
    assert result(home) == FIRST


def test_code_that_does_not_load_is_not_told_of_as_in_use_when_its_last_realizer_dies(
    home: Home,
) -> None:
    worker = home.worker().ready()
    assert result(home) == FIRST
    home.write("middle.py", "1 +\n")
    news(worker, NOT_LOADED)
    wait_until(lambda: len(worker.realizers()) == 1)
    [realizer] = worker.realizers()
    realizer.kill()
    wait_until(lambda: "its jobs are now: run" in worker.said())
    assert result_of_run(home) == 3
    assert len(notes(home)) == 1
    waiting = which(home)
    home.write("middle.py", MIDDLE + "\n")
    assert home.wait(waiting)["result"] == FIRST
    news(worker)
    assert [files for files, error in changes(home) if error is None] == [["middle.py"]]


def test_realizers_that_die_meanwhile_leave_jobs_they_would_lack_to_the_others(home: Home) -> None:
    worker = home.worker("--realizers", "2").ready()
    both = home.run_each(["wait_for('both')"] * 2)
    wait_until(lambda: all(map(home.running, both)))  # each has loaded its jobs
    home.open("both")
    one, other = worker.realizers()
    home.write("middle.py", "1 +\n")
    news(worker, NOT_LOADED)
    replace(home.jobs / "which.py", "top 1", "top 2")
    one.kill()
    wait_until(lambda: len(worker.realizers()) == 2 and gone(one))
    ids = [which(home) for _ in range(5)]
    assert [home.wait(id)["result"] for id in ids] == [FIRST] * 5
    slow = which(home, slow=True)
    wait_until(lambda: home.running(slow))
    next = which(home)
    assert [result_of_run(home) for _ in range(3)] == [3] * 3
    assert home.statuses([slow, next]) == ["processing", "pending"]
    home.open("gate")
    assert [home.wait(id)["result"] for id in (slow, next)] == [FIRST] * 2
    other.kill()
    wait_until(lambda: "its jobs are now: run" in worker.said())
    last = which(home)
    wait_until(lambda: "no living worker knows" in str(home.job(last)["why_not_running"]))
    home.write("middle.py", MIDDLE)
    assert home.wait(last)["result"] == ["top 2", *FIRST[1:]]


def test_a_long_job_ends_with_the_code_it_began_with(home: Home) -> None:
    worker = home.worker("--realizers", "2").ready()
    slow = which(home, slow=True)
    wait_until(home.ledger)
    replace(home.jobs / "which.py", "top 1", "top 2")
    news(worker)
    assert result(home)[0] == "top 2"
    assert home.statuses([slow]) == ["processing"]
    home.open("gate")
    assert home.wait(slow)["result"] == FIRST
    assert home.job(slow)["attempts"] == 1


def test_there_never_run_more_jobs_at_once_than_were_asked_for(home: Home) -> None:
    worker = home.worker().ready()
    slow = which(home, slow=True)
    wait_until(home.ledger)
    replace(home.jobs / "which.py", "top 1", "top 2")
    news(worker)
    next = which(home)
    replace(home.jobs / "which.py", "top 2", "top 3")
    news(worker, count=2)
    home.write("middle.py", "1 +\n")
    news(worker, NOT_LOADED)
    assert home.statuses([slow, next]) == ["processing", "pending"]
    home.open("gate")
    assert home.wait(slow)["result"] == FIRST
    assert home.wait(next)["result"] == ["top 3", *FIRST[1:]]


def test_what_has_ended_in_a_new_realizer_is_not_repeated_when_its_worker_dies(home: Home) -> None:
    worker = home.worker().ready()
    replace(home.jobs / "which.py", "top 1", "top 2")
    news(worker)
    slow = which(home, slow=True)
    wait_until(lambda: home.running(slow))
    worker.send(signal.SIGSTOP)
    home.open("gate")
    wait_until(lambda: read_all(f"{home.db}-worker-1", 2))
    worker.kill()
    home.work()
    assert home.ledger() == ["slow"]
    assert home.job(slow)["attempts"] == 1


def test_where_nothing_tells_of_changes_one_looks_for_them(home: Home) -> None:
    home.elsewhere()
    worker = home.worker().ready()
    replace(home.path / "deep.py", "deep 1", "deep 2")
    news(worker)
    assert result(home)[2] == "deep 2"


def test_without_a_watch_nothing_is_looked_for(home: Home) -> None:
    worker, other = home.worker("--no-watch").ready(), home.worker().ready()
    assert [has_open(one.pid, "inotify") for one in (worker, other)] == [True, True]
    assert [inotify_count(one) for one in (worker, other)] == [1, 2]
    other.send(signal.SIGTERM)
    other.end()
    replace(home.jobs / "which.py", "top 1", "top 2")
    assert result(home) == FIRST
    assert IN_USE not in worker.said()


def inotify_count(worker: Worker) -> int:
    links = (os.readlink(entry.path) for entry in os.scandir(f"/proc/{worker.pid}/fd"))
    return sum("inotify" in link for link in links)


CLASSES = """
import sys
sys.path.insert(0, {place!r})
from prokerja import Queue, Worker
from prokerja.worker_events import CodeChanged
from app.tasks import Task

def tell(event):
    if isinstance(event, CodeChanged):
        print(*event.files, flush=True)

worker = Worker(Queue(sys.argv[1]), [Task], on_event=tell)
print("running", flush=True)
print(worker.run(), worker.exit_code, flush=True)
"""


def test_the_modules_of_classes_that_a_program_gives_are_watched_and_so_are_packages(
    home: Home,
) -> None:
    app, site = home.path / "place" / "app", home.path / "site-packages"
    app.mkdir(parents=True)
    site.mkdir()
    (app / "__init__.py").touch()
    (app / "facts.py").write_text("VALUE = 1\n")
    (app / "tasks.py").write_text(
        "from dataclasses import dataclass\nfrom prokerja import Job\nfrom app import facts\n"
        "@dataclass\nclass Task(Job):\n    def handle(self):\n        return facts.VALUE\n"
    )
    home.in_environment({"PYTHONPATH": str(site)})
    program = home.python(CLASSES.format(place=str(home.path / "place")), home.db)
    assert program.stdout is not None
    assert program.stdout.readline() == "running\n"
    assert home.wait(home.declare_job("task"))["result"] == 1
    (app / "facts.py").write_text("VALUE = 22\n")
    assert program.stdout.readline() == f"{app}/facts.py\n"
    assert home.wait(home.declare_job("task"))["result"] == 22
    (site / "thing-2.dist-info").mkdir()
    reason = "installed packages have changed (thing-2.dist-info)"
    assert program.stdout.readline() == f"{reason} {NEW_CODE}\n"


def own_copy(home: Home) -> Path:
    """A copy of the package, with which all that is started from here on runs."""
    package = home.path / "own" / "prokerja"
    ignored = shutil.ignore_patterns("__pycache__", "guide")
    shutil.copytree(Path(prokerja.__file__).parent, package, ignore=ignored)
    home.in_environment({"PYTHONPATH": str(package.parent)})
    home.program = (sys.executable, "-m", "prokerja")
    return package


def test_a_worker_whose_own_package_changes_finishes_and_leaves(home: Home) -> None:
    package = own_copy(home)
    worker = home.worker("--grace", "0s").ready()
    slow = which(home, slow=True)
    wait_until(home.ledger)
    replace(package / "job.py", '"""', '"""')
    wait_until(lambda: "stopping: prokerja itself has changed" in worker.said())
    waiting = which(home)
    home.open("gate")
    assert home.wait(slow)["result"] == FIRST
    assert worker.end() == NEW_CODE
    assert home.statuses([waiting]) == ["pending"]
    assert changes(home) == [(["job.py"], None)]


@pytest.mark.parametrize("is_killed", [True, False])
def test_an_old_worker_starts_no_realizer_of_a_new_package(home: Home, *, is_killed: bool) -> None:
    package, trace = own_copy(home), home.path / "started"
    worker = home.worker("--no-watch", "--realizer-jobs", "1").ready()
    slow = which(home, slow=True)
    wait_until(home.ledger)
    start = f"def start(given): open({str(trace)!r}, 'w')\n"
    (package / "worker" / "realizer" / "start.py").write_text(start)
    if is_killed:
        [realizer] = worker.realizers()
        realizer.kill()
    home.open("gate")
    assert worker.end() == NEW_CODE
    job = home.job(slow)
    assert job["status"] == ("pending" if is_killed else "completed")
    assert job["attempts"] == (0 if is_killed else 1)
    assert not trace.exists()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one package, from which this process imports."""
    site = tmp_path / "site-packages"
    (site / "thing-1.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(site)
    return site


@pytest.mark.parametrize("is_ended", [True, False])
def test_an_installation_is_waited_for_unless_it_does_not_end(
    site: Path, *, is_ended: bool
) -> None:
    requests, watch = StopRequests(), FileWatch(print)
    events = CodeEvents(cast("Repository", None), 1)
    check = PackageCheck(OwnCode(requests), requests, watch, events)
    (site / "thing-1.dist-info").rename(site / "~hing-1.dist-info")
    check.stir(0.0)
    check.run(1.0)
    assert (requests.reason, check.due) == ("", 2.0)
    (site / "thing-2.dist-info").mkdir()
    if is_ended:
        (site / "~hing-1.dist-info").rmdir()
    check.run(2.0 if is_ended else 59.9)
    assert bool(requests.reason) == is_ended
    check.run(60.0)
    assert (requests.exit_code, requests.patient, check.due) == (NEW_CODE, True, None)
    said = "installed packages have changed (thing-1.dist-info, thing-2.dist-info)"
    assert requests.reason == said
    watch.close()


def test_an_idle_worker_sleeps_after_new_code_as_before(home: Home) -> None:
    worker = home.worker().ready()
    replace(home.jobs / "which.py", "top 1", "top 2")
    news(worker)
    wait_until(worker.asleep)
    process = psutil.Process(worker.pid)
    assert result(home)[0] == "top 2"
    wait_until(lambda: is_still(process))


def is_still(process: psutil.Process) -> bool:
    """Whether it does nothing at all for half a second."""
    before, until = process.num_ctx_switches(), time.monotonic() + 0.5
    wait_until(lambda: time.monotonic() > until)
    return bool(process.num_ctx_switches() == before)


BYTECODE = """
import os, sys, time
from prokerja.catalog.young_sources import keep_no_bytecode
keep_no_bytecode()
sys.path.insert(0, sys.argv[1])
import young, old
"""


def test_no_bytecode_is_kept_of_files_that_have_changed_just_now(home: Home) -> None:
    for name, age in (("young", 0), ("old", 10)):
        file = home.write(f"{name}.py", "pass\n")
        os.utime(file, (time.time() - age,) * 2)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", BYTECODE, str(home.jobs)]
    subprocess.run(command, check=True, env=environment, cwd=Path(prokerja.__file__).parents[1])
    kept = {file.name.split(".")[0] for file in (home.jobs / "__pycache__").iterdir()}
    assert kept == {"old"}


def test_where_no_watch_is_left_one_looks_for_changes_and_says_so(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr("inotify_simple.INotify.add_watch", refuse)
    short: list[str] = []
    watch = FileWatch(short.append)
    assert watch.pace is None
    watch.watch("jobs", [str(home.db)], [])
    watch.watch("packages", [str(home.db)], [])
    assert short == ["no inotify watch is left; raise fs.inotify.max_user_watches"]
    monkeypatch.undo()
    watch.watch("packages", [str(home.db)], [])
    assert watch.pace is not None
    watch.watch("jobs", [str(home.db)], [])
    assert watch.pace is None
    watch.close()


def test_async_jobs_tell_of_what_they_import_as_well(home: Home) -> None:
    source = WHICH.replace("Which", "Async").replace("def handle", "async def handle")
    home.write("which.py", source)
    worker = home.worker("--concurrency", "2").ready()
    assert home.wait(home.declare_job("async"))["result"] == FIRST
    replace(home.path / "late.py", "late 1", "late 2")
    news(worker)
    assert home.wait(home.declare_job("async"))["result"][3] == "late 2"
