"""`prokerja queue:*`: what people say of queues, and what workers make of it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from prokerja import Queue
from prokerja.errors import BadOption, NotPaused
from prokerja.model.flow import QueueRule, Rate
from prokerja.queue_control import login_name
from tests.harness.terminal import Terminal
from tests.harness.waiting import SOON, wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

ME = login_name()
MANY = 20


def rules(home: Home) -> list[tuple[str, str | None]]:
    return home.look("SELECT name, paused_why FROM queue ORDER BY name")


# Workers


def test_a_paused_queue_stays_so_while_workers_die_and_start_and_resumes_at_once(
    home: Home,
) -> None:
    worker = home.worker().ready()
    running = home.run("wait_for('gate')", queue="emails")
    wait_until(lambda: home.running(running))
    assert home("queue:pause", "emails", "--why", "full").code == 0
    waiting = home.run("note('ran')", queue="emails")
    worker.kill()
    home.worker().ready()
    done = home.run("pass")
    home.wait(done)
    assert home.statuses([running, waiting]) == ["pending", "pending"], "both have come back"
    assert home.ledger() == []
    home.open("gate")
    assert home("queue:resume", "emails").code == 0
    home.wait(waiting, limit=SOON)
    assert home.wait(running)["attempts"] == 2


def test_what_runs_goes_on_when_its_queue_is_paused(home: Home) -> None:
    home.worker().ready()
    id = home.run("wait_for('gate')\nreturn 1", queue="emails")
    wait_until(lambda: home.running(id))
    home.cli("queue:pause", "emails")
    home.open("gate")
    assert home.wait(id)["result"] == 1


def test_a_pause_ends_by_itself_without_anybodys_write(home: Home) -> None:
    worker = home.worker().ready()
    home.queue.pause_queue("emails", until=1.5)
    began = time.monotonic()
    id = home.run("note(time.monotonic())", queue="emails")
    wait_until(worker.asleep)
    home.wait(id, limit=1.5 + SOON)
    assert 1.3 < float(home.ledger()[0]) - began < 1.5 + SOON
    assert rules(home) == []


def test_all_queues_are_paused_those_to_come_too(home: Home) -> None:
    home.worker().ready()
    home.cli("queue:pause", "--all", "--why", "maintenance")
    ids = [home.run("pass", queue=queue) for queue in ("default", "new")]
    home.worker("--until-empty").end()
    assert home.statuses(ids) == ["pending"] * 2
    home.cli("queue:resume", "--all")
    for id in ids:
        home.wait(id, limit=SOON)


def test_a_worker_that_works_until_all_is_done_does_not_wait_for_a_pause(home: Home) -> None:
    home.queue.pause_queue("emails", until=3600)
    home.queue.pause_queue("other")
    ids = [home.run("pass", queue=queue) for queue in ("emails", "other", "default")]
    assert home.worker("--until-empty").end(20) == 0
    assert home.statuses(ids) == ["pending", "pending", "completed"]


def test_other_queues_go_on_at_full_length_beside_a_paused_one(home: Home) -> None:
    home.queue.pause_queue("emails")
    home.run_each(["pass"] * MANY, queue="emails", priority=9)
    ids = home.run_each(["pass"] * MANY)
    home.worker("--until-empty").end()
    assert set(home.statuses(ids)) == {"completed"}
    assert home.counts()["pending"] == MANY


# Commands


def test_a_pause_is_told_with_who_since_when_why_and_until_when(shell: Home) -> None:
    told = shell("queue:pause", "emails", "--why", "it's full", "--until", "2h", "--json")
    assert (told.code, told.err) == (0, "")
    answer = json.loads(told.out)
    pause = answer["paused"]
    assert answer["replaced"] is None
    assert (pause["queue"], pause["by"], pause["why"]) == ("emails", ME, "it's full")
    since, until = (datetime.fromisoformat(pause[key]) for key in ("since", "until"))
    assert abs(until - since - timedelta(hours=2)) < timedelta(seconds=0.01)
    assert abs(datetime.now(UTC) - since) < timedelta(seconds=60)
    sentence = f'queue emails is paused by {ME} since {pause["since"]} ("it\'s full")'
    again = shell("queue:pause", "emails")
    assert (again.code, again.out) == (0, "")
    assert again.err == f"prokerja: {sentence} until {pause['until']}; that is replaced\n"


def test_a_declaration_in_a_paused_queue_succeeds_and_says_that_it_waits(shell: Home) -> None:
    shell("declare:shell", "true")
    shell("queue:pause", "emails", "--why", "full")
    shell("queue:pause", "later", "--until", "2100-01-01")
    told = shell("declare:job", "send", "to=x")
    assert (told.code, told.out) == (0, "2\n")
    assert told.err.startswith(f"prokerja: queue emails is paused by {ME} since 2")
    assert told.err.endswith(" ('full'); the job will wait until `prokerja queue:resume emails`\n")
    told = shell("declare:shell", "--queue", "later", "--json", "true")
    assert json.loads(told.out)["id"] == 3
    assert told.err.count("\n") == 1
    assert "; the job will wait until 2" in told.err
    told = shell("declare:job", "send", "--each", "to", stdin="a\nb\n")
    assert (told.out, told.err.count("its jobs will wait until")) == ("4\n5\n", 1)
    lines = [{"job": "noop"}, {"job": "send", "payload": {"to": "x"}}, {"shell": ["true"]},
             {"shell": ["true"], "queue": "later"}]  # fmt: skip
    told = shell("declare:batch", stdin="\n".join(map(json.dumps, lines)))
    assert told.out == "4 6 9\n"
    assert [line.split()[2] for line in told.err.splitlines()] == ["emails", "later"]
    assert shell("declare:job", "noop") == (0, "10\n", "")
    shell("queue:pause", "--all")
    told = shell("declare:job", "noop", "--each", "n", stdin="1\n2\n")
    assert told.err.startswith(f"prokerja: all queues are paused by {ME} since 2")
    assert told.err.endswith("; the jobs will wait until `prokerja queue:resume --all`\n")


def test_a_report_names_pauses_and_keeps_its_lines(shell: Home) -> None:
    shell.declare("noop")
    assert shell.ask("report")["paused"] == []
    shell("queue:pause", "emails", "--why", "full")
    shell("queue:pause", "--all", "--until", "1h")
    told = shell("report")
    assert told.out == "ProKerja Report\npending: 1\nprocessing: 0\ncompleted: 0\nfailed: 0\n"
    first, second = told.err.splitlines()
    assert first.startswith(f"prokerja: all queues are paused by {ME} since 2")
    assert second.endswith("; `prokerja queue:resume emails` ends that")
    paused = shell.queue.summary().paused
    assert [pause.name for pause in paused] == ["", "emails"]
    answer = json.loads(shell("report", "--json").out)
    assert [(one["queue"], one["why"]) for one in answer["paused"]] == [
        (None, None), ("emails", "full"),
    ]  # fmt: skip
    assert shell("report", "--queue", "other").err.count("\n") == 1
    code, text = Terminal(shell, "report").end()
    assert code == 0
    assert text.index("all queues are paused") < text.index("status")
    plain = shell.sh("prokerja report --plain | head -n 1")
    assert plain.out.endswith(" ended_1min=0.0 paused=2\n")


def test_a_screen_shows_pauses_on_top(shell: Home) -> None:
    shell.declare("noop")
    shell("queue:pause", "emails", "--why", "full")
    screen = Terminal(shell, "report", "--watch")
    screen.expect(f"queue emails is paused by {ME} since ")
    screen.type("q")
    assert screen.end()[0] == 0


def test_prometheus_is_told_which_queues_are_paused(shell: Home) -> None:
    shell.declare("noop")
    shell("queue:pause", "emails")

    def paused() -> dict[str, float]:
        text = shell("report", "--prometheus").out
        [family] = [
            one for one in text_string_to_metric_families(text) if one.name.endswith("_paused")
        ]
        return {sample.labels["queue"]: sample.value for sample in family.samples}

    assert paused() == {"default": 0, "emails": 1}
    shell("queue:pause", "--all")
    assert paused() == {"default": 1, "emails": 1}


def test_a_list_of_queues_has_all_that_was_said_of_them(shell: Home) -> None:
    shell.declare("noop")
    shell("declare:shell", "--queue", "gone", "true")
    shell("cancel", 2)
    shell("purge", "--status", "failed", "--yes")
    shell("queue:pause", "emails", "--why", "full", "--until", "1h")
    shell("queue:limit", "emails", 2)
    shell("queue:rate", "new", "5/30s")
    told = shell("queue:list")
    assert (told.code, told.err) == (0, "")
    default, emails, new = told.cells
    assert default == ["default", "1", "0", *[""] * 6]
    assert (emails[:6], emails[8]) == (["emails", "0", "0", "2", "", ME], "full")
    assert new == ["new", "0", "0", "", "5/30s", *[""] * 4]
    answer = shell.ask("queue:list")
    found = {one["queue"]: one for one in answer["queues"]}
    assert list(found) == ["default", "emails", "new"]
    assert found["emails"]["limit"] == 2
    assert found["emails"]["paused"]["until"] == emails[7] == answer["paused"][0]["until"]
    assert found["new"]["rate"] == {"starts": 5, "seconds": 30.0}
    assert found["default"]["paused"] is None
    shell("queue:pause", "--all")
    assert [row[0] for row in shell("queue:list").cells] == ["", "default", "emails", "new"]
    assert [row[5] for row in shell("queue:list").cells] == [ME] * 4
    everywhere = shell.ask("queue:list")["queues"]
    assert [one["paused"]["queue"] for one in everywhere] == [None, "emails", None]
    code, text = Terminal(shell, "queue:list").end()
    assert code == 0
    lines = [line.split() for line in text.splitlines()]
    assert ["(all)", ME] in [line[:2] for line in lines]
    [emails] = [line for line in lines if line[:1] == ["emails"]]
    assert emails[:5] == ["emails", "0", "0", "2", ME]
    assert emails[-4:] == ["ago", "in", "59m", "full"]


def test_a_list_of_no_queue_is_empty(shell: Home) -> None:
    shell.declare("noop", "--hold")
    shell("purge", "--status", "pending", "--yes")
    assert shell("queue:list") == (0, "", "")
    assert shell.ask("queue:list") == {"queues": [], "paused": []}


def test_limits_and_rates_are_set_replaced_and_lifted(shell: Home) -> None:
    assert shell.ask("queue:limit", "emails", 2) == {"queue": "emails", "limit": 2, "rate": None}
    rate = {"starts": 10, "seconds": 60.0}
    assert shell.ask("queue:rate", "emails", "10/min")["rate"] == rate
    assert shell.ask("queue:limit", "emails", 3) == {"queue": "emails", "limit": 3, "rate": rate}
    assert shell.ask("queue:limit", "emails", "--none")["limit"] is None
    assert shell("queue:rate", "emails", "--none") == (0, "", "")
    assert rules(shell) == []


def test_resuming_says_which_pauses_are_left(shell: Home) -> None:
    shell("queue:pause", "emails")
    shell("queue:pause", "--all")
    told = shell("queue:resume", "--all", "--json")
    assert json.loads(told.out)["resumed"]["queue"] is None
    assert told.err.endswith("; `prokerja queue:resume emails` ends that\n")
    shell("queue:pause", "--all")
    told = shell("queue:resume", "emails")
    assert (told.code, told.out) == (0, "")
    assert told.err.startswith("prokerja: all queues are paused")
    assert shell("queue:resume", "--all") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["queue:pause"], 2, "name either a queue or --all"),
        (["queue:pause", "emails", "--all"], 2, "name either a queue or --all"),
        (["queue:pause", ""], 2, "queue: ''"),
        (["queue:pause", "emails", "--why", ""], 2, "why: ''"),
        (["queue:pause", "emails", "--why", "a\nb"], 2, "why: 'a\\nb' does not fit; give 1 to"),
        (["queue:pause", "emails", "--until", "2001-01-01"], 2, "until: that is past"),
        (["queue:pause", "emails", "--until", "0"], 2, "until: that is past"),
        (["queue:pause", "emails", "--until", "soon"], 2, "--until: 'soon' is not a time"),
        (["queue:resume", "emails"], 1, "queue emails is not paused"),
        (["queue:resume", "--all"], 1, "by their names held; `prokerja queue:resume held`"),
        (["queue:resume"], 2, "name either a queue or --all"),
        (["queue:limit", "emails"], 2, "give either a number or --none"),
        (["queue:limit", "emails", "0"], 2, "limit: '0' does not fit"),
        (["queue:limit", "emails", "many"], 2, "many"),
        (["queue:limit", "emails", "1", "--none"], 2, "give either a number or --none"),
        (["queue:rate", "emails"], 2, "give either a rate such as 10/min or --none"),
        (["queue:rate", "emails", "10"], 2, "rate: '10' is not a rate; write 10/min"),
        (["pause"], 2, "did you mean `prokerja queue:pause`?"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    shell: Home, words: list[str], code: int, complaint: str
) -> None:
    shell.queue.pause_queue("held")
    before = shell.look("SELECT * FROM queue")
    told = shell(*words)
    assert (told.code, told.out, told.err.count("\n")) == (code, "", 1)
    assert complaint in told.err
    assert shell.look("SELECT * FROM queue") == before


# Programs


def test_programs_steer_queues_by_the_queue(home: Home) -> None:
    with Queue(home.db) as queue:
        assert queue.pause_queue("emails", why="full", by="cron") is None
        replaced = queue.pause_queue("emails", until=datetime.now(UTC) + timedelta(hours=1))
        assert replaced is not None
        assert (replaced.paused_by, replaced.paused_why) == ("cron", "full")
        queue.limit_queue("emails", 2)
        assert queue.rate_queue("emails", "5/30s").rate == Rate(5, 30)
        assert queue.resume_queue("emails").paused_by == ME
        assert queue.queue_rules() == [QueueRule("emails", 2, Rate(5, 30))]
        with pytest.raises(NotPaused):
            queue.resume_queue()
        for wrong in ({"until": -1}, {"until": "1h"}, {"why": 5}, {"by": ""}):
            with pytest.raises(BadOption):
                queue.pause_queue("emails", **wrong)
        for most in (0, True, 1.5):
            with pytest.raises(BadOption):
                queue.limit_queue("emails", most)  # type: ignore[arg-type]
