"""Memory: what attempts use, what realizers may hold, what is to stay free, who is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest

from prokerja import Worker, sizes
from prokerja.exit_codes import TOO_LARGE
from prokerja.model.claim import Claimed
from prokerja.worker import cgroups, memory
from prokerja.worker.duties import size
from prokerja.worker.duties.preflight import Preflight
from prokerja.worker.holds import Holds
from prokerja.worker.pool.exits import describe_exit
from prokerja.worker.realizer import reaper
from prokerja.worker.service import Service
from prokerja.worker.wire import shared_page
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.home import Home

MB = 2**20
EAT = "b = bytearray({mb} << 20)\nfor at in range(0, len(b), 4096): b[at] = 1\n"
"""Hold so much, and touch it."""
EAT_JOB = """
import time
from prokerja import Job

class Eat(Job):
    def handle(self):
        held = b"x" * (150 << 20)
        time.sleep(0.05)
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="there is no reaper")


class Group:
    """A control group of its own below ours, whose limit is in our hands."""

    def __init__(self, path: str) -> None:
        self._path = path
        os.mkdir(path)
        self.launcher = ("sh", "-c", f'echo $$ > {path}/cgroup.procs; exec "$@"', "sh")
        """Words before a command that is to run in it."""

    def limit(self, bytes: int) -> None:
        name = "memory.limit_in_bytes"
        if not os.path.exists(f"{self._path}/{name}"):
            name = "memory.max"
        with open(f"{self._path}/{name}", "w") as file:
            file.write(str(bytes))

    def remove(self) -> None:
        try:
            os.rmdir(self._path)
        except OSError:  # a process of it is still there
            time.sleep(0.01)
            os.rmdir(self._path)


@pytest.fixture
def group() -> Iterator[Group]:
    """One that can be had where the tests may make it."""
    own = cgroups.own()
    try:
        assert own is not None
        made = Group(f"{own.path}/prokerja-test-{os.getpid()}")
        made.limit(400 * MB)
    except (AssertionError, OSError):
        pytest.skip("no control group with a limit can be made here")
    yield made
    made.remove()


# What attempts use


def test_what_takes_longer_than_a_moment_is_kept_with_what_it_used(home: Home) -> None:
    large = home.run(EAT.format(mb=80) + "end = time.process_time() + 0.1\n"
                     "while time.process_time() < end: pass")  # fmt: skip
    shorts = home.run_each(["time.sleep(0.001)"] * 5)
    small = home.run("time.sleep(0.05)")
    home.work()
    [used] = home.job(large)["history"]
    assert 80 * MB < used["peak_bytes"] < 200 * MB
    assert 0.1 <= used["cpu_seconds"] < 5.0
    for short in shorts:
        [attempt] = home.job(short)["history"]
        began, ended = map(datetime.fromisoformat, (attempt["started_at"], attempt["finished_at"]))
        is_short = (ended - began).total_seconds() < 0.02  # a busy machine may see to it that not
        assert (attempt["peak_bytes"] is None) is is_short
    record = home.queue.job(small)
    assert record.peak_bytes is not None
    assert record.cpu_seconds is not None
    assert record.cpu_seconds < 0.05
    if os.access("/proc/self/clear_refs", os.W_OK):
        assert record.peak_bytes < 80 * MB
    told = home.cli("report:job", large)
    assert f"s of CPU, peak {sizes.human(used['peak_bytes'])}: completed" in told


def test_a_command_is_measured_with_what_it_waits_for(home: Home) -> None:
    program = f"{sys.executable} -c 'b = bytearray(90 << 20)'; exit 0"
    [command] = map(int, home.cli("declare:shell", "--", "sh", "-c", program).split())
    after = home.run("time.sleep(0.05)")
    home.work()
    peak = home.job(command)["history"][0]["peak_bytes"]
    assert 90 * MB < peak < 200 * MB
    assert home.job(after)["history"][0]["peak_bytes"] < 90 * MB


