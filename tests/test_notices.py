"""Notices: commands that real workers run when something has happened."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.model.declaration import NOTIFY
from prokerja.notices import Rule, declaration
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.home import Home

TELLER = """
import json, os, sys
given = {k: v for k, v in os.environ.items() if k.startswith("PROKERJA_")}
line = json.dumps([sys.argv[1:], given, json.load(sys.stdin)]) + "\\n"
file = os.open("told", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(file, line.encode())
"""
"""Notes what it is told in a file in its directory."""


def configure(home: Home, text: str) -> None:
    """What `[notify]` says; `TELL` stands for words that note what they are told."""
    folder = home.path / "home" / ".config" / "prokerja"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tell.py").write_text(TELLER)
    text = text.replace("TELL", '"python3", "tell.py"')
    (folder / "prokerja.toml").write_text(f"[notify]\n{text}\n")


def told(home: Home) -> list[Any]:
    """Of each notice that has come, the arguments, the environment, and what came on stdin."""
    file = home.path / "home" / ".config" / "prokerja" / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def notices_of(home: Home) -> Counter[int]:
    """How many notices there are of each job, whether they have been run or not."""
    rows = home.look(
        "SELECT label FROM declaration JOIN lane ON lane.id = declaration.lane"
        f" WHERE queue = '{NOTIFY}'"
    )
    return Counter(int(label.removeprefix("failed: job ")) for (label,) in rows)


def raise_an_error(home: Home) -> int:
    return home.run("raise ValueError('no {id}')", label="nightly")


def run_out_of_time(home: Home) -> int:
    return home.run("time.sleep(60)", timeout=0.2)


def be_killed(home: Home) -> int:
    return home.run("os.kill(os.getpid(), signal.SIGKILL)")


def expire(home: Home) -> int:
    return home.run("pass", expires=0.001, delay=60)


def have_failed(home: Home, count: int) -> bool:
    return home.counts()["failed"] >= count


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (raise_an_error, "ValueError: no {id}"),
        (run_out_of_time, "ran longer than"),
        (be_killed, "SIGKILL"),
        (expire, "expired"),
    ],
)
def test_a_failure_runs_the_command_once_with_the_facts(
    home: Home, fail: Callable[[Home], int], error: str
) -> None:
    configure(home, 'failed = [TELL, "{job} {id}", "{error}", "{}"]')
    id = fail(home)

    home.work()
    home.work()
    [(words, environment, facts)] = told(home)
    assert words[0] == f"run {id}"
    assert words[2] == "{}"
    assert error in words[1] == facts["error"] == environment["PROKERJA_ERROR"]
    assert facts["notice"] == environment["PROKERJA_NOTICE"] == "failed"
    assert (environment["PROKERJA_JOB_ID"], environment["PROKERJA_JOB"]) == (str(id), "run")
    assert "code" not in json.dumps(facts), "the payload is told to nobody"
    assert notices_of(home) == {id: 1}


def test_a_notice_for_each_failure_whenever_the_worker_is_killed(home: Home) -> None:
    configure(home, 'failed = ["true"]')
    chance = random.Random(12)
    ids = home.run_each(["time.sleep(0.001); raise ValueError('no')"] * 200)
    for enough in range(40, 200, 40):
        worker = home.worker("--queue", "default")
        wait_until(partial(have_failed, home, enough))
        time.sleep(chance.uniform(0.0, 0.01))  # not a wait: the moment of death
        worker.kill()
    home.worker("--queue", "default")
    wait_until(partial(have_failed, home, len(ids)))
    assert notices_of(home) == dict.fromkeys(ids, 1)


def test_a_class_and_a_declaration_may_say_what_is_run(home: Home) -> None:
    home.write(
        "careful.py",
        """
        from dataclasses import dataclass
        from prokerja import Job

        @dataclass
        class Careful(Job):
            on_failure = ["sh", "-c", "echo class $0 >> ../ledger", "{id}"]

            def handle(self):
                self.declare(Careful(), on_failure="false")
                raise ValueError("no")
        """,
    )
    own = "sh -c 'echo own $0 {id} >> ledger' {id}"
    home.declare("careful")
    home.declare("careful", "--on-failure", own)
    batch = [
        {"job": "careful", "on_failure": ["touch", "{job}"]},
        {"shell": "exit 3", "on_failure": own},
    ]
    home("declare:batch", stdin="\n".join(map(json.dumps, batch)))
    home.work()
    assert sorted(home.ledger()) == ["class 1", "own 2 {id}", "own 4 {id}"]
    assert (home.path / "careful").exists()


@pytest.mark.parametrize("command", ["", "'", "--json-is-no-word '"])
def test_what_cannot_be_a_command_is_refused(home: Home, command: str) -> None:
    refused = home("declare:job", "run", "code=pass", f"--on-failure={command}")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("prokerja: on_failure: ")
    assert "give a command: a list of words, or a line" in refused.err


def test_a_worker_of_other_queues_runs_notices_after_its_own(home: Home) -> None:
    configure(home, "failed = [TELL]")
    first = home.run("raise ValueError('no')", queue="mail")
    last = home.run("note('last')", queue="mail", delay=0.001)
    home.run("pass", queue="other")
    home.work("--queue", "mail")
    assert [facts["id"] for _, _, facts in told(home)] == [first]
    assert home.job(last)["status"] == "completed"
    assert home.counts()["pending"] == 1


def test_a_worker_that_dies_is_told_of_by_the_next(home: Home) -> None:
    configure(home, 'worker_down = [TELL, "{worker}"]')
    worker = home.worker().ready()
    worker.kill()
    home.work()
    [(words, _, facts)] = told(home)
    assert (words, facts["pid"], facts["returned"]) == (["1"], worker.pid, 0)


def test_a_worker_that_leaves_is_not_told_of(home: Home) -> None:
    configure(home, "worker_down = [TELL]")
    worker = home.worker().ready()
    worker.send(signal.SIGTERM)
    worker.end()
    home.work()
    assert told(home) == []


def test_a_stuck_queue_is_told_of_by_a_worker_that_does_not_take_from_it(home: Home) -> None:
    configure(home, 'queue_stuck = {command = [TELL, "{queue}"], after = "0.5s"}')
    home.worker("--queue", "mail").ready()
    home.run("pass")
    wait_until(lambda: told(home))
    [(words, environment, facts)] = told(home)
    assert words == ["default"]
    assert environment["PROKERJA_JOB_ID"] == ""
    assert facts["seconds"] > 0.5


def test_what_was_gathered_is_told_when_its_time_has_come(home: Home) -> None:
    configure(home, 'failed = {command = [TELL, "{count}"], every = "2s"}')
    home.worker().ready()
    home.run_each(["raise ValueError('no')"] * 5)
    wait_until(lambda: len(told(home)) == 2)
    assert [words for words, _, _ in told(home)] == [["1"], ["4"]]


@pytest.mark.parametrize("option", ["-c", "-ec", "-lc"])
def test_code_is_not_filled_in(option: str) -> None:
    event = {"id": 7, "error": "$(reboot)"}
    rule = Rule(("sh", option, "echo {error}", "{error}", "{id}{unknown}"))
    words = json.loads(declaration(rule, "failed", [event], 1, 0.0).payload)["argv"]
    assert words == ["sh", option, "echo {error}", "$(reboot)", "7{unknown}"]


@pytest.mark.parametrize("url", ["http://me:secret@localhost/", "http://localhost:99999/"])
def test_an_address_that_cannot_be_posted_to_is_refused(home: Home, url: str) -> None:
    configure(home, f'failed = {{url = "{url}"}}')
    refused = home("report")
    assert (refused.code, refused.out) == (2, "")
    assert "is no address; give one with http:// or https://" in refused.err


def test_settings_can_be_tried(home: Home) -> None:
    configure(home, "failed = [TELL]")
    answer = home.ask("notify:test", "failed")
    assert answer == {"id": 1, "job": "shell"}
    home.work()
    assert [facts["job"] for _, _, facts in told(home)] == ["made_up"]
    other = home("notify:test", "completed")
    assert (other.code, other.out) == (1, "")
    assert "prokerja.toml has no completed" in other.err
    assert home("notify:test", "everything").code == 2
