"""Fields that bear one of our words, that are not kept, or whose types have other names."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.home import Home

HEAD = """
import dataclasses
from dataclasses import InitVar, dataclass, field
from typing import Annotated, Final, Literal, NewType, Optional
from prokerja import Job

"""
WORDS = [
    "payload", "queue", "priority", "retries", "retry_after", "timeout", "name", "options",
    "_declared", "self"
]  # fmt: skip
KINDS = {
    "plain": "@dataclass\nclass Send(Job):",
    "frozen with slots": "@dataclass(frozen=True, slots=True)\nclass Send(Job):",
    "no Job": "@dataclass\nclass Send:",
}


def by_shell(home: Home, payload: dict[str, Any]) -> int:
    pairs = [f"{key}:={json.dumps(value)}" for key, value in payload.items()]
    return int(home.cli("declare:job", "send", *pairs))


def by_batch(home: Home, payload: dict[str, Any]) -> int:
    lines = home.path / "batch"
    lines.write_text(json.dumps({"job": "send", "payload": payload}))
    return int(home.cli("declare:batch", lines).split()[1])


def by_sql(home: Home, payload: dict[str, Any]) -> int:
    home.worker("--until-empty").end()  # the file knows a job once a worker has started
    with sqlite3.connect(home.db) as connection:
        connection.execute(
            "INSERT INTO declare(job, payload) VALUES ('send', ?)", [json.dumps(payload)]
        )
        [id] = connection.execute("SELECT max(rowid) FROM declaration").fetchone()
    connection.close()
    return int(id)


def by_python(home: Home, payload: dict[str, Any]) -> int:
    done = python(home, f"queue.declare(Send(**{payload!r}))")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def by_follow_up(home: Home, payload: dict[str, Any]) -> int:
    code = f"import jobs.send\nself.declare(jobs.send.Send(**{payload!r}))"
    id = home.run(code)
    home.work()
    assert home.job(id)["status"] == "completed", home.job(id)
    return id + 1


DOORS = [by_shell, by_batch, by_sql, by_python, by_follow_up]
doors = pytest.mark.parametrize("declare", DOORS)


def python(home: Home, code: str) -> subprocess.CompletedProcess[str]:
    """Run a line of another program that has the jobs and the queue."""
    program = (
        f"import sys; sys.path.insert(0, {str(home.path)!r})\n"
        f"from prokerja import Queue\nfrom jobs.send import *\nqueue = Queue({str(home.db)!r})\n"
        f"print({code})"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def write(home: Home, source: str) -> None:
    home.write("send.py", HEAD + source)


def result(home: Home, id: int) -> Any:
    home.work()
    job = home.job(id)
    assert job["status"] == "completed", job
    return job["result"]


@doors
@pytest.mark.parametrize("kind", KINDS)
def test_a_field_called_payload_is_kept(
    home: Home, declare: Callable[[Home, dict[str, Any]], int], kind: str
) -> None:
    handle = "    def handle(self):\n        return [self.url, self.payload]\n"
    write(home, f"{KINDS[kind]}\n    payload: dict\n    url: str\n{handle}")
    id = declare(home, {"payload": {"a": 1}, "url": "http://x"})
    assert home.job(id)["payload"] == {"payload": {"a": 1}, "url": "http://x"}
    assert result(home, id) == ["http://x", {"a": 1}]


@doors
def test_words_of_ours_are_fields_like_any_other_and_no_options(
    home: Home, declare: Callable[[Home, dict[str, Any]], int]
) -> None:
    lines = "".join(f"    {word}: str\n" for word in WORDS)
    found = "[" + ", ".join(f"this.{word}" for word in WORDS) + "]"
    write(home, f"{KINDS['plain']}\n{lines}    def handle(this):\n        return {found}\n")
    id = declare(home, {word: f"my {word}" for word in WORDS})
    job = home.job(id)
    assert (job["job"], job["queue"], job["priority"]) == ("send", "default", 0)
    assert result(home, id) == [f"my {word}" for word in WORDS]


def test_a_field_called_declared_takes_no_part_in_follow_ups(home: Home) -> None:
    home.write(
        "send.py",
        HEAD
        + """
@dataclass(frozen=True, slots=True)
class Send(Job):
    _declared: list
    def handle(self):
        if self._declared:
            self.declare(Send([]))
        return self._declared
""",
    )
    id = home.declare_job("send", _declared=[1])
    assert result(home, id) == [1]
    assert home.statuses([id, id + 1]) == ["completed", "completed"]


@pytest.mark.parametrize("word", ["handle", "declare"])
def test_a_field_in_the_place_of_a_method_is_refused_by_name(home: Home, word: str) -> None:
    handle = "" if word == "handle" else "    def handle(self): pass\n"
    write(home, f"{KINDS['plain']}\n    {word}: str\n    url: str\n{handle}")
    why = f"Send.{word} is a field; a job's {word} must be a method"
    done = python(home, "queue.declare(Send('a', 'b'))")
    assert done.returncode == 1
    assert f"RequestError: {why}" in done.stderr
    payload = {word: "a", "url": "b"}
    for attempt in (by_shell, by_batch):
        with pytest.raises(AssertionError, match=f"unknown job 'send', but .*{why}"):
            attempt(home, payload)
    assert why in home.work().said()
    with pytest.raises(sqlite3.IntegrityError, match="unknown job"):
        by_sql(home, payload)
    listed = home("jobs")
    assert (listed.code, why in listed.err) == (1, True)


def test_what_cannot_be_read_back_is_refused_by_name_from_python(home: Home) -> None:
    write(
        home,
        f"""{KINDS["plain"]}
    url: str
    token: InitVar[str]
    def __post_init__(self, token): self.secret = token
    def handle(self): return [self.url, self.secret]
