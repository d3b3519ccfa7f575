"""Job files: found on the disk, read without being run, imported, and looked into from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prokerja.catalog.annotations import schema_of, spelled
from prokerja.catalog.files import scan
from prokerja.catalog.inspection import inspect
from prokerja.catalog.loading import Loaded, load, load_classes, rebuild, spec_of
from prokerja.catalog.static import read_file
from prokerja.errors import CatalogError
from prokerja.job import Job
from prokerja.spec import JobSpec

SHIPPED = str(Path(__file__).parent.parent / "jobs")
HEAD = """
from __future__ import annotations
from dataclasses import dataclass, field, InitVar, KW_ONLY
from typing import *
from abc import ABC, abstractmethod
from pathlib import Path
import dataclasses, enum, typing as t
from prokerja.job import Job
"""
EAGER = HEAD.replace("from __future__ import annotations\n", "\n")
TEXT, INTEGER, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}

Put = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """An empty jobs directory."""
    (tmp_path / "jobs").mkdir()
    return str(tmp_path / "jobs")


@pytest.fixture
def put(folder: str) -> Put:
    """Writes a file below the jobs directory; returns its path."""

    def put(name: str, source: str | bytes, head: str = HEAD) -> str:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = source if isinstance(source, bytes) else (head + dedent(source)).encode()
        path.write_bytes(text)
        return str(path)

    return put


@pytest.fixture(autouse=True)
def _own_modules() -> Iterator[None]:
    """What a test imports as `jobs` ends with it."""
    before = {name: module for name, module in sys.modules.items() if is_jobs(name)}
    yield
    for name in filter(is_jobs, list(sys.modules)):
        del sys.modules[name]
    sys.modules.update(before)


def is_jobs(name: str) -> bool:
    """Whether a module belongs to some jobs directory."""
    return name.partition(".")[0] == "jobs"


def refusal(act: Callable[..., object], *args: Any) -> str:
    """The one readable line of a CatalogError."""
    with pytest.raises(CatalogError) as caught:
        act(*args)
    message = str(caught.value)
    assert message.isprintable()
    message.encode()
    return message


def only(path: str) -> JobSpec:
    """The one job of a file, as read from its text."""
    (spec,) = read_file(path)
    return spec


def names(path: str) -> list[str]:
    """The jobs of a file, as read from its text."""
    return [spec.name for spec in read_file(path)]


def agreed(folder: str) -> dict[str, JobSpec]:
    """The specs of a directory, the same from text and from import."""
    loaded = load(folder)
    assert loaded.broken == []
    static = {spec.name: spec for path in scan(folder) for spec in read_file(path)}
    assert static == loaded.specs
    return static


def errors(loaded: Loaded) -> list[str]:
    """What is broken, each a readable line."""
    for _, error in loaded.broken:
        assert error.isprintable()
        error.encode()
    return [error for _, error in loaded.broken]


# Annotations


@pytest.mark.parametrize(
    ("text", "shown", "schema"),
    [
        ("str", "str", TEXT),
        ("int", "int", INTEGER),
        ("float", "float", {"type": "number"}),
        ("bool", "bool", {"type": "boolean"}),
        ("None", "None", NULL),
        ("Any", "Any", {}),
        ("typing.Any", "Any", {}),
        ("list", "list", {"type": "array"}),
        ("list[str]", "list[str]", {"type": "array", "items": TEXT}),
        ("List['int']", "List[int]", {"type": "array", "items": INTEGER}),
        ("t.Sequence[str]", "Sequence[str]", {"type": "array", "items": TEXT}),
        ("collections.abc.Sequence", "Sequence", {"type": "array"}),
        ("set[Any]", "set[Any]", {"type": "array"}),
        ("tuple[int, ...]", "tuple[int, ...]", {"type": "array", "items": INTEGER}),
        (
            "tuple[int, str]",
            "tuple[int, str]",
            {"type": "array", "items": {"anyOf": [INTEGER, TEXT]}},
        ),
        ("tuple[()]", "tuple[()]", {"type": "array"}),
        ("dict", "dict", {"type": "object"}),
        ("dict[str, int]", "dict[str, int]", {"type": "object", "additionalProperties": INTEGER}),
        ("Mapping[str, Any]", "Mapping[str, Any]", {"type": "object"}),
        ("dict[int, str]", "dict[int, str]", {}),
        ("Optional[str]", "str | None", {"anyOf": [TEXT, NULL]}),
        ("typing.Optional[str]", "str | None", {"anyOf": [TEXT, NULL]}),
        ("None | str", "str | None", {"anyOf": [TEXT, NULL]}),
        ("Union[str, None, 'int']", "str | int | None", {"anyOf": [TEXT, INTEGER, NULL]}),
        ("str | str", "str", TEXT),
        ("int | Whatever", "int | Whatever", {}),
        ("Literal['a', 1, None]", "Literal['a', 1, None]", {"enum": ["a", 1, None]}),
        ("t.Literal[-1]", "Literal[-1]", {"enum": [-1]}),
        ("Literal['str'] | None", "Literal['str'] | None", {"anyOf": [{"enum": ["str"]}, NULL]}),
        ("Literal[b'x']", "Literal[b'x']", {}),
        ("Literal['\\ud800']", "Literal['\\ud800']", {}),
        ("'str'", "str", TEXT),
        ("\"list['str']\"", "list[str]", {"type": "array", "items": TEXT}),
        ("pathlib.Path", "Path", TEXT),
        ("os.PathLike[str]", "PathLike[str]", TEXT),
        ("bytes", "bytes", {}),
        ("Foo[int]", "Foo[int]", {}),
        ("", "", {}),
        ("the person's name", "the person's name", {}),
        ("\ud800", r"\ud800", {}),
        ("a\0b", r"a\x00b", {}),
        ("🙂", "🙂", {}),
    ],
)
def test_an_annotation_becomes_a_schema_and_is_shown_one_way(
    text: str, shown: str, schema: dict[str, Any]
) -> None:
    assert schema_of(text) == schema
    assert spelled(text) == shown
    assert spelled(shown) == shown


PIECES = st.sampled_from(
    ["int", "str", "list", "dict", "[", "]", "|", ",", "Literal", "Optional", "None", "'", '"']
    + ["(", ")", ".", "typing", "Union", "ForwardRef", "\\", "-", "1", "{}", "*", "...", " "]
)


@given(
    st.text(st.characters(codec=None))
    | st.lists(PIECES).map("".join)
    | st.sampled_from(["-" * 100_000 + "1", "|".join(["int"] * 9000), "(" * 999, "x" * 10_000])
)
@settings(deadline=None)
def test_schema_of_takes_any_text_and_keeps_to_its_subset(text: str) -> None:
    assert spelled(text).isprintable()
    todo = [schema_of(text)]
    while todo:
        schema = todo.pop()
        todo += schema.get("anyOf", [])
        todo += [schema[key] for key in ("items", "additionalProperties") if key in schema]
        assert schema.keys() <= {"type", "items", "additionalProperties", "anyOf", "enum"}
        json.dumps(schema).encode()


# Files


def test_every_python_file_is_found_by_its_absolute_path_and_sorted(
    folder: str, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [put(name, b"x") for name in ["b.py", "a.py", "sub/deep/c.py", "🙂.py", "my-job.py"]]
    put("notes.txt", b"x")
    put("b.pyc", b"x")
    Path(folder, "folder.py").mkdir()
    monkeypatch.chdir(Path(folder).parent)
    assert list(scan("jobs")) == sorted(paths)


def test_a_stamp_is_the_time_of_the_last_change_and_the_size(folder: str, put: Put) -> None:
    path = put("a.py", b"12345")
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    assert scan(folder) == {path: (1_700_000_000_123_456_789, 5)}


def test_hidden_and_compiled_files_are_skipped(folder: str, put: Put) -> None:
    for name in [".a.py", ".git/a.py", "__pycache__/a.py", "sub/__pycache__/a.py", "sub/.b.py"]:
        put(name, b"x")
    assert scan(folder) == {}


def test_a_hidden_jobs_directory_is_read_if_it_is_named(tmp_path: Path) -> None:
    (tmp_path / ".jobs").mkdir()
    (tmp_path / ".jobs" / "a.py").touch()
    assert list(scan(str(tmp_path / ".jobs"))) == [str(tmp_path / ".jobs" / "a.py")]


def test_links_are_followed_once_and_loops_are_left(folder: str, put: Put, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.py").touch()
    real = put("sub/b.py", b"x")
    root = Path(folder)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "also").symlink_to(root / "sub")
    (root / "sub" / "up").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "self.py").symlink_to(root / "self.py")
    (root / "dangling.py").symlink_to(root / "nothing")
    assert list(scan(folder)) == [str(root / "linked" / "a.py"), real]


def test_a_pipe_is_no_file(folder: str) -> None:
    os.mkfifo(Path(folder, "pipe.py"))
    assert scan(folder) == {}


@pytest.mark.parametrize("name", ["missing", "a\0b", "🙂", "\ud800", "x" * 10_000, "line\nbreak"])
def test_a_missing_directory_is_named(tmp_path: Path, name: str) -> None:
    message = refusal(scan, str(tmp_path / name))
    assert str(tmp_path) in message
    assert "; " in message


def test_what_to_do_about_a_missing_directory_is_told(tmp_path: Path) -> None:
    assert refusal(scan, str(tmp_path / "no")) == (
        f"{tmp_path}/no: No such file or directory; create it, or name another with --jobs DIR"
    )


def test_a_file_is_no_directory(put: Put) -> None:
    path = put("a.py", b"x")
    assert refusal(scan, path).startswith(f"{path}: Not a directory; name the directory")


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory that anybody may enter, and a user whom permissions stop."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        if user == 0:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(user)


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444])
@pytest.mark.parametrize("place", [".", "sub"])
def test_a_folder_that_cannot_be_read_is_named(unprivileged: Path, mode: int, place: str) -> None:
    root = unprivileged / "jobs"
    closed = root / place
    closed.mkdir(parents=True)
    (closed / "a.py").touch()
    closed.chmod(mode)
    try:
        message = refusal(scan, str(root))
    finally:
        closed.chmod(0o755)
    assert message.startswith(str(closed))
    assert message.endswith("Permission denied; let this user read it, or move it elsewhere")


def test_a_name_that_is_not_utf8_is_to_be_changed(folder: str) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.py")).touch()
    assert refusal(scan, folder) == rf"{folder}/caf\udce9.py: a name that is not UTF-8; rename it"


# Reading without running


def test_reading_runs_nothing(put: Put, tmp_path: Path) -> None:
    path = put(
        "a.py",
        f"""
        open({str(tmp_path / "ran")!r}, "w")
        @dataclass
        class Dig(Job):
            depth: int = open({str(tmp_path / "ran")!r}, "w")
            def handle(self): ...
        raise SystemExit
        """,
    )
    assert names(path) == ["dig"]
    assert not (tmp_path / "ran").exists()


def test_a_file_is_read_as_a_spec(put: Put) -> None:
    path = put(
        "mail.py",
        '''
        @dataclass
        class SendEmail(Job):
            """

            Send it.

            More.
            """
            to: str
            cc: Optional[list[str]] = None
            queue = "emails"
            priority = -5
            retries = 3
            retry_after = 60 * 5 + 0.5
            timeout = -(-120 // 1)
            def handle(self): ...
        ''',
    )
    spec = only(path)
    assert spec.signature() == "send_email(to: str, cc: list[str] | None = None)"
    assert spec[1:6] == ("emails", -5, 3, 300.5, 120)
    assert (spec.open, spec.file, spec.doc) == (False, path, "Send it.")
    assert [field.required for field in spec.fields] == [True, False]


def test_without_options_the_defaults_hold(put: Put) -> None:
    path = put("a.py", "class Dig(Job):\n    def handle(self): ...\n")
    assert only(path)[:6] == ("dig", "default", 0, 0, 60.0, None)
    assert only(path)[6:] == ((), False, path, "")


@pytest.mark.parametrize(
    "value", ["LIMIT", "f()", "1 / 0", "2 ** 99999", "'a' * 10**9", "b'x'", "{1}", "1j", "1e999"]
)
def test_an_option_that_is_no_literal_is_not_set(put: Put, value: str) -> None:
    path = put("a.py", f"class Dig(Job):\n    def handle(self): ...\n    priority = {value}\n")
    assert only(path).priority == 0


def test_a_file_is_reported_relative_to_nothing(
    put: Put, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put("a.py", "class Dig(Job):\n    def handle(self): ...\n")
    monkeypatch.chdir(folder)
    assert only("a.py").file == path


JOBS = """
class Plain(Job):
    def handle(self): ...
