"""How a declaration asks for limits, rates, resources and turns, by every door."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from prokerja import Job, Queue
from prokerja.catalog.loading import load, spec_of
from prokerja.declaring import checked, of_job, of_spec
from prokerja.errors import BadOption, CatalogError
from prokerja.flow import rates, resources
from prokerja.model.declaration import Declaration, Lane
from prokerja.model.flow import Flow, FlowTerms, Rate
from prokerja.options import Options, checked_options
from prokerja.spec import JobSpec
from tests.test_catalog_text import read

if TYPE_CHECKING:
    from prokerja.model.record import Detail
    from tests.harness.home import Home

DATA = Path(__file__).with_name("data")
CALL = """
    from dataclasses import dataclass
    from prokerja import Job

    @dataclass
    class Call(Job):
        user: str
        region: str = "eu"

        limit_key = "{user}@{region}"
        limit = 2
        rate = "10/min"
        needs = {"memory": "4G", "gpu": 1}
        fair_key = "{region}"

        def handle(self):
            pass
"""


@dataclass
class Call(Job):
    user: Any
    region: str = "eu"

    limit_key = "{user}@{region}"
    limit = 2
    rate = "10/min"
    needs: ClassVar = {"memory": "4G", "gpu": 1}
    fair_key = "{region}"

    def handle(self) -> None:
        pass


@dataclass
class Plain(Job):
    user: str = "ann"
    limit: int = 9  # type: ignore[misc]
    rate: float = 0.5  # type: ignore[misc, assignment]

    def handle(self) -> None:
        pass


NEEDS = (("gpu", 1), ("memory", 2**32))
ASKED = Flow("ann@eu", 2, "call", 10, 60.0, NEEDS, "eu")


def flow(job: Job, **options: Any) -> Flow | None:
    """What a job's declaration is subject to."""
    return of_job(job, 0.0, Options(**options)).lane.flow


def detail(home: Home, id: int) -> Detail:
    return home.queue.detail(id)


# What a class says, and what a declaration says


def test_a_class_says_what_all_of_its_jobs_are_subject_to() -> None:
    assert flow(Call("ann")) == ASKED
    assert of_job(Call("bob", "us"), 0.0).lane.flow == ASKED._replace(
        limit_key="bob@us", fair_key="us"
    )


def test_what_nothing_is_asked_for_has_no_flow_and_fields_are_fields() -> None:
    assert flow(Plain()) is None
    assert spec_of(Plain).flow is None
    assert flow(Plain(), needs={}) is None


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"limit": 5}, ("ann@eu", 5)),
        ({"limit_key": "all"}, ("all", 2)),
        ({"limit_key": "{region}", "limit": 1}, ("eu", 1)),
        ({"lock": "{{{user}}}"}, ("{ann}", 1)),
    ],
)
def test_a_declaration_goes_before_its_class(
    options: dict[str, Any], limit: tuple[str, int]
) -> None:
    found = flow(Call("ann"), **options)
    assert found == ASKED._replace(limit_key=limit[0], max_running=limit[1])


def test_rate_needs_and_turns_of_a_declaration_go_before_those_of_its_class() -> None:
    assert flow(Call("ann"), rate_key="{user}") == ASKED._replace(rate_key="ann")
    assert flow(Call("ann"), rate="3/30s") == ASKED._replace(max_starts=3, rate_seconds=30.0)
    assert flow(Call("ann"), needs={"disk": "1K"}) == ASKED._replace(needs=(("disk", 1024),))
    assert flow(Call("ann"), needs={}) == ASKED._replace(needs=())
    assert flow(Call("ann"), fair_key="x") == ASKED._replace(fair_key="x")


def test_a_limit_and_a_rate_without_a_key_have_the_jobs_name_for_one() -> None:
    assert flow(Plain(), limit=3, rate="1/h") == Flow("plain", 3, "plain", 1, 3600.0)


