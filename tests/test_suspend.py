"""`prokerja suspend` and `resume`: processes that stand still, and go on."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from prokerja import Queue
from prokerja.errors import NotRunning
from prokerja.worker.pool import process as pool_process
from tests.harness.processes import gone
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

TICKING = """
child = subprocess.Popen(['sleep', '1000'], start_new_session=True)
note(child.pid)
while not os.path.exists(os.path.join(HOME, 'gate')):
    note('tick')
    time.sleep(0.01)
"""
SELF_ENDING = "began = time.monotonic()\nwhile time.monotonic() < began + 0.4: time.sleep(0.01)"


def stands(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


def started(home: Home, code: str = TICKING, **options: float) -> int:
    """A job that runs, by the file's word."""
    id = home.run(code, **options)
    wait_until(lambda: home.running(id))
    return id


def test_a_running_job_stands_still_with_all_it_has_started_until_it_is_resumed(home: Home) -> None:
    worker = home.worker().ready()
    id = started(home)
    [realizer] = worker.realizers()
    child = int(wait_until(home.ledger)[0])
    assert home("suspend", id, "--json").out == '{"suspended": 1}\n'
    wait_until(lambda: stands(realizer.pid) and stands(child), SOON)
    before = home.ledger()
    said = home.cli("report:job", id)
    assert f"it was suspended at {home.job(id)['suspended_at']}" in said
    assert f"`prokerja resume {id}` continues it" in said
    assert "processing (suspended)" in home.cli("report:jobs")
    assert home.job(id)["status"] == "processing"
    assert home.ledger() == before
    assert home("resume", id, "--json").out == '{"resumed": 1}\n'
    wait_until(lambda: len(home.ledger()) > len(before), SOON)
    wait_until(lambda: not stands(child), SOON)
    home.open("gate")
    assert home.wait(id)["suspended_at"] is None
    assert f"job {id} run: suspended\n" in worker.said()
    assert f"job {id} run: goes on\n" in worker.said()


def test_a_suspended_command_stands_still_with_its_group(shell: Home) -> None:
    shell("declare:shell", "--sh", "sleep 1000 & echo $! > pid; wait")
    shell.worker()
    wait_until(lambda: shell.running(1) and (shell.path / "pid").exists())
    pid = int(wait_until((shell.path / "pid").read_text))
    shell.cli("suspend", 1)
    wait_until(lambda: stands(pid))
    shell.cli("resume", 1)
    wait_until(lambda: not stands(pid))


def test_the_time_limit_stands_still(home: Home) -> None:
    worker = home.worker().ready()
    id = started(home, timeout=2.0)
    [realizer] = worker.realizers()
    home.queue.suspend(id)
    wait_until(lambda: stands(realizer.pid))
    suspended_at = time.monotonic()
    wait_until(lambda: time.monotonic() > suspended_at + 2.5)
    assert home.running(id)
    home.queue.resume(id)
    resumed_at = time.monotonic()
    assert home.wait(id, "failed")["error"] == "ran longer than 2 s"
    assert 0.5 < time.monotonic() - resumed_at < 2.5


def test_a_realizer_that_stands_still_is_neither_silent_nor_given_more_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = home.worker("--realizers", "2").ready()
    id = started(home)
    home.queue.suspend(id)
    stopped = wait_until(lambda: [one for one in worker.realizers() if stands(one.pid)])
    for _ in range(3):
        ids = home.run_each(["pass"] * 20)
        wait_until(lambda ids=ids: set(home.statuses(ids)) == {"completed"})  # type: ignore[misc]
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + pool_process.SILENT_SECONDS + 1)
    assert stands(stopped[0].pid)
    home.queue.resume(id)
    home.open("gate")
    home.wait(id)
    assert "said nothing" not in worker.said()


