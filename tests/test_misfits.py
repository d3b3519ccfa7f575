"""Jobs that a worker's class does not fit: they go back, and wait for a worker that it does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

THUMB = """
from dataclasses import dataclass

from prokerja import Job


@dataclass
class Thumb(Job):
    path: str
    {more}

    def handle(self):
        return sorted(vars(self))
"""
OLDER = "has an older thumb, which takes no 'size'"


def write_thumb(home: Home, more: str = "") -> None:
    home.write("thumb.py", THUMB.format(more=more))


def thumb(home: Home, *words: object) -> int:
    return home.declare("thumb", "path=a", *words)[0]


def why(home: Home, id: int) -> str:
    return str(home.job(id)["why_not_running"])


def test_a_job_with_a_field_that_the_worker_does_not_know_waits_for_one_that_does(
    home: Home,
) -> None:
    write_thumb(home)
    old = home.worker("--no-watch").ready()
    write_thumb(home, "size: int = 0")
    id = thumb(home, "size=3")
    wait_until(lambda: OLDER in why(home, id))
    job = home.job(id)
    assert (job["status"], job["attempts"], job["returns"]) == ("pending", 0, 0)
    assert why(home, id) == f"worker 1 {OLDER}; restart it"
    assert f"not running: worker 1 {OLDER}; restart it" in home.cli("report:job", id)
    said = f"job {id} thumb: goes back, and others like it are left alone: this worker {OLDER}"
    assert said in old.said()
    home.worker("--no-watch")
    assert home.wait(id)["result"] == ["path", "size"]
    assert home.job(id)["attempts"] == 1


def test_others_of_its_name_are_run_and_those_like_it_are_not_tried_again(home: Home) -> None:
    write_thumb(home)
    worker = home.worker("--no-watch").ready()
    home.wait(thumb(home))
    write_thumb(home, "size: int = 0")
    ids = [thumb(home, f"size={n}") for n in range(5)]
    wait_until(lambda: OLDER in why(home, ids[-1]))
    fit = [thumb(home) for _ in range(3)]
    for id in fit:
        home.wait(id)
    assert set(home.statuses(ids)) == {"pending"}
    assert worker.said().count("goes back") == 1
    assert home.look("SELECT * FROM claim") == []
    wait_until(worker.asleep)


def test_a_worker_with_nothing_but_misfits_sleeps(home: Home) -> None:
    write_thumb(home)
    worker = home.worker("--no-watch").ready()
    write_thumb(home, "size: int = 0")
    id = thumb(home, "size=3")
    wait_until(lambda: OLDER in why(home, id))
    wait_until(worker.asleep)
    before = os.times()
    first = cpu(worker.pid)
    wait_until(lambda: os.times().elapsed > before.elapsed + 1)
    assert cpu(worker.pid) - first < 0.2


def cpu(pid: int) -> float:
    import psutil

    return float(sum(psutil.Process(pid).cpu_times()[:2]))


def test_a_worker_that_leaves_when_all_is_done_does_not_wait_for_misfits(home: Home) -> None:
    write_thumb(home)
    worker = home.worker("--no-watch", "--until-empty", "--max-jobs", "2").ready()
    worker.end()
    write_thumb(home, "size: int = 0")
    id = thumb(home, "size=3")
    write_thumb(home)
    home.work()
    assert home.statuses([id]) == ["pending"]


def test_a_job_that_lacks_what_a_newer_class_needs_waits_for_another(home: Home) -> None:
    write_thumb(home)
    id = thumb(home)
    write_thumb(home, "size: int")
    home.worker("--no-watch")
    newer = "has a newer thumb, which needs 'size', so give that a default"
    wait_until(lambda: newer in why(home, id))
    write_thumb(home, "size: int = 0")
    home.worker("--no-watch")
    home.wait(id)


def test_a_job_with_a_renamed_field_says_both(home: Home) -> None:
    write_thumb(home, "size: int")
    id = thumb(home, "size=3")
    write_thumb(home, "length: int")
    home.worker("--no-watch")
    both = "worker 1 has another thumb, which takes no 'size' and needs 'length'; restart it"
    wait_until(lambda: why(home, id) == both)


def test_a_job_whose_class_is_gone_from_a_realizer_waits_for_another_worker(home: Home) -> None:
    write_thumb(home)
    worker = home.worker("--no-watch").ready()
    os.unlink(home.jobs / "thumb.py")
    [realizer] = worker.realizers()
    realizer.kill()
    wait_until(lambda: "thumb" not in home.look("SELECT names FROM worker")[0][0])
    write_thumb(home)
    id = thumb(home)
    wait_until(lambda: "no living worker knows the job thumb" in why(home, id))
    home.worker("--no-watch")
    home.wait(id)


@pytest.mark.parametrize("name", ["thumb", "press"])
def test_of_two_realizers_the_one_that_loaded_older_files_is_replaced(
    home: Home, name: str
) -> None:
    write_thumb(home)
    worker = home.worker("--no-watch", "--realizers", "2").ready()
    wait_until(lambda: len(worker.realizers()) == 2)
    one, _ = worker.realizers()
    write_thumb(home, "size: int = 0")
    press = THUMB.replace("Thumb", "Press").format(more="size: int = 0")
    home.write("press.py", press)
    one.kill()
    wait_until(lambda: "press" in home.look("SELECT names FROM worker")[0][0])
    ids = [home.declare(name, "path=a", "size=3")[0] for _ in range(6)]
    for id in ids:
        assert home.wait(id)["attempts"] == 1


def test_a_type_error_of_the_jobs_own_fails_it(home: Home) -> None:
    home.write(
        "own.py",
        """
        from dataclasses import dataclass
        from prokerja import Job

        @dataclass
        class Own(Job):
            n: int = 0

            def __post_init__(self):
                if self.n:
                    raise TypeError("mine")

            def handle(self):
                return len(None)
        """,
    )
    first, second = home.declare("own", "n=1")[0], home.declare("own")[0]
    home.worker("--no-watch")
    assert home.wait(first, "failed")["error"] == "TypeError: mine"
    assert "NoneType" in home.wait(second, "failed")["error"]


def test_it_can_be_cancelled_listed_and_purged_as_any_pending_job(home: Home) -> None:
    write_thumb(home)
    home.worker("--no-watch").ready()
    write_thumb(home, "size: int = 0")
    one, other = thumb(home, "size=3"), thumb(home, "size=4")
    wait_until(lambda: OLDER in why(home, one) and OLDER in why(home, other))
    assert home.cli("report:jobs", "--job", "thumb", "--status", "pending", "--ids") == (
        f"{other}\n{one}\n"
    )
    home.queue.cancel(one)
    assert home.statuses([one]) == ["failed"]
    assert home.cli("purge", "--status", "pending", "--yes") == "1\n"
    assert home.counts() == {"pending": 0, "processing": 0, "completed": 0, "failed": 1}