def test_a_key_takes_text_as_it_is_and_all_else_as_json() -> None:
    values: tuple[tuple[Any, str], ...] = (
        (7, "7"), (True, "true"), (None, "null"), (1.5, "1.5"), ("ü", "ü"),
    )  # fmt: skip
    for user, text in values:
        assert flow(Plain(user), lock="{user}") == Flow(text, 1)
    assert flow(Plain({"a": [1, None]}), lock="{user}") == Flow('{"a":[1,null]}', 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"limit": 0}, "limit: '0' does not fit; give a whole number from 1 to 1000000"),
        ({"limit": True}, "limit: 'True' does not fit"),
        ({"limit": 1_000_001}, "limit: '1000001' does not fit"),
        ({"limit_key": "a"}, "limit_key: plain has a key and no limit; add --limit N"),
        ({"rate_key": "a"}, "rate_key: plain has a key and no rate; add --rate 10/min"),
        ({"lock": "a", "limit": 2}, "lock: a lock is a limit of 1; leave the limit and its key"),
        ({"lock": ""}, "lock: '' does not fit"),
        ({"lock": "a\n"}, "lock: 'a.n' does not fit"),
        ({"lock": "x" * 256}, "lock: 'xx"),
        ({"lock": "{user"}, "lock: '{user' has a brace by itself; write {field}"),
        ({"lock": "{}"}, "lock: '{}' has a brace by itself"),
        ({"lock": "{user.x}"}, "limit_key: the key is made of 'user.x', which the payload does no"),
        ({"fair_key": "{who}"}, "fair_key: the key is made of 'who', which the payload does not"),
        ({"fair_key": "{user}" * 52}, "fair_key: '"),
        ({"rate": 5}, "rate: '5' is not a rate; write 10/min, 5/30s or 100/day"),
        ({"rate": "5"}, "rate: '5' is not a rate; write 10/min, 5/30s or 100/day"),
        ({"needs": "gpu"}, "needs: 'gpu' does not fit; give names and amounts"),
        ({"needs": {"GPU": 1}}, "needs: 'GPU' is not the name of a resource"),
        ({"needs": {"gpu": 0}}, "needs: gpu is 0; give a whole number of 1 or more, or a size"),
        ({"needs": {"gpu": True}}, "needs: gpu is True; give"),
        ({"needs": {"gpu": "x"}}, "needs: gpu: 'x' is not a size"),
        ({"needs": {"gpu": 2**53 + 1}}, "needs: gpu is "),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(BadOption) as caught:
        flow(Plain("12345"), **options)
    assert str(caught.value).startswith(why.replace("a.n", "a\\n"))
    assert "\n" not in str(caught.value)


def test_what_a_job_carries_is_checked_at_once_and_overridden_later() -> None:
    carried = Plain().options(lock="a", needs={"gpu": "1K"}, rate="1/s")
    assert carried.terms == checked_options({"lock": "a", "needs": {"gpu": 1024}, "rate": "1/s"})
    assert flow(carried) == Flow("a", 1, "plain", 1, 1.0, (("gpu", 1024),))  # type: ignore[arg-type]
    more = carried.overridden({"limit": 3}).terms
    assert (more.limit_key, more.limit) == ("a", 3)
    assert flow(carried.overridden({"lock": "b"})).limit_key == "b"  # type: ignore[arg-type, union-attr]
    with pytest.raises(BadOption, match=r"^rate: 'x' is not a rate"):
        Plain().options(rate="x")


def test_what_a_realizer_sends_has_to_be_fit_for_the_store() -> None:
    for wrong in (
        Flow("", 2), Flow("a", 2**70), Flow("a"), Flow(rate_key="a", max_starts=1),
        Flow(fair_key="\0"), Flow(needs=(("gpu", -1),)),
    ):  # fmt: skip
        with pytest.raises(BadOption):
            checked(Declaration(Lane("q", "n", 0, "", wrong), "{}", 0.0, 0, 1.0, None))
    checked(Declaration(Lane("q", "n", 0, "", ASKED), "{}", 0.0, 0, 1.0, None))


