"""Several projects on one file: a job belongs to the jobs directory that it was declared from."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import textwrap
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.home import Home

JOB = """
from dataclasses import dataclass
from prokerja import Job

@dataclass
class Render(Job):
    {field}: int = 0
    queue = "{queue}"

    def handle(self):
        return "{result}"
"""


def project(folder: Path, result: str, field: str = "n", queue: str = "default") -> Path:
    """A project's jobs directory, with a job `render`."""
    jobs = folder / "jobs"
    jobs.mkdir(parents=True)
    (jobs / "render.py").write_text(JOB.format(field=field, queue=queue, result=result))
    return jobs


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return project(tmp_path / "a", "by a", "n", "of-a")


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return project(tmp_path / "b", "by b", "m", "of-b")


def work(shell: Home, jobs: Path, *words: object) -> None:
    told = shell("realization:start", "--until-empty", "--jobs", jobs, *words)
    assert told.code == 0, told.err


def fate(shell: Home, id: int) -> tuple[str, str | None, str | None]:
    """A job's status, its result and the directory it belongs to."""
    job = shell.ask("report:job", id)
    return job["status"], job["result"], job["jobs"]


def by_sql(shell: Home, **columns: object) -> int:
    """Declare by plain SQL; the id."""
    with closing(sqlite3.connect(shell.db)) as connection, connection:
        marks = ", ".join("?" for _ in columns)
        insert = f"INSERT INTO declare ({', '.join(columns)}) VALUES ({marks})"
        connection.execute(insert, tuple(columns.values()))
        return int(connection.execute("SELECT max(id) FROM declaration").fetchone()[0])


def test_each_projects_worker_runs_its_own_job_of_a_name_however_it_is_declared(
    shell: Home, a: Path, b: Path
) -> None:
    python = (
        "from jobs.render import Render; from prokerja import declare; print(declare(Render()))"
    )
    ids = {}
    for jobs in (a, b):
        ids[jobs] = shell.declare("render", "--jobs", jobs)
        batch = shell("declare:batch", "--ids", "--jobs", jobs, stdin='{"job": "render"}\n' * 2)
        ids[jobs] += [int(line) for line in batch.lines]
        ids[jobs] += shell.declare(
            "render", "--jobs", jobs, "--each", "nm"[jobs == b], stdin="1\n2"
        )
        told = shell.execute(
            [sys.executable, "-c", python], cwd=jobs.parent, environment={"PROKERJA_JOBS": ""}
        )
        ids[jobs].append(int(told.out))
        ids[jobs].append(by_sql(shell, job="render", jobs=str(jobs)))
    work(shell, a)
    for id in ids[a]:
        assert fate(shell, id) == ("completed", "by a", str(a))
    for id in ids[b]:
        assert fate(shell, id) == ("pending", None, str(b))
    work(shell, b)
    for id in ids[b]:
        assert fate(shell, id) == ("completed", "by b", str(b))


def test_a_job_is_checked_against_the_directory_in_force_and_takes_its_options(
    shell: Home, a: Path, b: Path
) -> None:
    for jobs, field, queue in ((a, "n", "of-a"), (b, "m", "of-b"), (a, "n", "of-a")):
        [id] = shell.declare("render", f"{field}=1", "--jobs", jobs)
        assert shell.ask("report:job", id)["queue"] == queue
        told = shell("declare:job", "render", f"{'nm'[jobs == a]}=1", "--jobs", jobs)
        assert told.code == 2
        assert "unknown" in told.err


def test_a_directory_that_is_there_counts_though_nobody_has_named_it(
    shell: Home, a: Path, b: Path
) -> None:
    for jobs in (a, b):
        told = shell("declare:job", "render", cwd=jobs.parent, environment={"PROKERJA_JOBS": ""})
        assert fate(shell, int(told.out))[2] == str(jobs)


@pytest.mark.parametrize("command", ["declare:job", "declare:batch"])
def test_a_job_that_only_another_directory_has_is_refused_with_the_way_to_it(
    shell: Home, a: Path, command: str
) -> None:
    shell.declare("render", "--jobs", a)
    words, stdin, line = ["render"], "", ""
    if command == "declare:batch":
        words, stdin, line = [], '{"job": "render"}', "line 1: "
    told = shell(command, *words, stdin=stdin)
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        f"prokerja: {line}unknown job 'render' in {shell.jobs}; {a} has one: pass --jobs {a}\n"
    )