class Child(Plain):
    pass
class Dotted(t.Generic[t.TypeVar("T")], Plain): ...
@dataclass
class Data:
    def handle(self): ...
class DataChild(Data): ...
@dataclasses.dataclass(frozen=True)
class Frozen:
    def handle(self): ...
class Own:
    async def handle(self): ...
    def payload(self): return {}
class Assigned(Job):
    handle = Plain.handle
class Base(Job, ABC):
    @abstractmethod
    def part(self): ...
    def handle(self): ...
class Concrete(Base):
    def part(self): ...
@dataclass
class Again(Job):
    old: int
    def handle(self): ...
@dataclass
class Again(Job):
    new: int
    def handle(self): ...

class _Private(Job):
    def handle(self): ...
class NoHandle(Job): ...
class HandleOnly:
    def handle(self): ...
class PayloadOnly:
    def payload(self): return {}
class Unhandled(Plain):
    handle = None
class Shape(Protocol):
    def handle(self): ...
    def payload(self): ...
def handle(): ...
class Outer:
    class Inner(Job):
        def handle(self): ...
"""


@pytest.mark.parametrize("head", [HEAD, EAGER])
def test_what_is_a_job_and_what_is_not(put: Put, folder: str, head: str) -> None:
    put("a.py", JOBS, head)
    expected = "plain child dotted data data_child frozen own assigned concrete again"
    assert list(agreed(folder)) == expected.split()


def test_a_job_of_a_module_is_a_job_too(put: Put, folder: str) -> None:
    put("a.py", "import prokerja.job\nclass Dig(prokerja.job.Job):\n    def handle(self): ...\n")
    assert list(agreed(folder)) == ["dig"]


FIELDS = """
@dataclass
class Base(Job):
    first: str
    second: "int" = 0
    hidden: list[int] = field(default_factory=list, init=False)
    def handle(self): ...