# Rates and amounts as people write them


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/min", Rate(10, 60.0)), ("1/s", Rate(1, 1.0)), ("2/sec", Rate(2, 1.0)),
        ("3/second", Rate(3, 1.0)), ("4/m", Rate(4, 60.0)), ("5/minute", Rate(5, 60.0)),
        ("6/h", Rate(6, 3600.0)), ("7/hour", Rate(7, 3600.0)), ("8/d", Rate(8, 86400.0)),
        ("9/day", Rate(9, 86400.0)), ("5/30s", Rate(5, 30.0)), ("100/2h", Rate(100, 7200.0)),
        (" 1/0.5s ", Rate(1, 0.5)), ("1000000/366d", Rate(1_000_000, 366 * 86400.0)),
    ],
)  # fmt: skip
def test_a_rate_is_read_and_written(text: str, rate: Rate) -> None:
    assert rates.parse_rate(text, "rate") == rate
    assert rates.parse_rate(rates.human(rate), "rate") == rate


@pytest.mark.parametrize(
    "text", ["", "10", "10/", "/min", "-1/s", "0/s", "1000001/s", "1/0s", "1/367d", "1/x", "1.5/s"]
)
def test_what_is_no_rate_is_refused_with_what_to_write(text: str) -> None:
    what = "(write 10/min|write 90|give a number|at most 366)"
    with pytest.raises(BadOption, match=rf"^--rate: .*{what}"):
        rates.parse_rate(text, "--rate")


def test_amounts_are_written_as_they_are_read() -> None:
    assert resources.human({"gpu": 1, "memory": 2**32, "x": 3 * 2**20}) == "gpu=1, memory=4G, x=3M"
    assert rates.human(Rate(10, 60.0)) == "10/min"


# Classes as text, and as an import finds them


def test_the_text_of_a_class_says_what_an_import_says(home: Home) -> None:
    home.write("call.py", CALL)
    told = read(home.jobs)["call"]
    assert told == load(str(home.jobs)).specs["call"]
    assert told.unsure == ()
    assert told.flow == FlowTerms(
        ("", "user", "@", "region", ""), 2, None, Rate(10, 60.0), NEEDS, ("", "region", "")
    )
    assert JobSpec.from_json(json.loads(json.dumps(told.to_json()))) == told


UNSURE = {
    "an amount that is worked out": "needs = {'gpu': len('ab')}",
    "a table with another name": "needs = TABLE",
    "a table that is changed": "needs = {'gpu': 1}; needs['gpu'] = 2",
    "a rate that is worked out": "rate = f()",
    "a base from elsewhere": "",
}


@pytest.mark.parametrize("what", UNSURE)
def test_what_only_running_tells_is_not_guessed(home: Home, what: str) -> None:
    base = "Base" if what.endswith("elsewhere") else "Job"
    head = (
        "import threading\nfrom prokerja import Job\nBase = threading.local\nTABLE = {'gpu': 1}\n"
    )
    head += "def f(): return '1/s'\n"
    source = f"class T({base}):\n    {UNSURE[what] or 'pass'}\n    def handle(self): pass\n"
    home.write("t.py", f"{head}{source}    def payload(self): return {{}}\n")
    told = read(home.jobs)["t"].unsure
    assert ("needs" in told) == ("rate" not in UNSURE[what])
    assert ("rate" in told) == ("needs" not in UNSURE[what])


def test_a_table_that_is_changed_from_outside_is_not_guessed(home: Home) -> None:
    home.write("call.py", f"{CALL}\n    Call.needs['gpu'] = 2\n")
    assert read(home.jobs)["call"].unsure == ("needs",)


