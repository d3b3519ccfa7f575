"""A value of the wrong type is refused when it is declared, by every door."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from prokerja import Job, Queue
from prokerja.errors import BadPayload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.home import Home

THUMB = """
from dataclasses import dataclass
from prokerja import Job


@dataclass
class Thumb(Job):
    path: str
    width: int = 100

    def handle(self):
        return self.path
"""
TOLD = "thumb cannot take this payload: 'path' is 17, not str; give what it takes: thumb("


class Size(IntEnum):
    SMALL = 1


class Colour(StrEnum):
    RED = "red"


@dataclass
class Point:
    x: int


@dataclass
class Everything(Job):
    text: str = ""
    whole: int = 0
    real: float = 0.0
    flag: bool = False
    maybe: str | None = None
    one_of: Literal["a", 1] = "a"
    either: int | list[str] = 0
    items: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    anything: Any = None
    point: Point | None = None
    sloppy: int = None  # type: ignore[assignment]
    bare = 5

    def handle(self) -> None:
        """Do nothing."""


class Own:
    """Not a dataclass: what it takes is what its constructor says."""

    def __init__(self, path: str, extra: Any = None) -> None:
        self.path, self.extra = path, extra

    def payload(self) -> dict[str, Any]:
        return {"path": self.path, "more": self.extra}

    def handle(self) -> None:
        """Do nothing."""


@dataclass(slots=True)
class Slots:
    path: str

    def handle(self) -> None:
        """Do nothing."""


@pytest.fixture
def queue() -> Iterator[Queue]:
    with Queue(":memory:") as queue:
        yield queue


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"text": "x", "whole": -1, "real": 1.5, "flag": True, "maybe": "y", "one_of": 1},
        {"real": 5},
        {"text": Path("/tmp")},
        {"text": Colour.RED, "whole": Size.SMALL},
        {"either": ["a", Path("b")]},
        {"items": (1, 2)},
        {"items": []},
        {"counts": {"a": 1}},
        {"counts": Point(1)},
        {"anything": [None, {"a": object}.keys().__len__()]},
        {"point": Point(1)},
        {"sloppy": None},
        {"sloppy": 7},
        {"whole": 10**40},
    ],
)
def test_values_of_their_types_are_declared(queue: Queue, values: dict[str, Any]) -> None:
    for _ in range(2):
        assert queue.declare(Everything(**values)) > 0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"text": 17}, "'text' is 17, not str"),
        ({"text": None}, "'text' is None, not str"),
        ({"whole": "17"}, "'whole' is '17', not int"),
        ({"whole": 1.0}, "'whole' is 1.0, not int"),
        ({"whole": True}, "'whole' is True, not int"),
        ({"real": True}, "'real' is True, not float"),
        ({"real": "1"}, "'real' is '1', not float"),
        ({"flag": 1}, "'flag' is 1, not bool"),
        ({"maybe": 5}, "'maybe' is 5, not str | None"),
        ({"one_of": "b"}, "'one_of' is 'b', not Literal['a', 1]"),
        ({"one_of": True}, "'one_of' is True, not Literal['a', 1]"),
        ({"either": "a"}, "'either' is 'a', not int | list[str]"),
        ({"items": ["a"]}, "'items' is "),
        ({"items": None}, "'items' is None, not list[int]"),
        ({"counts": {"a": "1"}}, "'counts' is "),
        ({"counts": []}, "'counts' is "),
        ({"sloppy": "7"}, "'sloppy' is '7', not int"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_field(
    queue: Queue, values: dict[str, Any], told: str
) -> None:
    for declare in (queue.declare, lambda job: queue.declare_many([Everything(), job])):
        with pytest.raises(BadPayload) as caught:
            declare(Everything(**values))
        message = str(caught.value)
        assert message.startswith("everything cannot take this payload: ")
        assert told in message
        assert message.isprintable()
    assert queue.newest() == []


def test_a_job_with_a_payload_of_its_own_is_checked_where_its_constructor_says(
    queue: Queue,
) -> None:
    assert queue.declare(Own("a", 5)) == 1
    with pytest.raises(BadPayload, match="own cannot take this payload: 'path' is 17, not str"):
        queue.declare(Own(17))  # type: ignore[arg-type]


def test_slots_are_looked_at_too(queue: Queue) -> None:
    assert queue.declare(Slots("a")) == 1
    with pytest.raises(BadPayload, match="'path' is 17, not str"):
        queue.declare(Slots(17))  # type: ignore[arg-type]


def test_a_class_that_tells_nothing_of_its_values_takes_any(queue: Queue) -> None:
    class Loose:
        def __init__(self, **more: Any) -> None:
            self.more = more

        def payload(self) -> dict[str, Any]:
            return self.more

        def handle(self) -> None:
            """Do nothing."""

    assert queue.declare(Loose(a=[1], b=None)) == 1


# The doors


@pytest.fixture
def thumbs(home: Home) -> Home:
    home.write("thumb.py", THUMB)
    home.work()
    return home


def test_the_shell_refuses_it(thumbs: Home) -> None:
    told = thumbs("declare:job", "thumb", "path:=17")
    assert (told.code, TOLD in told.err) == (2, True)
    told = thumbs("declare:batch", stdin='{"job": "thumb", "payload": {"path": 17}}')
    assert (told.code, TOLD in told.err) == (2, True)


def test_a_program_with_text_for_annotations_is_refused_it(thumbs: Home) -> None:
    declare = "import prokerja, sys\nprokerja.Queue(sys.argv[1]).declare(Thumb(17))"
    code = f"from __future__ import annotations\n{THUMB}\n{declare}"
    done = subprocess.run(
        [sys.executable, "-c", code, thumbs.db], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"prokerja.errors.BadPayload: {TOLD}" in done.stderr


def test_sql_refuses_it(thumbs: Home) -> None:
    insert = "INSERT INTO declare (job, payload) VALUES ('thumb', ?)"
    with closing(sqlite3.connect(thumbs.db, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="not of the type of its field"):
            connection.execute(insert, (json.dumps({"path": 17}),))
        connection.execute(insert, (json.dumps({"path": "17"}),))


def test_a_job_that_declares_it_as_a_follow_up_fails_with_that_error(thumbs: Home) -> None:
    id = thumbs.run("import jobs.thumb\nself.declare(jobs.thumb.Thumb(17))")
    thumbs.work()
    job = thumbs.job(id)
    assert (job["status"], thumbs.counts()["pending"]) == ("failed", 0)
    assert TOLD in job["error"]


def test_a_default_of_another_type_fits_by_every_door(thumbs: Home) -> None:
    thumbs.write("thumb.py", THUMB.replace("width: int = 100", "width: int = None"))
    assert thumbs("declare:job", "thumb", "path=a", "width:=null").code == 0
    assert thumbs("declare:job", "thumb", "path=a", "width=x").code == 2
    insert = (
        """INSERT INTO declare (job, payload) VALUES ('thumb', '{"path": "a", "width": null}')"""
    )
    with closing(sqlite3.connect(thumbs.db, isolation_level=None)) as connection:
        connection.execute(insert)
        with pytest.raises(sqlite3.IntegrityError, match="not of the type of its field"):
            connection.execute(insert.replace("null", '"x"'))
    thumbs.work()
    assert thumbs.counts()["completed"] == 2