@dataclass
class Derived(Base):
    second: int = 2
    third: Optional[Union[int, "str"]] = field(default=None, repr=False)
    fourth: dict[str, Any] = field(default_factory=dict)
    fifth: InitVar[Optional[Path]] = None
    sixth: Literal["str", -1, None] = "str"
    seventh: float = 60 * 1.5
    eighth: List["Path"] = dataclasses.field(default_factory=list)
    ninth: tuple[int, ...] = (1, 2)
    tenth: bytes = b"x"
    timeout: float = -1.5
    name: str = "not an option"
@dataclass
class Later(Base):
    late: int = field(kw_only=True)
    _: KW_ONLY
    later: str
    early: "Base | None" = field(default=None, kw_only=False)
@dataclass(kw_only=True, slots=True)
class Named(Base):
    last: list[str | None] | None
class Undecorated(Derived):
    name = "still not an option"
    queue = "other"
@dataclass(init=False)
class Own(Base):
    def __init__(self, a, b: int, /, *rest: int, c="x", d: str | None = None, **more: int): ...
class Other(Job):
    def __init__(self, url, timeout: float = 5, xs=[1, {"a": None}], f=print): ...
    def handle(self): ...
    timeout = 7
class Inherits(Other):
    name, queue = "a", "b"
class Empty(Job):
    def handle(self): ...