def test_without_a_directory_the_only_one_that_has_the_job_is_meant(
    shell: Home, a: Path, b: Path
) -> None:
    bare = {"PROKERJA_JOBS": ""}
    shell.declare("render", "--jobs", a)
    told = shell("declare:job", "render", "n=1", environment=bare)
    assert fate(shell, int(told.out))[2] == str(a)
    # What it takes may have changed since.
    (a / "render.py").write_text(JOB.format(field="k", queue="later", result=""))
    told = shell("declare:batch", stdin='{"job": "render", "payload": {"k": 1}}', environment=bare)
    assert told.code == 0, told.err
    shell.declare("render", "--jobs", b)
    told = shell("declare:job", "render", environment=bare)
    assert (told.code, told.out) == (2, "")
    assert told.err == f"prokerja: {a} and {b} have a job 'render' each; pass --jobs DIR\n"


@pytest.mark.parametrize("was", ["elsewhere", "the default one"])
def test_a_job_that_only_a_deleted_directory_had_is_unknown(shell: Home, a: Path, was: str) -> None:
    bare = {"PROKERJA_JOBS": "", "XDG_CONFIG_HOME": str(shell.path / "config")}
    if was == "the default one":
        a = project(shell.path / "config" / "prokerja", "by the user")
    shell.declare("render", "--jobs", a)
    assert shell("declare:job", "render", environment=bare).code == 0
    shutil.rmtree(a)
    told = shell("declare:job", "render", environment=bare)
    assert told.code == 2
    assert "unknown job 'render'" in told.err


def test_by_sql_the_only_directory_that_has_the_job_is_meant_and_of_several_none(
    shell: Home, a: Path, b: Path
) -> None:
    shell.declare("render", "--jobs", a)
    assert fate(shell, by_sql(shell, job="render", payload='{"n": 1}'))[2] == str(a)
    shell.declare("render", "--jobs", b)
    before = shell.dump()
    for columns in ({}, {"payload": '{"n": 1}'}, {"queue": "of-a"}):
        with pytest.raises(sqlite3.IntegrityError, match="say in the column jobs which"):
            by_sql(shell, job="render", **columns)
    with pytest.raises(sqlite3.IntegrityError, match="unknown job"):
        by_sql(shell, job="render", jobs=str(shell.path))
    assert shell.dump() == before
    assert fate(shell, by_sql(shell, job="render", jobs=str(b), payload='{"m": 1}'))[2] == str(b)


@pytest.mark.parametrize("unsure", ["queue", "priority", "retries", "retry_after", "timeout"])
def test_by_sql_an_option_that_only_the_running_job_would_know_has_to_be_given(
    shell: Home, unsure: str
) -> None:
    shell.declare("noop")
    with closing(sqlite3.connect(shell.db)) as connection, connection:
        connection.execute(
            "UPDATE catalog SET spec = json_set(spec, '$.unsure', json_array(?))", (unsure,)
        )
    with pytest.raises(
        sqlite3.IntegrityError, match="is computed in its file; start a worker once"
    ):
        by_sql(shell, job="noop")
    given = "mail" if unsure == "queue" else 3
    assert by_sql(shell, job="noop", **{unsure: given}) == 2


@pytest.mark.parametrize("unsure", ["name", "fields"])
def test_by_sql_a_job_that_only_a_worker_can_tell_is_refused(shell: Home, unsure: str) -> None:
    shell.declare("noop")
    with closing(sqlite3.connect(shell.db)) as connection, connection:
        connection.execute(
            "UPDATE catalog SET spec = json_set(spec, '$.unsure', json_array(?))", (unsure,)
        )
    with pytest.raises(sqlite3.IntegrityError, match="partly computed in its file; start a worker"):
        by_sql(shell, job="noop", queue="a", priority=1, retries=1, retry_after=1, timeout=1)


def test_a_worker_that_is_told_that_the_jobs_are_the_same_takes_them(
    shell: Home, a: Path, b: Path, tmp_path: Path
) -> None:
    [of_a], [of_b] = shell.declare("render", "--jobs", a), shell.declare("render", "--jobs", b)
    other = project(tmp_path / "c", "by c")
    work(shell, other, "--same-as", os.path.relpath(a, shell.path), "--same-as", b)
    assert fate(shell, of_a) == ("completed", "by c", str(a))
    assert fate(shell, of_b) == ("completed", "by c", str(b))


