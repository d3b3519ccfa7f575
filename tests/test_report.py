"""Where everything stands, and why a job is not running."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import Queue
from prokerja.errors import RequestError
from prokerja.model.declaration import Declaration, Lane
from prokerja.repository.sqlite.codes import TURNS
from prokerja.repository.sqlite.repository import SQLiteRepository
from prokerja.verdicts import Failed
from tests.crash.work import take
from tests.harness.home import Home, opened
from tests.harness.jobs import SOME
from tests.harness.terminal import Terminal, terminal
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def busy(shell: Home) -> Iterator[Home]:
    """A job that runs, one that failed, two that completed on two queues, one that waits."""
    shell.declare_job("fail", why="first line\nsecond line")
    shell.declare("noop", "n=1")
    shell.declare("noop", "n=2", "--queue", "other")
    shell.work()
    shell.declare_job("hold", gate=str(shell.path / "gate"))
    shell.worker("--max-jobs", "1").ready()
    wait_until(lambda: shell.report()[1] == 1)
    shell.declare("send", "to=x")
    yield shell
    (shell.path / "gate").touch()


def why(shell: Home, id: int) -> str | None:
    """What `report:job` says of why a job is not running, in JSON and in words."""
    answer = shell.ask("report:job", id)["why_not_running"]
    told = shell("report:job", id)
    assert (told.code, told.err) == (0, "")
    said = [line for line in told.lines if line.startswith("  not running:")]
    assert [f"  not running: {answer}"] * (answer is not None) == said or "due in" in str(answer)
    assert answer is None or isinstance(answer, str)
    return answer


# Counts


def test_a_report_in_a_pipe_is_exactly_five_lines(busy: Home) -> None:
    assert busy("report") == (
        0,
        "ProKerja Report\npending: 1\nprocessing: 1\ncompleted: 2\nfailed: 1\n",
        "",
    )
    other = "ProKerja Report\npending: 0\nprocessing: 0\ncompleted: 1\nfailed: 0\n"
    assert busy("report", "--queue", "other").out == other
    assert busy("report", "--queue", "unheard-of").out == other.replace("1", "0")


def test_a_report_in_json_has_queues_ages_and_workers(busy: Home) -> None:
    answer = busy.ask("report")
    assert [answer[status] for status in ("pending", "processing", "completed", "failed")] == [
        1, 1, 2, 1
    ]  # fmt: skip
    assert [queue["queue"] for queue in answer["queues"]] == ["default", "emails", "other"]
    assert answer["queues"][1]["pending"] == 1
    assert 0 <= answer["oldest_due_seconds"] < 60
    [worker] = answer["workers"]
    assert (worker["realizers"], worker["queues"]) == (1, [])
    assert busy.ask("report", "--queue", "other")["oldest_due_seconds"] is None


def test_a_report_at_a_terminal_is_a_table(busy: Home) -> None:
    code, text = Terminal(busy, "report").end()
    assert code == 0
    lines = [line.split() for line in text.splitlines()]
    assert ["queue", "pending", "processing", "completed", "failed"] in lines
    assert ["other", "0", "0", "1", "0"] in lines
    assert ["all", "1", "1", "2", "1"] in lines
    assert "oldest due job: waiting for " in text
    assert "workers alive: 1" in text


def test_a_report_of_one_queue_at_a_terminal_needs_no_queue_column(shell: Home) -> None:
    shell.declare_job("noop")
    code, text = Terminal(shell, "report").end()
    lines = [line.split() for line in text.splitlines()]
    assert code == 0
    assert ["status", "jobs"] in lines
    assert ["pending", "1"] in lines
    assert "workers alive: 0" in text


def test_a_report_of_no_file_says_how_to_make_one_and_makes_none(shell: Home) -> None:
    for words in (["report"], ["report:jobs"], ["report:job", 1], ["purge"], ["retry", 1]):
        told = shell(*words)
        assert (told.code, told.out) == (1, "")
        assert told.err == (
            f"prokerja: there is no queue at {shell.db} yet; declare a job to make one\n"
        )
    assert not shell.db.exists()


# Lists


def test_a_list_in_a_pipe_has_a_line_a_job_with_tabs_between(busy: Home) -> None:
    told = busy("report:jobs")
    assert (told.code, told.err) == (0, "")
    assert [row[:5] for row in told.cells] == [
        ["5", "send", "emails", "pending", "0"],
        ["4", "hold", "default", "processing", "0"],
        ["3", "noop", "other", "completed", "1"],
        ["2", "noop", "default", "completed", "1"],
        ["1", "fail", "default", "failed", "1"],
    ]
    assert told.cells[4][6] == "ValueError: first line second line"
    assert all(row[5].endswith("+00:00") for row in told.cells)


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--status", "pending"], ["5"]),
        (["--status", "processing"], ["4"]),
        (["--status", "completed"], ["3", "2"]),
        (["--status", "failed"], ["1"]),
        (["--status", "failed", "--queue", "other"], []),
        (["--queue", "default"], ["4", "2", "1"]),
        (["--queue", "default", "--job", "noop"], ["2"]),
        (["--job", "noop"], ["3", "2"]),
        (["--job", "noop", "--limit", "1"], ["3"]),
        (["--limit", "2"], ["5", "4"]),
        (["--limit", "1", "--status", "completed"], ["3"]),
        (["--job", "unheard_of"], []),
    ],
)
def test_a_list_may_be_narrowed(finished: Home, words: list[str], ids: list[str]) -> None:
    assert {row[0] for row in finished("report:jobs", *words).cells} == set(ids)
    assert {str(job["id"]) for job in finished.ask("report:jobs", *words)} == set(ids)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The same jobs as `busy` has, for tests that only look at them."""
    with opened(tmp_path_factory.mktemp("finished"), "some.py", SOME, "my jobs") as shell:
        shell.declare_job("fail")
        shell.declare("noop", "n=1")
        shell.declare("noop", "n=2", "--queue", "other")
        shell.work()
        shell.declare_job("hold", gate=str(shell.path / "gate"))
        shell.worker("--max-jobs", "1").ready()
        wait_until(lambda shell=shell: shell.report()[1] == 1)  # type: ignore[misc]
        shell.declare("send", "to=x")
        yield shell