""",
    )
    why = "Send.token is an InitVar, which cannot be read back; make it a field or write a payload"
    done = python(home, "queue.declare(Send('a', 'b'))")
    assert done.returncode == 1
    assert f"RequestError: {why}" in done.stderr
    id = home.run("import jobs.send\nself.declare(jobs.send.Send('a', 'b'))")
    home.work()
    assert why in home.job(id)["error"]


@pytest.mark.parametrize("declare", [by_shell, by_batch, by_sql])
def test_what_a_payload_gives_to_the_constructor_arrives(
    home: Home, declare: Callable[[Home, dict[str, Any]], int]
) -> None:
    write(
        home,
        f"""{KINDS["plain"]}
    url: str
    token: InitVar[int]
    def __post_init__(self, token): self.secret = token
    def handle(self): return [self.url, self.secret]
""",
    )
    assert result(home, declare(home, {"url": "a", "token": 5})) == ["a", 5]


@doors
def test_a_payload_of_its_own_keeps_what_no_field_does(
    home: Home, declare: Callable[[Home, dict[str, Any]], int]
) -> None:
    write(
        home,
        f"""{KINDS["plain"]}
    url: str
    token: InitVar[int]
    def __post_init__(self, token): self.secret = token
    def payload(self): return {{"url": self.url, "token": self.secret}}
    def handle(self): return [self.url, self.secret]
""",
    )
    assert result(home, declare(home, {"url": "a", "token": 5})) == ["a", 5]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("url: str\n    def __init__(self, url, loud=False): self.url = url", "Send.loud is no"),
        ("url: str\n    def __init__(self, host): self.url = host", "Send.host is not a field"),
        ("url: str\n    n: int\n    def __init__(self, url): self.n = 1", "Send.n is a field that"),
    ],
)
def test_a_constructor_that_its_fields_do_not_fit_is_refused(
    home: Home, source: str, why: str
) -> None:
    write(home, f"{KINDS['plain']}\n    {source}\n    def handle(self): pass\n")
    done = python(home, "queue.declare(Send('a'))")
    assert done.returncode == 1
    assert why in done.stderr


TYPES = [
    ("", "Annotated[int, 'more than 0']"),
    ("", "Final[int]"),
    ("", "list[Annotated[int, 1]] | Annotated[int, 2]"),
    ("", "'Annotated[int, 1]'"),
    ("Number = int | None", "Number"),
    ("Number = int | None", "'Optional[Number]'"),
    ("Inner = int\nNumber = Inner | None", "list[Number] | Number"),
    ("Number = NewType('Number', int)", "Number"),
    ("import typing as t\nNumber = t.NewType('Number', int)", "t.Optional[Number]"),
    ("from typing import Annotated as A", "A[int, 1]"),
    ("from typing import TypeAlias\nNumber: TypeAlias = int", "InitVar[Number]"),
]
if sys.version_info >= (3, 12):
    TYPES += [("type Number = int | None", "Number"), ("type N = int\ntype M = N | None", "M")]


@pytest.mark.parametrize("known", ["by its text", "by import"])
@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
@pytest.mark.parametrize(("head", "annotation"), TYPES)
def test_a_type_by_another_name_reads_a_number(
    home: Home, known: str, future: str, head: str, annotation: str
) -> None:
    job = f"""{KINDS["plain"]}
    n: {annotation}
    def handle(self): pass
    def payload(self): return {{}}
"""
    home.write("send.py", future + HEAD + head + "\n" + job)
    if known == "by import":
        home.work()
    id = int(home.cli("declare:job", "send", "n=5"))
    assert home.job(id)["payload"] == {"n": 5}
    home.cli("declare:job", "send", "n=many", code=2)


@pytest.mark.parametrize("known", ["by its text", "by import"])
def test_a_value_whose_type_is_unknown_is_not_guessed(home: Home, known: str) -> None:
    write(
        home,
        f"""from decimal import Decimal
{KINDS["plain"]}
    n: Decimal
    def handle(self): return self.n
""",
    )
    if known == "by import":
        home.work()
    texts = ["5", "1.5", "true", "null", "[1]", "{}"]
    for text in texts:
        said = home("declare:job", "send", f"n={text}")
        assert said.code == 2
        assert f"cannot tell whether '{text}' is text or JSON; write n:=" in said.err
    ids = [int(home.cli("declare:job", "send", f"n:={text}")) for text in texts]
    home.work()
    assert [home.job(id)["result"] for id in ids] == [json.loads(text) for text in texts]
    quoted = json.dumps(text)
    assert result(home, int(home.cli("declare:job", "send", f"n:={quoted}"))) == text
    assert result(home, int(home.cli("declare:job", "send", "n=some words"))) == "some words"
