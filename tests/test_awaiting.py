"""Jobs that wait for an outside party, with real workers; and `prokerja resolve`."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from prokerja.errors import BadPayload, NotAwaiting
from tests.harness.terminal import Terminal
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

PAY = """
import os, time
from dataclasses import dataclass

from prokerja import Await, GiveUp, Job, Later


def note(line):
    with open("{home}/ledger", "a") as file:
        file.write(f"{{line}}\\n")


@dataclass
class Pay(Job):
    amount: int = 1
    timeout_after: float | None = None
    slowly: bool = False
    pause: float = 0.0

    retry_after = 0.0

    def handle(self):
        note(f"asked {{self.token}}")
        while self.slowly and not os.path.exists("{home}/gate"):
            time.sleep(0.005)
        time.sleep(self.pause)
        return Await(self.timeout_after)

    def resolved(self, data):
        note(f"told {{data}} {{os.getpid()}} {{self.token}}")
        if data == "again":
            raise Await()
        if data == "later":
            if not os.path.exists("{home}/later"):
                open("{home}/later", "w").close()
                return Later(0)
        if data == "give up":
            return GiveUp("refused")
        if data == "fail":
            raise ValueError("refused")
        while data == "hang" and not os.path.exists("{home}/gate"):
            time.sleep(0.005)
        return {{"paid": data, "amount": self.amount}}