def test_a_list_at_a_terminal_is_a_table(busy: Home) -> None:
    code, text = Terminal(busy, "report:jobs", "--limit", "4").end()
    lines = [line.split() for line in text.splitlines()]
    assert code == 0
    assert ["id", "job", "queue", "status", "attempts", "declared"] in lines  # none has an error
    assert any(line[:5] == ["4", "hold", "default", "processing", "0"] for line in lines)
    assert "s ago" in text


def test_what_a_name_hides_is_made_visible(shell: Home) -> None:
    payload = json.dumps({"why": "\x1b[2J\u202eabc\x00"})
    shell.declare("fail", "--data", payload, "--queue", "🙂 שלום")
    shell.work()
    told = shell("report:jobs")
    assert told.cells[0][2] == "🙂 שלום"
    assert told.cells[0][6] == "ValueError: \\x1b[2J\\u202eabc\\x00"
    assert "\x1b" not in shell("report:job", 1).out
    assert shell.ask("report:job", 1)["payload"]["why"] == "\x1b[2J\u202eabc\x00"


# One job


def test_everything_about_one_job_is_reported(shell: Home) -> None:
    options = ["--priority", "4", "--timeout", "90", "--retries", "1", "--retry-after", "0"]
    [id] = shell.declare("fail", "why=broken", *options)
    shell.work()
    answer = shell.ask("report:job", id)
    assert [answer[key] for key in ("job", "status", "priority", "timeout", "attempts")] == [
        "fail", "failed", 4, 90.0, 2
    ]  # fmt: skip
    assert [attempt["attempt"] for attempt in answer["history"]] == [1, 2]
    for attempt in answer["history"]:
        assert attempt["error"] == "ValueError: broken"
        assert attempt["started_at"] <= attempt["finished_at"]
        assert "raise ValueError(self.why)" in attempt["traceback"]
    told = shell("report:job", id)
    assert told.lines[0] == f"job {id}: fail, failed"
    assert '  payload:     {"why":"broken"}' in told.lines
    assert "  time limit:  1m 30s" in told.lines
    assert sum("ValueError: broken" in line for line in told.lines) >= 2
    assert any(line.startswith("attempt 2: ") for line in told.lines)