def test_what_waits_behind_it_is_run_by_another_realizer(home: Home) -> None:
    worker = home.worker("--realizers", "2").ready()
    id = started(home)
    home.queue.suspend(id)
    wait_until(lambda: any(stands(one.pid) for one in worker.realizers()))
    ids = home.run_each(["pass"] * 50)
    wait_until(lambda: set(home.statuses(ids)) == {"completed"})


def test_a_suspended_job_can_be_cancelled(home: Home) -> None:
    worker = home.worker().ready()
    id = started(home)
    [realizer] = worker.realizers()
    home.queue.suspend(id)
    wait_until(lambda: stands(realizer.pid))
    cleaned = psutil.Process(int(home.ledger()[0]))
    home.queue.cancel(id)
    assert home.wait(id, "failed", SOON)["error"] == "cancelled"
    wait_until(lambda: gone(cleaned))


def test_a_suspended_job_cleans_up_and_goes_back_when_its_worker_stops(home: Home) -> None:
    id = home.run("try: wait_for('never')\nfinally: note('cleaned up')")
    worker = home.worker().ready()
    wait_until(lambda: home.running(id))
    [realizer] = worker.realizers()
    home.queue.suspend(id)
    wait_until(lambda: stands(realizer.pid))
    worker.send(signal.SIGTERM)
    assert worker.end(10) == 0, "it does not wait for the grace to pass"
    assert home.ledger() == ["cleaned up"]
    job = home.job(id)
    assert (job["status"], job["attempts"], job["suspended_at"]) == ("pending", 0, None)


def test_a_suspended_job_is_put_back_when_its_worker_is_killed(home: Home) -> None:
    worker = home.worker().ready()
    id = started(home)
    [realizer] = worker.realizers()
    home.queue.suspend(id)
    wait_until(lambda: stands(realizer.pid))
    worker.kill()
    wait_until(lambda: gone(realizer))
    home.worker()
    wait_until(lambda: home.running(id) and home.job(id)["attempts"] == 1)
    assert home.job(id)["suspended_at"] is None
    home.open("gate")
    assert home.wait(id)["attempts"] == 2


def test_suspended_for_a_moment_again_and_again_a_job_still_ends(home: Home) -> None:
    home.worker().ready()
    id = started(home, SELF_ENDING)
    with contextlib.suppress(NotRunning):
        while home.statuses([id]) == ["processing"]:
            home.queue.suspend(id)
            home.queue.resume(id)
    home.wait(id)
    assert home.look("SELECT * FROM suspension") == []


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["suspend", "1"], 1, "job 1 is pending, not running"),
        (["suspend", "2"], 1, "job 2 has completed; only a running job can be suspended"),
        (["resume", "2"], 1, "job 2 has completed"),
        (["suspend", "99"], 1, "there is no job 99"),
        (["suspend", "one"], 2, "one"),
        (["resume"], 2, "ID"),
    ],
)
def test_what_cannot_be_suspended_is_named_with_its_status(
    shell: Home, words: list[str], code: int, complaint: str
) -> None:
    shell.declare("noop", "--in", "1h")
    shell.declare("noop")
    shell.work()
    before = shell.dump()
    told = shell(*words)
    assert (told.code, told.out, told.err.count("\n")) == (code, "", 1)
    assert complaint in told.err
    assert shell.dump() == before


def test_programs_suspend_by_the_queue(home: Home) -> None:
    worker = home.worker().ready()
    id = started(home)
    [realizer] = worker.realizers()
    with Queue(home.db) as queue:
        queue.suspend(id)
        wait_until(lambda: stands(realizer.pid))
        assert queue.detail(id).record.suspended_at is not None
        queue.resume(id)
        with pytest.raises(NotRunning):
            queue.resume(id)


def test_a_job_that_is_suspended_and_cancelled_at_once_ends(home: Home) -> None:
    id = home.run("wait_for('never')")
    home.worker()
    wait_until(lambda: home.running(id))
    with home.queue.repository.database.lock:  # type: ignore[attr-defined]
        home.queue.suspend(id)
        home.queue.cancel(id)
    assert home.wait(id, "failed")["error"] == "cancelled"
