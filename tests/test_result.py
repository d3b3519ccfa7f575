"""What jobs return: kept up to a size, cut beyond it, and printed by `prokerja result`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from prokerja.model.result import MAX_RESULT_BYTES
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

LONG = MAX_RESULT_BYTES - 2
"""Characters of a string that just fits, with its quotes."""


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("return {'n': [1, None]}", '{"n": [1, null]}'),
        ("return 'ö'", r'"\u00f6"'),
        ("pass", "null"),
    ],
)
def test_a_result_is_printed_as_json(home: Home, code: str, text: str) -> None:
    id = home.run(code)
    home.work()
    assert home("result", id) == (0, f"{text}\n", "")
    assert home("result", id, "--json") == (0, f"{text}\n", "")


def test_the_result_of_a_command_is_its_exit_code(shell: Home) -> None:
    shell("declare:shell", "--sh", "exit 3", "--ok", "0,3")
    shell.work()
    assert shell("result", 1) == (0, "3\n", "")


def test_a_result_is_kept_up_to_64_kib_and_cut_beyond(home: Home) -> None:
    whole, cut = home.run(f"return 'x' * {LONG}"), home.run(f"return 'x' * {LONG + 1}")
    home.work()
    assert json.loads(home.cli("result", whole)) == "x" * LONG
    assert home.job(whole)["cut_result"] is None
    told = home("result", cut)
    assert told.code == 0
    assert json.loads(told.out) == {
        "cut": True, "bytes": MAX_RESULT_BYTES + 1, "beginning": '"' + "x" * (MAX_RESULT_BYTES - 1),
    }  # fmt: skip
    assert told.err == (
        f"prokerja: the result of job {cut} has 65,537 bytes, of which 65,536 are kept;"
        " have the job write it to a file, and return the path\n"
    )
    assert home("result", cut, "--json") == told


def test_a_job_whose_result_was_cut_has_completed_and_its_attempt_says_so(home: Home) -> None:
    id = home.run("self.declare(Run('note(1)')); return ['x' * 3_000_000]")
    home.work()
    job = home.ask("report:job", id)
    assert (job["status"], job["attempts"], job["result"], job["error"]) == (
        "completed", 1, None, None,
    )  # fmt: skip
    assert job["cut_result"]["bytes"] == 3_000_004
    [attempt] = job["history"]
    assert (attempt["cut_bytes"], attempt["error"]) == (3_000_004, None)
    said = "completed; its result has 3,000,004 bytes, of which 65,536 are kept\n"
    assert said in home.cli("report:job", id)
    assert home.ledger() == ["1"], "its follow-up was declared"


def test_nothing_that_reads_results_finds_half_of_one(home: Home) -> None:
    id = home.run(f"return ['x' * {MAX_RESULT_BYTES}]")
    home.work()
    assert home.look(f"SELECT result FROM declaration WHERE id = {id}") == [(None,)]
    [(result, cut)] = home.look(f"SELECT result, cut_bytes FROM report WHERE id = {id}")
    assert (result, cut) == (None, MAX_RESULT_BYTES + 4)


def test_a_cut_result_goes_with_its_job(home: Home) -> None:
    home.run(f"return 'x' * {MAX_RESULT_BYTES}")
    home.work()
    assert len(home.look("SELECT * FROM cut_result")) == 1
    home.cli("purge")
    assert home.look("SELECT * FROM cut_result") == []


def test_a_cut_result_outlives_the_process_that_has_not_reported_it(home: Home) -> None:
    code = f"self.n = 1; return 'x' * {MAX_RESULT_BYTES}"
    worker = home.worker().ready()
    home.warm(worker)
    realizer = worker.stopped_realizer()
    ids = home.run_each([code, "os.kill(os.getpid(), 9)"])
    wait_until(home.several_in_hand)
    realizer.resume()
    home.wait(ids[0])
    assert home.job(ids[0])["cut_result"]["bytes"] == MAX_RESULT_BYTES + 2
    assert home.job(ids[0])["attempts"] == 1


def test_what_has_no_result_says_why(shell: Home) -> None:
    shell.declare("noop", "--in", "1h")
    shell.declare("fail", "why=two\nlines")
    shell.declare("hold", f"gate={shell.path / 'gate'}")
    shell.worker()
    shell.wait(2, "failed")
    wait_until(lambda: shell.running(3))
    for id, why in {
        1: "job 1 is pending, so it has no result yet; `prokerja wait 1` waits for its end",
        2: "job 2 has failed, so it has no result: ValueError: two lines; `prokerja report:job 2`"
        " shows all",
        3: "job 3 is processing, so it has no result yet; `prokerja wait 3` waits for its end",
        4: "there is no job 4; `prokerja report:jobs` lists them",
    }.items():
        assert shell("result", id) == (1, "", f"prokerja: {why}\n")
        told = shell("result", id, "--json")
        assert (told.code, json.loads(told.out)["error"]) == (1, why)