def test_a_report_tells_whose_job_it_is_and_which_worker_it_waits_for(
    shell: Home, a: Path, b: Path
) -> None:
    [id] = shell.declare("render", "--jobs", a)
    assert f"  jobs:        {a}" in shell("report:job", id).lines
    shell.worker("--jobs", b).ready()
    assert shell.ask("report:job", id)["why_not_running"] == (
        f"it was declared from {a}, and living workers have the jobs of {b};"
        f" start one with --jobs {a}, or with --same-as {a} if those are the same jobs"
    )
    shell.worker("--jobs", b, "--same-as", a).ready()
    wait_until(lambda: shell.ask("report:job", id)["status"] == "completed")


def test_a_worker_of_the_version_before_declares_its_follow_ups_to_no_directory(
    shell: Home, a: Path, b: Path
) -> None:
    """What it has begun it writes down with its own statements, see the schema."""
    for jobs in (b, a):
        shell.declare("render", "--jobs", jobs, "--queue", "q")
    with closing(sqlite3.connect(shell.db)) as connection, connection:
        for name in ("render", "render", "new"):
            lane = ("q", name, 0)
            connection.execute(
                "INSERT OR IGNORE INTO lane (queue, name, priority) VALUES (?, ?, ?)", lane
            )
            query = "SELECT id FROM lane WHERE queue = ? AND name = ? AND priority = ?"
            [id] = connection.execute(query, lane).fetchone()
            query = "SELECT queue, name, priority, directory FROM lane WHERE id = ?"
            assert connection.execute(query, (id,)).fetchone() == (*lane, "")
        assert connection.execute("SELECT count(*) FROM lane").fetchone() == (4,)


def test_a_directory_keeps_its_name_when_the_link_in_it_leads_elsewhere(
    shell: Home, tmp_path: Path
) -> None:
    first, second = project(tmp_path / "1", "by 1"), project(tmp_path / "2", "by 2")
    current = tmp_path / "current"
    current.symlink_to(first.parent)
    [named] = shell.declare("render", "--jobs", current / "jobs")
    current.unlink()
    current.symlink_to(second.parent)
    [direct] = shell.declare("render", "--jobs", second)
    [old] = shell.declare("render", "--jobs", first)
    work(shell, current / "jobs")
    assert fate(shell, named) == ("completed", "by 2", str(current / "jobs"))
    assert fate(shell, direct) == ("completed", "by 2", str(second))
    assert fate(shell, old) == ("pending", None, str(first))


def test_a_follow_up_belongs_to_the_workers_directory_and_a_librarys_job_to_none(
    shell: Home, a: Path, b: Path
) -> None:
    library = shell.path / "library"
    library.mkdir()
    (library / "shared.py").write_text(JOB.format(field="m", queue="default", result=""))
    (a / "parent.py").write_text(
        textwrap.dedent("""
        from dataclasses import dataclass
        from prokerja import Job
        from jobs.render import Render
        import shared

        @dataclass
        class Parent(Job):
            def handle(self):
                self.declare(Render())
                self.declare(shared.Render(), queue="of-b")
        """)
    )
    path = {"PYTHONPATH": str(library)}
    [parent] = shell.declare("parent", "--jobs", a)
    shell.declare("render", "--jobs", b)
    words = ("realization:start", "--jobs", a, "--max-jobs", "1")
    assert shell(*words, environment=path).code == 0
    assert fate(shell, parent)[0] == "completed"
    work(shell, b)
    assert fate(shell, parent + 2)[:2] == ("pending", None)
    assert fate(shell, parent + 3) == ("completed", "by b", None)
    work(shell, a)
    assert fate(shell, parent + 2) == ("completed", "by a", str(a))


def test_a_worker_made_from_classes_takes_what_their_own_declarations_say(
    shell: Home, a: Path, b: Path
) -> None:
    program = """
        import sys
        sys.path.insert(0, "")
        from jobs.render import Render
        from prokerja import Queue, Worker
        queue = Queue()
        print(queue.declare(Render()))
        Worker(queue, [Render], until_empty=True).run()
        """
    [of_b] = shell.declare("render", "--jobs", b)
    told = shell.execute(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=a.parent, environment={"PROKERJA_JOBS": ""},
    )  # fmt: skip
    assert fate(shell, int(told.out)) == ("completed", "by a", str(a))
    assert fate(shell, of_b)[0] == "pending"
