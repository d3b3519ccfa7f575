"""`prokerja cancel`: from the command line and from Python, while real workers run."""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import pytest

from prokerja import Queue
from prokerja.errors import RequestError
from tests.harness.home import inside
from tests.harness.processes import gone
from tests.harness.waiting import wait_until
from tests.sqlite.files import asked

if TYPE_CHECKING:
    from tests.harness.home import Home

CHILD = "note(subprocess.Popen(['sleep', '1000']).pid)"


def test_a_pending_job_is_cancelled_with_a_reason(shell: Home) -> None:
    shell.declare("noop", "--retries", 3)
    assert shell("cancel", 1, "--why", "wrong file") == (0, "1\n", "")
    shell.work()
    job = shell.job(1)
    assert (job["status"], job["error"]) == ("failed", "cancelled: wrong file")
    assert "attempt 1: not started, took 0.00s: cancelled: wrong file" in shell.cli("report:job", 1)
    assert shell("wait", 1).code == 1


def test_a_running_job_is_stopped_with_all_it_has_started_though_its_worker_is_full(
    home: Home,
) -> None:
    id = home.run(f"{CHILD}; wait_for('never')", retries=3, retry_after=0)
    home.worker()
    [child] = wait_until(home.ledger)
    process = psutil.Process(int(child))
    wait_until(lambda: home.running(id))
    told = home("cancel", id, "--json")
    assert (told.code, told.out) == (0, '{"cancelled": 1, "running": 1}\n')
    assert home.wait(id, "failed")["error"] == "cancelled"
    wait_until(lambda: gone(process))
    assert len(home.ledger()) == 1, "it was not tried again"
    next_one = home.run("pass")
    home.wait(next_one)


def test_a_running_command_is_stopped_with_its_whole_group(shell: Home) -> None:
    shell("declare:shell", "--sh", "sleep 1000 & echo $! > pid; wait")
    shell.worker()
    wait_until(lambda: shell.running(1) and (shell.path / "pid").exists())
    process = psutil.Process(int(wait_until((shell.path / "pid").read_text)))
    shell("cancel", 1)
    assert shell("wait", 1).code == 1
    assert shell.job(1)["error"] == "cancelled"
    wait_until(lambda: gone(process))


def test_a_job_that_ignores_its_end_is_killed(home: Home) -> None:
    id = home.run("signal.signal(signal.SIGTERM, signal.SIG_IGN); note('up'); wait_for('never')")
    home.worker()
    wait_until(home.ledger)
    wait_until(lambda: home.running(id))
    home.queue.cancel(id)
    assert home.wait(id, "failed")["error"] == "cancelled"


def test_a_job_is_cancelled_while_its_worker_is_busy_with_others(home: Home) -> None:
    home.worker("--realizers", "2")
    id = home.run("wait_for('never')")
    wait_until(lambda: home.running(id))
    declaring = home.python(
        """
        from prokerja import Queue
        from tests.harness.home import request
        queue = Queue()
        print("going", flush=True)
        while True:
            queue.declare(request("run", code="pass"))
        """
    )
    assert declaring.stdout is not None
    declaring.stdout.readline()
    home.queue.cancel(id)
    assert home.wait(id, "failed")["error"] == "cancelled"


def test_no_limit_waits_for_somebody_who_writes_for_long(home: Home) -> None:
    id = home.run(f"{CHILD}; wait_for('never')", timeout=1.0)
    home.worker()
    [child] = wait_until(home.ledger)
    process = psutil.Process(int(child))
    with inside(home.queue).database.writing():
        inside(home.queue).declarations.insert([asked()], 0.0)
        wait_until(lambda: gone(process))
    assert home.wait(id, "failed")["error"] == "ran longer than 1 s"


def test_jobs_that_end_as_they_are_cancelled_run_once_and_end(home: Home) -> None:
    ids = home.run_each(f"note({n})" for n in range(300))
    home.worker("--realizers", "2")
    for id in ids[::3]:
        with contextlib.suppress(RequestError):
            home.queue.cancel(id)
    wait_until(lambda: set(home.statuses(ids)) <= {"completed", "failed"})
    ran = Counter(home.ledger())
    assert set(ran.values()) == {1}
    for n, (id, status) in enumerate(zip(ids, home.statuses(ids), strict=True)):
        assert status == "completed" or id in ids[::3]
        assert status == "failed" or ran[str(n)] == 1
    assert home.look("SELECT * FROM cancellation") == []