class First(Job):
    def handle(self): ...
    retries = 1
    queue = "first"
class Second(First):
    retries: int = 2
class Third(First):
    queue = "third"
class Diamond(Second, Third):
    name = "cut diamond"
class Remarks(Job):
    def __init__(self, to: "the person's name", n: 5 = 1): ...
    def handle(self): ...
"""


@pytest.mark.parametrize("head", [HEAD, EAGER])
def test_fields_and_options_are_the_same_from_text_and_from_import(
    put: Put, folder: str, head: str
) -> None:
    put(
        "a.py", FIELDS.replace("a, b: int, /, ", "a, b: int, ").replace("name, queue", "n, q"), head
    )
    specs = agreed(folder)
    signatures = [spec.signature() for spec in specs.values()]
    derived = (
        "(first: str, second: int = 2, third: int | str | None = None, "
        "fourth: dict[str, Any] = ..., fifth: Path | None = None, "
        "sixth: Literal['str', -1, None] = 'str', seventh: float = 90.0, "
        "eighth: List[Path] = ..., ninth: tuple[int, ...] = ..., tenth: bytes = ..., "
        "timeout: float = -1.5, name: str = 'not an option')"
    )
    assert signatures == [
        "base(first: str, second: int = 0)",
        f"derived{derived}",
        "later(first: str, second: int = 0, early: Base | None = None, late: int, later: str)",
        "named(first: str, second: int = 0, last: list[str | None] | None)",
        f"undecorated{derived}",
        "own(a, b: int, c='x', d: str | None = None, **more)",
        "other(url, timeout: float = 5, xs=[1, {'a': None}], f=...)",
        "inherits(url, timeout: float = 5, xs=[1, {'a': None}], f=...)",
        "empty()",
        "first()",
        "second()",
        "third()",
        "cut diamond()",
        "remarks(to: the person's name, n: 5 = 1)",
    ]
    assert specs["derived"].timeout is None
    assert specs["undecorated"].queue == "other"
    assert specs["other"].timeout == 7
    assert (specs["cut diamond"].retries, specs["cut diamond"].queue) == (2, "third")