@LINUX
def test_an_attempt_that_is_killed_is_measured_too(home: Home) -> None:
    before = home.run(f"subprocess.run([sys.executable, '-c', {EAT.format(mb=60)!r}])")
    busy = "end = time.process_time() + 0.1\nwhile time.process_time() < end: pass\n"
    code = f"{EAT.format(mb=90)}{busy}signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    late = home.run(f"{code}time.sleep(0.2)\nos.kill(os.getpid(), signal.SIGKILL)")
    home.work()
    assert home.job(before)["history"][0]["peak_bytes"] > 60 * MB
    [used] = home.job(late)["history"]
    assert "SIGKILL" in used["error"]
    assert 90 * MB < used["peak_bytes"] < 200 * MB
    assert 0.1 <= used["cpu_seconds"] < 2.0


def test_the_reaper_writes_where_the_supervisor_reads() -> None:
    assert reaper.USED_AT == shared_page.PEAK == shared_page.SPENT - 1


# The limit of a realizer


def test_a_realizer_that_has_grown_is_replaced_and_no_job_is_lost(home: Home) -> None:
    grow = EAT.format(mb=120) + "sys.kept = b\nreturn os.getpid()"
    first = home.run(grow)
    others = home.run_each(["return os.getpid()"] * 30)
    last = home.run(grow)
    worker = home.work("--memory-limit", "100M")
    pids = [home.job(id)["result"] for id in (first, *others, last)]
    assert len(set(pids[:2])) == 2
    assert len(set(pids[1:])) == 1  # it grew with its last job only
    assert worker.said().count(f"realizer {pids[0]} is replaced: it holds 1") == 1
    told = [line for line in home("events").cells if line[1] == "memory_exceeded"]
    assert [line[3] for line in told][:1] == ["run"]
    assert f"realizer {pids[0]}: " in told[0][-1]
    assert told[0][-1].endswith(" after run, of 100 MB")


def test_without_a_limit_no_realizer_is_replaced(home: Home) -> None:
    home.run(EAT.format(mb=120) + "sys.kept = b")
    one, other = home.run_each(["return os.getpid()"] * 2)
    home.work()
    assert home.job(one)["result"] == home.job(other)["result"]


def test_a_limit_below_what_the_jobs_need_to_load_is_refused(home: Home) -> None:
    id = home.run("pass")
    worker = home.worker("--until-empty", "--memory-limit", "5M")
    assert worker.end() == 2
    assert "the memory limit of 5 MB is below the " in worker.said()
    assert "that a realizer holds once it has loaded the jobs; give more\n" in worker.said()
    assert "Traceback" not in worker.said()
    assert home.statuses([id]) == ["pending"]


def test_a_worker_that_has_grown_itself_leaves_with_its_code(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size, "CHECK_SECONDS", 0.0)
    ids = home.run_each(["time.sleep(0.05)"] * 50)
    hoard: list[bytes] = []

    def grow(event: object) -> None:
        if not hoard:
            hoard.append(b"x" * (120 * MB))

    limit = memory.held(os.getpid()) + 80 * MB
    worker = Worker(home.queue, home.jobs, memory_limit=limit, on_event=grow, until_empty=True)
    assert "it holds " in worker.run()
    assert worker.exit_code == TOO_LARGE
    assert set(home.statuses(ids)) <= {"completed", "pending"}


def test_a_program_that_is_larger_from_the_first_goes_on() -> None:
    held, asked = [100], list[int]()
    requests: Any = SimpleNamespace(request=lambda why, code, *, patient: asked.append(code))
    own = size.OwnSize(50, requests, lambda: True, lambda _: held[0])
    assert own.due is None
    busy = [False]
    own = size.OwnSize(150, requests, lambda: busy[0], lambda _: held[0])
    assert own.due is None  # nothing grows without jobs
    busy[0] = True
    assert own.due is not None
    own.run(own.due)
    held[0] = 200
    own.run(own.due)
    assert (asked, own.due) == ([TOO_LARGE], None)