def test_a_computed_option_has_to_be_said_until_a_worker_knows_it(home: Home) -> None:
    source = CALL.replace("limit = 2", "limit = len('abc')")
    home.write("call.py", source.replace('"10/min"', "'%d/min' % len('ab')"))
    told = home("declare:job", "call", "user=ann")
    assert (told.code, told.out) == (2, "")
    assert "call: limit and rate of this job in " in told.err
    assert "are computed; write it out, or start a worker once" in told.err
    home.cli("declare:job", "call", "user=ann", "--lock", "a", "--rate", "1/s")
    home.work()
    home.cli("declare:job", "call", "user=ann")
    assert detail(home, 2).record.lane.flow == ASKED._replace(max_running=3, max_starts=2)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("limit = 0", "T.limit: '0' does not fit; give a whole number"),
        ("rate = '5'", "T.rate: '5' is not a rate; write 10/min"),
        ("lock = '{'", "T.lock: '{' has a brace by itself"),
        ("lock = 'a'; limit = 2", "T.lock: a lock is a limit of 1"),
        ("needs = {'gpu': -1}", "T.needs: gpu is -1; give"),
    ],
)
def test_a_class_that_says_what_cannot_be_meant_is_broken(home: Home, line: str, why: str) -> None:
    source = f"from prokerja import Job\nclass T(Job):\n    {line}\n    def handle(self): pass\n"
    home.write("t.py", f"{source}    def payload(self): return {{}}\n")
    with pytest.raises(CatalogError) as caught:
        read(home.jobs)
    assert why in str(caught.value)
    [broken] = load(str(home.jobs)).broken
    assert broken.error.startswith(why)


# The doors


def test_each_door_asks_for_the_same(home: Home) -> None:
    home.write("call.py", CALL)
    flags = ["--lock", "a-{user}", "--rate", "3/30s", "--rate-key", "r", "--needs", "disk=1K"]
    flags += ["--needs", "gpu=2", "--fair-key", "{region}"]
    home.cli("declare:job", "call", "user=ann", *flags)
    options = {"lock": "a-{user}", "rate": "3/30s", "rate_key": "r", "fair_key": "{region}"}
    options["needs"] = {"disk": "1K", "gpu": 2}  # type: ignore[assignment]
    lines = json.dumps({"job": "call", "payload": {"user": "ann"}, **options})
    assert home("declare:batch", stdin=f"{lines}\n" * 600).code == 0  # more than fit in memory
    home.queue.declare(Call("ann"), **options)  # type: ignore[arg-type]
    home.queue.declare_many([Call("ann").options(**options)])  # type: ignore[arg-type]
    wanted = Flow("a-ann", 1, "r", 3, 30.0, (("disk", 1024), ("gpu", 2)), "eu")
    for id in (1, 2, 601, 602, 603):
        assert detail(home, id).record.lane.flow == wanted
    assert len(home.look("SELECT * FROM flow")) == 1


def test_keys_of_a_command_are_taken_literally(home: Home) -> None:
    home.cli("declare:shell", "--lock", "{a}{{", "--", "true")
    assert detail(home, 1).record.lane.flow == Flow("{a}{{", 1)


def test_a_follow_up_is_subject_to_what_it_asks_for(home: Home) -> None:
    home.write("call.py", CALL)
    id = home.run("from jobs.call import Call; self.declare(Call('ann'), limit=7)")
    home.work()
    assert detail(home, id + 1).record.lane.flow == ASKED._replace(max_running=7)