"""


@pytest.fixture
def pay(home: Home) -> Home:
    """A home with a job that waits to be paid."""
    home.write("pay.py", PAY.format(home=home.path))
    return home


def token(home: Home) -> str:
    """The last that a job was given."""
    return [line.split()[1] for line in home.ledger() if line.startswith("asked")][-1]


def told(home: Home) -> list[str]:
    return [line.split()[1] for line in home.ledger() if line.startswith("told")]


def parked(home: Home, *words: object) -> int:
    """A job that waits, once it does."""
    [id] = home.declare("pay", *words)
    wait_until(lambda: home.job(id)["awaiting"])
    return id


def test_a_job_waits_without_a_realizer_and_completes_when_it_is_resolved(pay: Home) -> None:
    worker = pay.worker()
    first, second = parked(pay, "amount=5"), parked(pay)
    [run] = [pay.run("pass")]
    pay.wait(run)
    assert pay.report() == [0, 2, 1, 0]
    answer = pay("resolve", first, "--data", '{"by": "card"}')
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    job = pay.wait(first)
    assert job["result"] == {"paid": {"by": "card"}, "amount": 5}
    assert (job["attempts"], job["awaiting"], job["error"]) == (1, None, None)
    assert pay("resolve", second).code == 0
    assert pay.wait(second)["result"] == {"paid": None, "amount": 1}
    assert f"job {first} pay: waits to be resolved" in worker.said()


def test_it_survives_the_death_of_its_worker_and_another_goes_on(pay: Home) -> None:
    worker = pay.worker()
    id = parked(pay)
    worker.kill()
    other = pay.worker("--until-empty")
    assert other.end() == 0
    assert "is dead" in other.said()
    job = pay.job(id)
    assert (job["status"], job["attempts"]) == ("processing", 0)
    pay.cli("resolve", id, "--data", "7")
    assert pay.job(id)["status"] == "pending"
    pay.work()
    assert pay.job(id)["result"] == {"paid": 7, "amount": 1}


def test_it_is_shown_as_processing_and_how_many_wait(pay: Home) -> None:
    pay.declare("pay", "timeout_after=3600")
    pay.declare("pay")
    pay.work()
    secret = token(pay)
    plain = pay.cli("report")
    assert plain == "ProKerja Report\npending: 0\nprocessing: 2\ncompleted: 0\nfailed: 0\n"
    assert pay.ask("report")["awaiting"] == 2
    assert pay.ask("report")["queues"][0]["awaiting"] == 2
    [second, first] = pay.ask("report:jobs", "--status", "processing")
    assert second["awaiting"]["until"] is None
    since, until = first["awaiting"]["since"], first["awaiting"]["until"]
    shown = pay.cli("report:job", 1)
    assert f"awaiting:    since {since} (" in shown
    assert f" ago), until {until} (in 59m " in shown
    assert "not running: it waits to be resolved; `prokerja resolve 1` does that" in shown
    assert "running:     for" not in shown
    for words in (["report:job", 2], ["report:jobs"], ["report"]):
        assert secret not in pay.cli(*words) + pay.cli(*words, "--json")
    assert secret in json.dumps(pay.look("SELECT token FROM awaiting"))


def test_a_terminal_shows_how_many_wait(pay: Home) -> None:
    pay.declare("pay")
    pay.work()
    code, text = Terminal(pay, "report").end()
    assert (code, "1 (1 awaiting)" in text) == (0, True)
    screen = Terminal(pay, "report", "--watch")
    screen.expect("(1 awaiting)")
    screen.type("q")
    assert screen.end()[0] == 0


def test_only_its_token_resolves_it_for_who_gives_one(pay: Home) -> None:
    pay.declare("pay")
    pay.work()
    secret = token(pay)
    for wrong in (secret[:-1], secret + "=", "", "\u00e9"):
        answer = pay("resolve", 1, "--token", wrong)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == (
            "prokerja: job 1: the token is wrong; give the one that the job was given\n"
        )
    assert pay("resolve", 1, "--token", secret).code == 0
    again = pay("resolve", 1, "--token", secret)
    assert (again.code, again.err) == (
        1,
        "prokerja: job 1 is not awaiting but pending; `prokerja report:job 1` says more\n",
    )


def test_each_attempt_has_a_token_of_its_own_and_keeps_it(pay: Home) -> None:
    pay.declare("pay", "--retries", 1)
    pay.work()
    first = token(pay)
    pay.queue.resolve(1, "again", first)
    pay.work()
    with pytest.raises(Exception, match="token is wrong"):
        pay.queue.resolve(1, "fail", "x")
    pay.queue.resolve(1, "fail", first)
    pay.work()
    second = token(pay)
    assert first != second
    assert len(second) >= 40
    pay.queue.resolve(1, 5, second)
    pay.work()
    tokens = [line.split()[-1] for line in pay.ledger()]
    assert tokens == [first, first, first, second, second]
    assert pay.job(1)["attempts"] == 2


def test_attempts_in_one_process_have_tokens_of_their_own(home: Home) -> None:
    id = home.run("note(self.token + self.token)\n1 / 0", retries=1, retry_after=0)
    home.work()
    home.wait(id, "failed")
    first, second = home.ledger()
    assert first != second
    assert first[: len(first) // 2] == first[len(first) // 2 :]


def test_what_resolved_says_is_what_becomes_of_the_job(pay: Home) -> None:
    for _ in range(4):
        pay.declare("pay", "--retries", 1)
    pay.work()
    for id, data in enumerate(["again", "later", "give up", "fail"], 1):
        pay.queue.resolve(id, data)
    pay.work()
    statuses = pay.statuses(range(1, 5))
    assert statuses == ["processing", "completed", "failed", "processing"]
    assert sorted(told(pay)) == ["again", "fail", "give", "later", "later"]
    assert pay.job(3)["error"] == "refused"
    assert pay.job(4)["awaiting"] is not None, "tried again, by a fresh handle()"
    assert pay.job(4)["history"][0]["error"] == "ValueError: refused"


def test_an_answer_is_given_again_if_its_worker_dies(pay: Home) -> None:
    pay.declare("pay")
    pay.work()
    pay.queue.resolve(1, "hang")
    worker = pay.worker()
    wait_until(lambda: pay.running(1))
    worker.kill()
    pay.open("gate")
    pay.worker()
    job = pay.wait(1)
    assert job["result"] == {"paid": "hang", "amount": 1}
    assert told(pay) == ["hang", "hang"]
    assert len({line.split()[2] for line in pay.ledger() if line.startswith("told")}) == 2
    assert [attempt["error"] for attempt in job["history"]] == [
        "its worker died while the job was running",
        None,
    ]


@pytest.mark.parametrize("retries", [0, 1])
def test_one_that_nobody_resolves_in_time_has_failed_or_is_tried_again(
    pay: Home, retries: int
) -> None:
    worker = pay.worker()
    [id] = pay.declare("pay", "timeout_after=0.5", "--retries", retries)
    job = pay.wait(id, "failed")
    assert len(pay.ledger()) == 1 + retries
    assert [one["error"] for one in job["history"]] == ["nobody resolved it within 0.5s"] * (
        1 + retries
    )
    fate = "again in" if retries else "for good"
    wait_until(lambda: f"job {id} pay: attempt 1 failed, {fate}" in worker.said())


def test_it_fails_in_time_though_its_worker_is_full_or_has_died(pay: Home) -> None:
    worker = pay.worker()
    parked(pay, "timeout_after=1")
    held = pay.run("wait_for('gate')")
    wait_until(lambda: pay.running(held))
    pay.wait(1, "failed")
    other = pay.worker("--queue", "elsewhere").ready()
    pay.declare("pay", "timeout_after=1", "--queue", "elsewhere")
    wait_until(lambda: pay.job(3)["awaiting"])
    other.kill()
    pay.wait(3, "failed")
    worker.send(signal.SIGTERM)
    pay.open("gate")


def test_a_job_that_is_about_to_wait_is_waited_for(pay: Home) -> None:
    pay.worker()
    pay.declare("pay", "pause=0.4")
    wait_until(lambda: pay.running(1))
    pay.queue.resolve(1, 3, token(pay))
    assert pay.wait(1)["result"] == {"paid": 3, "amount": 1}


def test_a_job_that_runs_on_is_not_waited_for_for_long(pay: Home) -> None:
    pay.worker()
    pay.declare("pay", "slowly:=true")
    wait_until(lambda: pay.running(1))
    began = time.monotonic()
    with pytest.raises(NotAwaiting, match="job 1 is not awaiting but processing"):
        pay.queue.resolve(1)
    assert 0.9 < time.monotonic() - began < 10
    pay.open("gate")


@pytest.mark.parametrize("what", [["1"], ["--queue", "default"], ["--job", "pay"]])
def test_it_is_cancelled_at_once_by_whatever_names_it(pay: Home, what: list[str]) -> None:
    pay.declare("pay", "--retries", 3)
    pay.work()
    told = pay("cancel", *what, "--json")
    assert json.loads(told.out) == {"cancelled": 1, "running": 0}
    assert pay.job(1)["error"] == "cancelled"
    assert pay("wait", 1).code == 1
    assert pay("resolve", 1).err.startswith("prokerja: job 1 is not awaiting but failed")
    pay.cli("retry", 1)
    pay.work()
    assert pay.job(1)["awaiting"] is not None


def test_it_is_waited_for_and_not_purged(pay: Home) -> None:
    pay.declare("pay")
    pay.work()
    assert pay("wait", 1, "--timeout", "0.2").code == 124
    for status in ("pending", "completed", "failed"):
        assert pay.cli("purge", "--status", status) == "0\n"
    assert pay("retry", 1).code == 2
    assert pay.queue.open_ids() == [1]


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["99"], 1, "there is no job 99"),
        (["x"], 2, "x"),
        ([], 2, ""),
        (["1", "--data", "{"], 2, "job 1: --data is not JSON"),
        (["1", "--data", "NaN"], 2, "NaN has no place in JSON"),
        (["1", "--data", "@nowhere"], 2, "cannot read '@nowhere'"),
        (["1", "--data", "@big"], 2, "job 1: the answer has 1,048,579 bytes, more than 1 MiB"),
    ],
)
def test_what_cannot_be_an_answer_is_refused_and_nothing_changes(
    pay: Home, words: list[str], code: int, complaint: str
) -> None:
    pay.declare("pay")
    pay.work()
    (pay.path / "big").write_text(json.dumps("x" * (2**20 + 1)))
    before = pay.look("SELECT * FROM awaiting"), pay.dump()
    answer = pay("resolve", *words)
    assert (answer.code, answer.out) == (code, "")
    assert complaint in answer.err
    assert (pay.look("SELECT * FROM awaiting"), pay.dump()) == before
    with pytest.raises(BadPayload, match="job 1: the answer is not JSON"):
        pay.queue.resolve(1, {1, 2})


def test_an_answer_comes_from_a_file_or_from_stdin(pay: Home) -> None:
    pay.declare("pay")
    pay.declare("pay")
    pay.work()
    (pay.path / "answer.json").write_text("[1]")
    assert json.loads(pay.cli("resolve", 1, "--data", "@answer.json", "--json")) == {"resolved": 1}
    assert pay("resolve", 2, "--data", "-", stdin="[2]").code == 0
    pay.work()
    assert [pay.job(id)["result"]["paid"] for id in (1, 2)] == [[1], [2]]


def test_without_a_method_for_it_the_answer_is_the_result(pay: Home) -> None:
    pay.write(
        "plain.py",
        """
        from dataclasses import dataclass
        from prokerja import Await, Job

        class Plain:
            def payload(self):
                return {}

            def handle(self):
                return Await()

        class Usual(Job):
            def payload(self):
                return {}

            def handle(self):
                return Await()

        @dataclass
        class Fields(Job):
            token: str
            resolved: bool = False

            def handle(self):
                assert (self.token, self.resolved) == ("mine", False)
                return Await()
        """,
    )
    payloads: dict[str, dict[str, Any]] = {"plain": {}, "usual": {}, "fields": {"token": "mine"}}
    ids = [pay.declare_job(name, **payload) for name, payload in payloads.items()]
    pay.work()
    for id in ids:
        pay.queue.resolve(id, {"answer": id})
    pay.work()
    assert [pay.job(id)["result"] for id in ids] == [{"answer": id} for id in ids]