def test_a_result_is_reported(shell: Home) -> None:
    shell.declare_job("noop", n=7)
    shell.work()
    answer = shell.ask("report:job", 1)
    assert (answer["result"], answer["error"]) == ({"n": 7}, None)
    [attempt] = answer["history"]
    assert (attempt["attempt"], attempt["error"], attempt["traceback"]) == (1, None, None)
    assert '  result:      {"n":7}' in shell("report:job", 1).lines


# Why a job is not running


def test_a_job_that_is_not_due_says_when_it_will_be(shell: Home) -> None:
    shell.declare("noop", "--in", "1h")
    answer = why(shell, 1)
    assert re.fullmatch(r"it is due in 59m \d+s, at 2\S+\+00:00", str(answer))


def test_without_a_worker_a_job_says_that_none_is_alive(shell: Home) -> None:
    shell.declare_job("noop")
    assert why(shell, 1) == "no worker is alive; start one with `prokerja realization:start`"


def test_a_job_on_a_queue_that_no_worker_takes_from_says_so(shell: Home) -> None:
    shell.worker("--queue", "other").ready()
    shell.declare_job("noop")
    assert why(shell, 1) == (
        "no living worker takes from the queue default; start one with --queue default"
    )


def test_a_job_that_no_worker_knows_says_so(shell: Home) -> None:
    shell.worker("--no-watch").ready()
    shell.write(
        "new.py", "class New:\n    def handle(self): pass\n    def payload(self): return {}\n"
    )
    shell.declare("new")
    answer = why(shell, 1)
    assert answer is not None
    assert answer.startswith("no living worker knows the job new; ")


def test_jobs_behind_others_say_behind_how_many(shell: Home) -> None:
    gate = shell.path / "gate"
    shell.declare_job("hold", gate=str(gate))
    worker = shell.worker("--max-jobs", "4").ready()
    wait_until(lambda: shell.report()[1] == 1)
    for n in (1, 2, 3):
        shell.declare_job("noop", n=n)
    assert why(shell, 1) is None
    assert why(shell, 2) == "it is the next; a worker takes it as soon as a realizer is free"
    assert why(shell, 3) == "it waits its turn behind 1 other job"
    assert why(shell, 4) == "it waits its turn behind 2 other jobs"
    gate.touch()
    assert worker.end() == 0


def test_jobs_that_no_worker_could_take_first_are_not_counted_as_ahead(shell: Home) -> None:
    for _ in range(5):
        shell.declare_job("nobody_knows_it")
    gate = shell.path / "gate"
    shell.declare_job("hold", gate=str(gate))
    worker = shell.worker("--max-jobs", "2").ready()
    wait_until(lambda: shell.report()[1] == 1)
    shell.declare_job("noop")
    assert why(shell, 7) == "it is the next; a worker takes it as soon as a realizer is free"
    gate.touch()
    assert worker.end() == 0


def test_a_job_that_runs_says_for_how_long(busy: Home) -> None:
    wait_until(lambda: busy.ask("report:job", 4)["started_at"] is not None)
    assert why(busy, 4) is None
    assert any(line.startswith("  running:     for ") for line in busy("report:job", 4).lines)


def test_a_job_whose_worker_is_dead_does_not_claim_to_run(busy: Home) -> None:
    pid = busy.ask("report")["workers"][0]["pid"]
    os.killpg(pid, signal.SIGKILL)
    wait_until(lambda: not busy.ask("report")["workers"])
    assert why(busy, 4) == "its worker is dead; `prokerja realization:start` puts it back at once"