def test_a_field_that_is_left_out_has_its_default_and_one_that_has_none_is_asked_for() -> None:
    spec = spec_of(Call)
    assert of_spec(spec, {"user": "ann"}, 0.0).lane.flow == ASKED
    computed = spec.fields[1]._replace(default=None, default_text="...")
    with pytest.raises(BadOption, match=r"^limit_key: the key is made of 'region', which the pay"):
        of_spec(spec._replace(fields=(spec.fields[0], computed)), {"user": "ann"}, 0.0)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--needs", "gpu=1", "--needs", "gpu=2"], "--needs: 'gpu' is given twice; give it once"),
        (["--needs", "gpu"], "--needs: 'gpu' has no amount; write gpu=1 or memory=4G"),
        (["--limit-key", "a"], "limit_key: shell has a key and no limit; add --limit N"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_told(
    home: Home, words: list[str], why: str
) -> None:
    told = home("declare:shell", *words, "--", "true")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"prokerja: {why}")


def test_changing_a_job_leaves_what_it_is_subject_to(home: Home) -> None:
    id = home.queue.declare(Call("ann"))
    home.queue.change(id, queue="other", priority=3)
    lane = detail(home, id).record.lane
    assert (lane.queue, lane.priority, lane.flow) == ("other", 3, ASKED)


def test_the_job_files_are_read_anew_when_a_queue_of_an_older_version_is_opened(
    tmp_path: Path,
) -> None:
    path = tmp_path / "queue.sqlite3"
    shutil.copy(DATA / "schema-6.sqlite3", path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO source (directory, file, stamp) VALUES ('/', 'a.py', '1')")
        connection.commit()
        Queue(path).close()
        stamps = connection.execute("SELECT DISTINCT stamp FROM source").fetchall()
    assert stamps == [("",)]


# What is shown of it


def test_a_report_shows_what_a_job_is_subject_to(home: Home) -> None:
    id = home.queue.declare(Call("ann"), rate="3/30s")
    lines = {line.strip() for line in home.cli("report:job", id).splitlines()}
    assert lines >= {
        "limit:       2 at once for 'ann@eu'",
        "rate:        3/30s for 'call'",
        "needs:       gpu=1, memory=4G",
        "turns:       with other keys than 'eu'",
    }
    told = json.loads(home.cli("report:job", id, "--json"))
    assert {key: told[key] for key in ("limit", "rate", "needs", "fair_key")} == {
        "limit": {"key": "ann@eu", "most": 2},
        "rate": {"key": "call", "starts": 3, "seconds": 30.0},
        "needs": {"gpu": 1, "memory": 2**32},
        "fair_key": "eu",
    }
    wanted = ASKED._replace(max_starts=3, rate_seconds=30.0)
    assert home.queue.job(id).flow == home.queue.find()[0].flow == wanted
    assert "ann" not in repr(home.queue.job(id))


def test_a_report_of_a_job_that_asks_for_nothing_has_no_line_for_it(home: Home) -> None:
    id = home.queue.declare(Plain())
    told = json.loads(home.cli("report:job", id, "--json"))
    assert (told["limit"], told["rate"], told["needs"], told["fair_key"]) == (None, None, {}, None)
    out = home.cli("report:job", id)
    assert not any(f"\n  {word}:" in out for word in ("limit", "rate", "needs", "turns"))


def test_a_declaration_that_this_machine_cannot_run_is_said_to_wait(home: Home) -> None:
    told = home("declare:shell", "--needs", "gpu=1", "--", "true")
    assert told.code == 0
    assert "what was declared needs gpu=1, and this machine has none; it waits until" in told.err
    config = home.path / "config" / "prokerja"
    config.mkdir(parents=True)
    home.in_environment({"XDG_CONFIG_HOME": str(config.parent)})
    (config / "prokerja.toml").write_text('[resources]\ngpu = 2\nmemory = "8G"\n')
    assert home("declare:shell", "--needs", "gpu=2", "--needs", "memory=8G", "--", "true").err == ""
    lines = '{"shell": ["true"], "needs": {"gpu": 2}}\n{"shell": ["true"], "needs": {"gpu": 3}}\n'
    told = home("declare:batch", stdin=lines)
    assert (told.code, told.out) == (0, "2 3 4\n")
    assert "needs gpu=3, and this machine has gpu=2" in told.err