def test_a_job_that_a_realizer_has_not_begun_is_never_begun(home: Home) -> None:
    worker = home.worker().ready()
    home.warm(worker)
    realizer = worker.stopped_realizer()
    ids = home.run_each(f"note({n})" for n in range(5))
    wait_until(home.several_in_hand)
    last = [id for id in ids if home.statuses([id]) == ["processing"]][-1]
    assert home.queue.cancel(last) == 1
    wait_until(lambda: f"job {last} run: to be stopped, cancelled\n" in worker.said())
    realizer.resume()
    home.wait(last, "failed")
    others = [id for id in ids if id != last]
    wait_until(lambda: set(home.statuses(others)) == {"completed"})
    assert sorted(home.ledger()) == sorted(str(ids.index(id)) for id in others)


def test_what_is_yet_to_be_stopped_says_so(home: Home) -> None:
    id = home.run("wait_for('never')")
    worker = home.worker()
    wait_until(lambda: home.running(id))
    assert home.job(id)["stopping"] is None
    worker.send(signal.SIGSTOP)
    home.queue.cancel(id, why="late")
    assert home.job(id)["stopping"] == "cancelled: late"
    said = "stopping:    its worker has yet to end it: cancelled: late"
    assert said in home.cli("report:job", id)
    worker.send(signal.SIGCONT)
    assert home.wait(id, "failed")["stopping"] is None


def test_what_was_cancelled_does_not_run_again_after_its_worker_was_killed(home: Home) -> None:
    id = home.run("note('up'); wait_for('never')", retries=3)
    worker = home.worker()
    wait_until(lambda: home.running(id))
    worker.send(signal.SIGSTOP)
    assert home.queue.cancel(id) == 1
    worker.kill()
    home.worker()
    assert home.wait(id, "failed")["error"] == "cancelled"
    assert home.ledger() == ["up"]


def test_what_was_cancelled_does_not_come_back_from_a_worker_that_stops(home: Home) -> None:
    id = home.run("note('up'); wait_for('never')", retries=3)
    worker = home.worker("--grace", "0")
    wait_until(lambda: home.running(id))
    worker.send(signal.SIGSTOP)
    assert home.queue.cancel(id) == 1
    worker.send(signal.SIGTERM)
    worker.send(signal.SIGCONT)
    assert worker.end() == 0
    assert home.job(id)["error"] == "cancelled"
    assert home.job(id)["status"] == "failed"


def test_all_that_match_are_cancelled(shell: Home) -> None:
    for words in ("noop --label x", "fail --label x", "noop --queue other", "send to=a"):
        shell.declare(*words.split())
    assert shell("cancel", "--label", "x").out == "2\n"
    assert shell("cancel", "--job", "noop").out == "1\n"
    assert shell("cancel", "--queue", "nowhere").out == "0\n"
    assert shell.report() == [1, 0, 0, 3]


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ([], 2, "say which jobs to cancel: ids, or --queue, --job, --label or --batch"),
        (["1", "--queue", "default"], 2, "give either ids or --queue"),
        (["1", "99"], 1, "there is no job 99"),
        (["1", "2"], 2, "job 2 has ended; `prokerja report:job 2` shows how"),
        (["one"], 2, "one"),
        (["1", "--why", ""], 2, "why: '' does not fit"),
        (["1", "--why", b"\xff"], 2, "why: "),
    ],
)
def test_what_cannot_be_cancelled_is_named_and_nothing_changes(
    shell: Home, words: list[str | bytes], code: int, complaint: str
) -> None:
    shell.declare("noop", "--in", "1h")
    shell.declare("noop")
    shell.work()
    before = shell.dump()
    told = shell("cancel", *words)
    assert (told.code, told.out, told.err.count("\n")) == (code, "", 1)
    assert complaint in told.err
    assert shell.dump() == before


def test_programs_cancel_by_the_queue(shell: Home) -> None:
    with contextlib.closing(Queue(shell.db)) as queue:
        ids = [shell.declare_job("noop") for _ in range(3)]
        assert queue.cancel(ids[0], why="changed my mind") == 0
        assert queue.detail(ids[0]).record.error == "cancelled: changed my mind"
        assert queue.cancel_matching(job="noop") == (2, 0)
        with pytest.raises(RequestError, match="has ended"):
            queue.cancel(ids[0])