def test_jobs_that_have_ended_say_so(shell: Home) -> None:
    shell.declare_job("noop")
    shell.declare_job("fail")
    shell.work()
    assert why(shell, 1) is None
    assert why(shell, 2) == "it has failed; `prokerja retry 2` gives it a fresh start"


# What other doors may have written


@pytest.mark.parametrize("due_at", ["1e15", "9e999", "-1e15"])
def test_a_due_time_beyond_all_calendars_breaks_no_report(shell: Home, due_at: str) -> None:
    shell.declare("noop")
    with contextlib.closing(sqlite3.connect(shell.db)) as connection:
        with contextlib.suppress(sqlite3.IntegrityError):  # it may also be refused
            connection.execute(f"INSERT INTO declare (job, due_at) VALUES ('noop', {due_at})")
        connection.commit()
    for words in (["report"], ["report:jobs"], ["report:jobs", "--json"]):
        assert shell(*words).err == ""
    for id in range(1, sum(shell.report()) + 1):
        assert shell("report:job", id).err == ""
        assert json.loads(shell("report:job", id, "--json").out)["id"] == id


# A clock that was fast


HOUR = 3600.0


def declared_by_a_fast_clock(shell: Home, **options: Any) -> int:
    """A job of a process whose clock is an hour ahead; its id."""
    now = time.time() + HOUR
    lane = Lane("default", "noop", 0, str(shell.jobs))
    with contextlib.closing(SQLiteRepository(str(shell.db))) as repository:
        request = Declaration(lane, "{}", 0.0, 0, 60.0, None)._replace(**options)
        return repository.declarations.add_one(request, now)


def test_a_job_that_a_fast_clock_has_declared_says_so_and_can_be_freed(shell: Home) -> None:
    id = declared_by_a_fast_clock(shell)
    shell.work()
    said = why(shell, id)
    assert said is not None
    assert re.match(
        r"the clock was (1h|59m 5\ds) ahead when it was declared, so it is due in (1h|59m 5\ds),"
        rf" at \S+; `prokerja retry {id}` makes it due now$",
        said,
    )
    assert re.search(r"declared: +\S+ \(in (1h|59m 5\ds)\)", shell("report:job", id).out)
    assert shell("retry", id).lines == ["1"]
    assert why(shell, id) == "no worker is alive; start one with `prokerja realization:start`"
    shell.work()
    assert shell.report() == [0, 0, 1, 0]


def test_a_retry_that_a_fast_clock_has_put_off_says_so(shell: Home) -> None:
    now = time.time()
    lane = Lane("default", "noop", 0)
    with contextlib.closing(SQLiteRepository(str(shell.db))) as repository:
        request = Declaration(lane, "{}", 0.0, 1, 10.0, None)
        id = repository.declarations.add_one(request, now)
        late = now + HOUR
        with repository.database.writing():
            [claimed] = take(repository, TURNS, now)
            failed = (id, claimed.lane, Failed(late, late, "no luck"))
            repository.claims.settle(TURNS, [failed], late, lambda: 0.5)
    assert "ahead when its last attempt ended, so it is due in" in str(why(shell, id))


def test_a_job_that_is_meant_for_later_says_nothing_of_clocks_and_can_be_made_due(
    shell: Home,
) -> None:
    [id] = shell.declare("noop", "--in", "5m", "--retries", "2")
    assert str(why(shell, id)).startswith("it is due in ")
    before = shell.ask("report:job", id)
    with contextlib.closing(Queue(shell.db)) as queue:
        queue.retry(id)
        with pytest.raises(RequestError, match="is due already"):
            queue.retry(id)
    after = shell.ask("report:job", id)
    told = {"due_at", "why_not_running"}
    assert {key for key in after if after[key] != before[key]} == told
    shell.work()
    assert shell.report() == [0, 0, 1, 0]


def test_what_makes_a_job_due_is_all_or_nothing(shell: Home) -> None:
    [later] = shell.declare("noop", "--in", "1h")
    [due] = shell.declare("noop")
    before = shell.dump()
    told = shell("retry", later, due)
    assert (told.code, told.out) == (2, "")
    assert f"job {due} has not failed, and is due already" in told.err
    assert shell.dump() == before