# The kernel's say


@LINUX
def test_a_job_that_the_kernel_kills_for_memory_is_told_as_such(group: Group, home: Home) -> None:
    group.limit(200 * MB)
    home.launcher = group.launcher
    eat = EAT.format(mb=400)
    own = home.run(eat)
    script = f'{sys.executable} -c "{eat}"; exit $?'
    [passed_on] = map(int, home.cli("declare:shell", "--", "sh", "-c", script).split())
    [command] = map(int, home.cli("declare:shell", "--", sys.executable, "-c", eat).split())
    other = home.run("os.kill(os.getpid(), signal.SIGKILL)")
    home.work()
    words = "killed by the kernel: out of memory, peak "
    for id in (own, passed_on, command):
        [attempt] = home.job(id)["history"]
        error = attempt["error"].removeprefix("its process was ")
        assert error == words + sizes.human(attempt["peak_bytes"])
        assert 100 * MB < attempt["peak_bytes"] < 200 * MB
    assert "possibly by the kernel's out-of-memory killer" in home.job(other)["error"]


def test_only_what_was_killed_while_the_kernel_did_is_out_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "oom_kills", lambda: 3)
    assert memory.is_oom(-signal.SIGKILL, 2)
    assert memory.is_oom(128 + signal.SIGKILL, 2)
    assert not memory.is_oom(-signal.SIGKILL, 3)
    assert not memory.is_oom(-signal.SIGTERM, 2)
    assert not memory.is_oom(1, 2)
    oom = memory.killed(3 * 2**30 + 100 * MB)
    how = describe_exit(-signal.SIGKILL, killed=False, oom=oom)
    assert how == "its process was killed by the kernel: out of memory, peak 3.1 GB"
    assert memory.killed(0) == "killed by the kernel: out of memory"


# Control groups

MOUNT = "31 23 0:28 {root} {place} rw,relatime - {type} {type} rw{more}\n"


def tree(place: Path, **files: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / f"memory.{name}").write_text(text)


def _kills(group: cgroups.Cgroup) -> int:
    with open(group.oom_file, "rb") as file:
        return memory.oom_kills_in(file.read())


def test_what_is_free_in_a_group_is_what_the_tightest_above_it_leaves(tmp_path: Path) -> None:
    stat = "anon 5\ninactive_file 100\nactive_file 7\n"
    tree(tmp_path / "user", max="1000\n", current="700\n", high="max\n", stat=stat)
    tree(tmp_path / "user" / "a.service", max="max\n", high="500\n", current="450\n", stat=stat)
    tree(tmp_path / "user" / "a.service", events="low 0\noom 3\noom_kill 2\n")
    mounts = MOUNT.format(root="/", place=tmp_path, type="cgroup2", more="")
    group = cgroups.found("0::/user/a.service\n", mounts)
    assert group is not None
    assert (group.free(), _kills(group)) == (150, 2)
    tree(tmp_path / "user", current="1050\n")
    assert group.free() == 50
    tree(tmp_path / "user", current="1200\n")
    assert group.free() == 0


def test_groups_of_version_1_are_read_too(tmp_path: Path) -> None:
    none = f"{2**63 - 4096}\n"
    stat = "inactive_file 1\ntotal_inactive_file 10\n"
    tree(tmp_path / "a", limit_in_bytes="100\n", usage_in_bytes="60\n", stat=stat)
    tree(tmp_path / "a", oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    tree(tmp_path, limit_in_bytes=none, usage_in_bytes="60\n", stat=stat)
    mounts = MOUNT.format(root="/", place="/nowhere", type="cgroup", more=",cpu")
    mounts += MOUNT.format(root="/", place=tmp_path, type="cgroup", more=",memory")
    mounts += MOUNT.format(root="/", place="/nowhere", type="cgroup2", more="")
    group = cgroups.found("4:memory:/a\n2:cpu:/b\n0::/\n", mounts)
    assert group is not None
    assert (group.free(), _kills(group)) == (50, 4)


def test_a_container_sees_its_own_group_at_the_top(tmp_path: Path) -> None:
    tree(tmp_path, max="100\n", current="60\n", stat="")
    for path, root in (("/docker/1", "/docker/1"), ("/docker/1", "/"), ("/", "/")):
        mounts = MOUNT.format(root=root, place=tmp_path, type="cgroup2", more="")
        group = cgroups.found(f"0::{path}\n", mounts)
        assert group is not None
        assert group.free() == 40


def test_where_no_group_tells_of_memory_the_machine_does(tmp_path: Path) -> None:
    mounts = MOUNT.format(root="/", place=tmp_path, type="cgroup2", more="")
    assert cgroups.found("0::/\n", mounts) is None  # the root has no such files
    assert cgroups.found("", mounts) is None
    assert cgroups.found("0::/\n", "") is None


# What is to stay free


def job(id: int, lane: int) -> Claimed:
    return Claimed(1, 0.0, id, lane, "{}", 1, None)


class Machine:
    """A preflight of a worker with these jobs by lane, on a machine with so much free memory."""

    def __init__(self, free: int, **service: Any) -> None:
        self.free = free
        self.usual = {"big": 600, "small": 10}
        self.asked: list[str] = []
        self.looks = 0
        names = {1: "big", 2: "small", 3: "shell", 4: "vast"}
        results = SimpleNamespace(job_names=names)
        self.pool = pool = cast("Any", SimpleNamespace(processes=[], results=results))
        self.holds = Holds(lambda _: None)
        self.preflight = Preflight(
            Service(**service), pool, self.holds, self.peak, self.look, lambda: self.free
        )

    def peak(self, name: str) -> int | None:
        self.asked.append(name)
        return self.usual.get(name)

    def look(self) -> None:
        self.looks += 1

    def take(self, *lanes: int, room: int = 10) -> list[int]:
        """The lanes of what a turn takes of these, in their order."""
        avoided = {self.pool.results.job_names[lane] for lane in lanes} & self.preflight.avoided
        offered = [one for one in lanes if self.pool.results.job_names.get(one) not in avoided]

        def assign(jobs: Iterator[Claimed]) -> tuple[list[Claimed], bool]:
            taken = [one for one, _ in zip(jobs, range(room), strict=False)]
            return taken, len(taken) == room

        taken, full = self.preflight.guard(assign)(job(*pair) for pair in enumerate(offered, 1))
        assert full or len(taken) == len(offered)
        self.preflight.ended(time.monotonic())
        return [one.lane for one in taken]

    def wait(self) -> None:
        """Until the next look."""
        assert self.preflight.due is not None
        self.preflight.run(max(self.preflight.due, time.monotonic()))

    @property
    def notes(self) -> dict[str, bool]:
        return {note.kind: note.holds for note in self.holds.notes}


def test_below_the_floor_nothing_is_taken_until_there_is_more() -> None:
    machine = Machine(99, memory_free=100)
    assert machine.preflight.due is None  # nothing is due: nothing to look at
    assert machine.take() == []
    assert (machine.preflight.due, machine.notes) == (None, {})
    assert machine.take(1, 2) == []
    assert machine.notes == {"memory": True}
    machine.wait()
    assert (machine.looks, machine.notes) == (0, {"memory": True})
    machine.free = 100
    machine.wait()
    assert (machine.looks, machine.notes, machine.preflight.due) == (1, {}, None)
    assert machine.take(1, 2) == [1, 2]


def test_what_a_job_uses_is_asked_for_once_a_minute() -> None:
    machine = Machine(1000, memory_learn=True)
    assert machine.take(2, 2) == []
    machine.wait()
    assert machine.take(2, 2) == [2, 2]
    assert machine.take(3, 2, 4) == [3, 2]  # commands are not learned of
    machine.wait()
    assert machine.take(3, 2, 4) == [3, 2, 4]  # nothing is known of it
    assert machine.asked == ["small", "vast"]


def test_jobs_that_need_more_than_is_free_are_left_and_others_are_not() -> None:
    machine = Machine(700, memory_learn=True)
    for _ in range(2):
        machine.take(2, 1)
        machine.wait()
    assert machine.take(2, 1, 1) == [2, 1]  # the second would have 90 left
    assert machine.take(2, 1, 2) == [2, 2]
    assert machine.notes == {"memory:big": False}
    machine.wait()  # are there any still?
    assert machine.take(1, 1, 2) == [1]
    machine.pool.processes = [SimpleNamespace(jobs={1: job(1, 1)}, pid=2**22 + 1)]
    machine.wait()
    assert machine.take(1) == []  # that which runs may yet take what it needs
    machine.pool.processes = []
    machine.free = 500
    machine.wait()
    assert machine.take(1, 2) == []
    assert machine.take(1, 2) == [2]
    assert machine.preflight.is_waiting
    machine.wait()
    assert machine.take(2) == [2]  # nobody waits for memory any more
    assert (machine.notes, machine.preflight.due) == ({}, None)
    assert not machine.preflight.is_waiting


@LINUX
def test_a_worker_takes_nothing_while_too_little_is_free_and_says_so(
    group: Group, home: Home
) -> None:
    home.launcher = group.launcher
    id = home.run("pass")
    worker = home.worker("--memory-free", "1G")
    words = " of memory are free, and it is to leave 1 GB (--memory-free)"
    wait_until(lambda: words in home("report").err)
    assert "worker 1 takes no jobs: 3" in home("report").err
    assert words in home.job(id)["why_not_running"]
    assert words in home.cli("report", "--why", id)
    assert home.statuses([id]) == ["pending"]
    group.limit(2**31)
    home.wait(id)
    wait_until(lambda: home("report").err == "")
    assert "taking jobs again" in worker.said()


def test_a_worker_without_memory_sleeps_between_its_looks(home: Home) -> None:
    home.run("pass")
    worker = home.worker("--memory-free", "900000G")
    wait_until(lambda: "takes no jobs: " in home("report").err)
    process = psutil.Process(worker.pid)
    before, looks = process.cpu_times(), process.num_ctx_switches().voluntary
    wait_until(lambda: process.num_ctx_switches().voluntary > looks + 1)  # it looks again
    spent = process.cpu_times()
    assert spent.user + spent.system - before.user - before.system < 0.2


@LINUX
def test_what_a_job_has_used_is_free_before_it_is_taken_again(group: Group, home: Home) -> None:
    home.launcher = group.launcher
    home.write("eat.py", EAT_JOB)
    home.declare_job("eat")
    home.work()
    group.limit(170 * MB)
    large, small = home.declare_job("eat"), home.run("pass")
    worker = home.worker("--memory-learn", "--until-empty")
    home.wait(small)
    wait_until(lambda: "takes no eat until 1" in home("report").err)
    assert "it takes no eat until 1" in home.job(large)["why_not_running"]
    assert home.statuses([large]) == ["pending"]
    group.limit(400 * MB)
    assert worker.end() == 0
    assert home.statuses([large]) == ["completed"]


@pytest.mark.parametrize(
    ("bytes", "words"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (2**10, "1 KB"), (2**20 - 1, "1,024 KB"),
     (3 * 2**30 + 2**27, "3.1 GB"), (5000 * 2**30, "5,000 GB")],
)  # fmt: skip
def test_sizes_are_shown_as_people_read_them(bytes: int, words: str) -> None:
    assert sizes.human(bytes) == words