def test_a_list_may_be_ids_alone_for_another_command(shell: Home) -> None:
    for n in (1, 2):
        shell.declare("fail", "--label", f"number {n}")
    shell.declare("noop")
    shell.work()
    assert shell("report:jobs", "--status", "failed", "--ids").out == "2\n1\n"
    assert shell("report:jobs", "--ids", "--reverse", "--limit", 2).out == "2\n3\n"
    assert shell("report:jobs", "--label", "number 1", "--ids").out == "1\n"
    assert shell("report:jobs", "--error", "NO REASON", "--ids").out == "2\n1\n"
    piped = "prokerja report:jobs --status failed --ids | xargs prokerja retry"
    assert shell.sh(piped) == (0, "2\n", "")


def test_a_long_name_cuts_no_id_and_no_status(shell: Home) -> None:
    shell.declare("noop", "--queue", "q" * 200)
    code, shown = terminal(shell, "report:jobs")
    assert code == 0
    [row] = [line.split() for line in shown.splitlines() if "noop" in line]
    assert (row[0], row[3]) == ("1", "pending")
    assert row[2].startswith("qqq")
    assert row[2].endswith("\u2026")


def test_a_list_may_be_of_a_time(shell: Home) -> None:
    shell.declare("noop")
    assert shell("report:jobs", "--since", "1h", "--ids").out == "1\n"
    assert shell("report:jobs", "--until", "1h", "--ids").out == ""
    assert shell("report:jobs", "--since", "2020-01-01", "--until", "2020-02-01").out == ""


def test_a_list_may_be_csv_with_the_columns_that_are_asked_for(shell: Home) -> None:
    shell.declare("noop", "--label", 'two, "words"', "--priority", 7)
    names = "id,label,priority,finished"
    told = shell("report:jobs", "--csv", "--columns", names)
    assert told.out == f'{names}\n1,"two, ""words""",7,\n'
    assert shell("report:jobs", "--columns", "status, id").out == "pending\t1\n"
    shell("declare:shell", "echo\x1b[2J")
    assert shell("report:jobs", "--csv", "--limit", 1, "--columns", "what").out == (
        "what\n'echo\\x1b[2J'\n"
    )


def test_a_list_may_be_sorted_by_any_column(shell: Home) -> None:
    for words in ("noop --priority 9", "fail --label b", "noop --label a --queue other"):
        shell.declare(*words.split())
    shell.work("--queue", "default")

    def order(*words: str) -> str:
        return shell("report:jobs", "--ids", *words).out.replace("\n", " ").strip()

    assert order() == "3 2 1"
    assert order("--sort", "id") == "1 2 3"
    assert order("--sort", "priority") == "3 2 1"
    assert order("--sort", "label") == "3 2 1", "what has none comes last"
    assert order("--sort", "queue") == "2 1 3", "what is alike stays as it was"
    assert order("--sort", "queue", "--reverse") == "3 1 2"
    assert order("--sort", "finished")[-1] == "3"
    assert order("--sort", "status", "--limit", "2") == "2 3", "the newest, in another order"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--sort", "size"], "--sort: 'size' is none of id, job"),
        (["--columns", "id,size"], "--columns: 'size' is none of id, job"),
        (["--columns", "id", "--ids"], "--columns goes with a table or --csv"),
        (["--ids", "--csv"], "--ids, --csv and --json cannot be combined"),
        (["--since", "yesterday"], "--since: 'yesterday' is not a time"),
    ],
)
def test_what_no_list_can_be_is_said_in_one_line(
    shell: Home, words: list[str], complaint: str
) -> None:
    told = shell("report:jobs", *words)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert complaint in told.err


def test_an_empty_list_says_at_a_terminal_what_to_do_next(shell: Home) -> None:
    shell.queue.summary()
    assert Terminal(shell, "report:jobs").end() == (
        0,
        "No job is known: `prokerja declare:job` declares one.\n",
    )
    assert Terminal(shell, "report:jobs", "--label", "x").end() == (0, "No job matches.\n")
