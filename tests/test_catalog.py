"""Job files: found on the disk, read without being run, imported, and looked into from outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prokerja.catalog.annotations import schema_of, spelled
from prokerja.catalog.files import scan
from prokerja.catalog.inspection import inspect
from prokerja.catalog.loading import Loaded, load, load_classes, rebuild, spec_of
from prokerja.catalog.static import read_file
from prokerja.errors import CatalogError
from prokerja.job import Job
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from prokerja.spec import JobSpec
    from tests.harness.home import Home

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


PIECES = r"int str list dict [ ] | , Literal Optional None ' ( ) . typing Union ForwardRef \ - 1 *"


@given(
    st.text(st.characters(codec=None))
    | st.lists(st.sampled_from(PIECES.split(" "))).map("".join)
    | st.sampled_from(["-" * 100_000 + "1", "|".join(["int"] * 9000), "(" * 999, "x" * 10_000])
)
@patient
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


def settled(folder: str) -> dict[str, str]:
    """The stamps, once no file has changed a moment ago."""
    wait_until(lambda: all(scan(folder).values()))
    return scan(folder)


def test_a_stamp_stays_as_long_as_a_file_does(folder: str, put: Put) -> None:
    path = put("a.py", b"12345")
    stamps = settled(folder)
    assert stamps.keys() == {path}
    assert scan(folder) == stamps


def test_a_file_that_has_changed_a_moment_ago_has_no_stamp_yet(folder: str, put: Put) -> None:
    path = put("a.py", b"12345")
    assert scan(folder) == {path: ""}


@pytest.mark.parametrize("replace", [False, True])
def test_another_content_of_the_same_time_and_size_has_another_stamp(
    folder: str, put: Put, replace: bool
) -> None:
    path = put("a.py", b"12345")
    before, times = settled(folder), os.stat(path)
    other = put("a.py.new", b"54321") if replace else put("a.py", b"54321")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(other, path)
    assert os.stat(path).st_mtime_ns == times.st_mtime_ns
    assert settled(folder)[path] != before[path]


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
    assert message.startswith(str(tmp_path))
    assert re.search(r": (No|no) such .*; create (it,.*|one$)|: File name too long; ", message)


def test_what_to_do_about_a_missing_directory_is_reported(tmp_path: Path) -> None:
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
    assert only(path)[6:] == ((), False, path, "", (), None, None)


@pytest.mark.parametrize(
    "value", ["LIMIT", "f()", "1 / 0", "2 ** 99999", "'a' * 10**9", "b'x'", "{1}", "1j", "1e999"]
)
def test_an_option_that_is_no_literal_is_not_set(put: Put, value: str) -> None:
    path = put("a.py", f"class Dig(Job):\n    def handle(self): ...\n    priority = {value}\n")
    assert only(path).priority == 0


def test_a_file_is_reported_by_its_whole_path(
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
@dataclass(init=False)
class Uninitialized(Derived):
    more: int = 1
class Undecorated(Derived):
    name = "still not an option"
    queue = "other"
@dataclass(init=False)
class Own(Base):
    def __init__(self, a, b: int, *rest: int, c="x", d: str | None = None, **more: int): ...
class Other(Job):
    def __init__(self, url, timeout: float = 5, xs=[1, {"a": None}], f=print): ...
    def handle(self): ...
    timeout = 7
class Inherits(Other): ...
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
    put("a.py", FIELDS, head)
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
        f"uninitialized{derived}",
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


TYPES = {
    "str": ["'x'", "''", r"'\ud800'", "'עברית🙂'", "None"],
    "int": ["0", "-3", "60 * 60", "99999999999999999999"],
    "float": ["1.5", "1e999", "-(1 / 3)"],
    "list[str]": ["field(default_factory=list)", "()"],
    "Optional[Union[int, str]]": ["None", "5"],
    "Literal['a', 'b']": ["'a'"],
    "'dict[str, list[Path]] | None'": ["None"],
    "InitVar[bool]": ["True", "field(default=False, kw_only=True)"],
    "t.ClassVar[int]": ["5"],
}
FIELD = st.sampled_from(sorted(TYPES)).flatmap(
    lambda text: st.tuples(
        st.sampled_from(["a", "b", "c", "name_", "שם", "x" * 300]),
        st.just(text),
        st.sampled_from(["", *TYPES[text]]),
    )
)
BODY = st.lists(FIELD, max_size=6, unique_by=lambda field: field[0])
OPTION = st.sampled_from(
    ["queue = 'q'", "priority = 2 * 5", "retries = 3", "retry_after = 0.5", "name = 'other'"]
)


def dataclass_source(
    name: str, base: str, fields: list[tuple[str, str, str]], options: list[str]
) -> str:
    """The text of a dataclass job."""
    lines = [f"@dataclass(kw_only=True)\nclass {name}({base}):", "def handle(self): ..."]
    lines += [f"{field}: {type}{default and ' = '}{default}" for field, type, default in fields]
    return "\n    ".join([*lines, *options]) + "\n"


@given(st.sampled_from([HEAD, EAGER]), BODY, BODY, st.lists(OPTION))
@patient
def test_any_two_dataclasses_are_the_same_from_text_and_from_import(
    head: str,
    first: list[tuple[str, str, str]],
    second: list[tuple[str, str, str]],
    options: list[str],
) -> None:
    source = head + dataclass_source("Base", "Job", first, [])
    source += dataclass_source("Derived", "Base", second, options)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.py").write_text(source, encoding="utf-8")
        specs = agreed(folder)
    assert len(specs) == 2
    for spec in specs.values():
        assert spec.signature().isprintable()
        json.dumps(spec.to_json(), ensure_ascii=False).encode()


def test_the_jobs_we_ship_are_the_same_from_text_and_from_import() -> None:
    assert "noop" in agreed(SHIPPED)


@pytest.mark.parametrize(
    "source",
    [
        "from elsewhere import Base\nclass Dig(Base, Job):",
        "import elsewhere\nclass Dig(elsewhere.Base, Job):",
        "from elsewhere import Base\nclass Middle(Base): ...\nclass Dig(Middle, Job):",
        "class Dig(Job, make_base()):",
        "@attrs.define\nclass Dig(Job):",
        "@registered\n@dataclass\nclass Dig(Job):",
    ],
)
def test_with_a_base_or_decorator_from_elsewhere_any_field_is_taken(put: Put, source: str) -> None:
    spec = only(put("a.py", f"{HEAD}{source}\n    def handle(self): ...\n", ""))
    assert spec.open
    spec.check({"anything": 1})


@pytest.mark.parametrize(
    "base", ["Job, ABC", "Job, object", "Job, Generic[T]", "t.Generic[T], Job"]
)
def test_with_familiar_bases_only_the_known_fields_are_taken(put: Put, base: str) -> None:
    source = f"T = TypeVar('T')\nclass Dig({base}):\n    def handle(self): ...\n"
    assert not only(put("a.py", f"{HEAD}{source}", "")).open


@pytest.mark.parametrize(
    ("source", "line", "error"),
    [
        (b"x = 1\n\nclass (\n", 3, "SyntaxError: invalid syntax"),
        (b"x = 1\n  y = 2\n", 2, "SyntaxError: unexpected indent"),
        (b"x = 1\ny = 'open\n", 2, "SyntaxError: unterminated string literal"),
        (b"x = 1\n# caf\xe9\n", 2, "a byte that is not UTF-8"),
        ("x = 1".encode("utf-16"), 1, "a byte that is not UTF-8"),
        (b"x = 1\ny = '\0'\n", 2, "a null byte"),
        ("x = 1 \u202e".encode(), 1, r"SyntaxError: invalid non-printable character U+202E"),
        (b"x = " + b"(" * 999, 1, "SyntaxError: too many nested parentheses"),
        (b"x = " + b"-" * 100_000 + b"1", 1, ""),
        (b"x = 1" + b" | 1" * 50_000, 1, ""),
        (
            b"class A:\n def handle(self): ...\n def payload(self): ...\n"
            b" def __init__(self, x: 0x" + b"f" * 9999 + b"): ...",
            1,
            "a number too large",
        ),
    ],
)
def test_a_file_that_is_no_python_is_refused_with_its_line(
    put: Put, source: bytes, line: int, error: str
) -> None:
    path = put("a.py", source)
    message = refusal(read_file, path)
    assert message.startswith(f"{path}, line {line}: {error}")
    assert message.endswith("; correct it, or move the file out of the jobs directory")


@pytest.mark.parametrize("name", ["gone.py", "a\0b.py", "\ud800.py", "\u202e.py"])
def test_a_file_that_has_vanished_is_refused(folder: str, name: str) -> None:
    message = refusal(read_file, os.path.join(folder, name))
    assert message.startswith(folder)
    assert message.endswith(": no such file; put it back, or look again")


def test_a_file_that_cannot_be_read_is_refused(unprivileged: Path) -> None:
    closed = unprivileged / "a.py"
    closed.touch(mode=0o000)
    advice = "let this user read it, or move it elsewhere"
    assert refusal(read_file, str(closed)) == f"{closed}: Permission denied; {advice}"
    assert refusal(read_file, str(unprivileged)).startswith(f"{unprivileged}: Is a directory; ")


def test_doubtful_escapes_are_read_without_a_word(put: Put) -> None:
    path = put("a.py", "class Dig(Job):\n    '\\d'\n    def handle(self): ...\n")
    assert only(path).doc == r"\d"


@pytest.mark.parametrize("name", ["x" * 256, "", "a\0b", "\ud800", "\u202eb", "two\nlines"])
def test_a_name_that_no_store_takes_makes_no_job(put: Put, folder: str, name: str) -> None:
    path = put("a.py", f"class Dig(Job):\n    def handle(self): ...\n    name = {name!a}\n")
    broken: list[CatalogError] = []
    assert read_file(path, broken=broken) == []
    (error,) = errors(load(folder))
    assert error.startswith("Dig.name is ")
    assert error.endswith("; make it 1 to 255 printable characters, not shell")
    assert [str(one) for one in broken] == [f"{path}: {error}"]


def test_a_class_that_is_wrong_hides_no_other_in_its_file(home: Home) -> None:
    home.write(
        "a.py",
        """
        from prokerja import Job
        class Bad(Job):
            retries = -1
            def handle(self): pass
            def payload(self): return {}
        class Good(Bad):
            retries = 1
    """,
    )
    home.cli("declare:job", "good")
    for _ in range(2):
        told = home("declare:job", "bad").err
        assert "unknown job 'bad', but " in told
        assert "Bad.retries is -1; make it a whole number from 0 to 1000" in told
    assert home.job(1)["retries"] == 1


def test_names_may_be_long_and_foreign(put: Put, folder: str) -> None:
    source = "class Dig(Job):\n    def handle(self): ...\n    name = 'עברית 🙂'\n"
    put("a.py", source + f"class {'X' * 255}(Dig):\n    name = None\n")
    assert list(agreed(folder)) == ["עברית 🙂", "x" * 255]
    put("b.py", f"class {'X' * 10_000}(Job):\n    def handle(self): ...\n")
    (error,) = errors(load(folder))
    assert len(error) < 300


# Importing


DIG = "class Dig(Job):\n    def handle(self): ...\n"


def test_loading_gives_classes_specs_and_what_is_broken(put: Put, folder: str) -> None:
    put("a.py", "@dataclass\nclass Dig:\n    depth: int = 2\n    def handle(self): ...\n")
    path = put("b.py", "raise ValueError('no\\n  way')", "")
    loaded = load(folder)
    assert loaded.classes["dig"].__module__ == "jobs.a"
    assert loaded.specs == {"dig": spec_of(loaded.classes["dig"])}
    assert loaded.broken == [(path, "ValueError: no way (line 1)")]
    assert rebuild(loaded.classes["dig"], {"depth": 5}).depth == 5


def test_every_file_is_announced_before_it_is_imported(put: Put, folder: str) -> None:
    paths = [put("a.py", DIG), put("b.py", "1 / 0"), put("sub/c.py", "")]
    heard: list[str] = []
    load(folder, heard.append)
    assert heard == paths


def test_files_import_each_other_as_jobs(put: Put, folder: str) -> None:
    put("a.py", "from jobs.helpers import X\nfrom .sub.more import Y\n" + DIG)
    put("helpers.py", "X = 1\n")
    put("sub/more.py", "from ..helpers import X as Y\n")
    put("sub/package/__init__.py", "Z = 1\n" + DIG.replace("Dig", "Init"))
    put("sub/package/inner.py", "from . import Z\n" + DIG.replace("Dig", "Inner"))
    loaded = load(folder)
    assert errors(loaded) == []
    modules = {name: cls.__module__ for name, cls in loaded.classes.items()}
    assert modules == {
        "dig": "jobs.a",
        "init": "jobs.sub.package",
        "inner": "jobs.sub.package.inner",
    }


def test_an_init_file_of_the_directory_comes_first(put: Put, folder: str) -> None:
    put("A.py", "from jobs import X\n" + DIG)
    put("__init__.py", "X = 1\n" + DIG.replace("Dig", "First"))
    assert agreed(folder).keys() == {"first", "dig"}


def test_a_job_file_hides_no_other_module(put: Put, folder: str) -> None:
    put("email.py", "from email.message import Message\n" + DIG)
    put("json.py", "import json\njson.dumps\n")
    loaded = load(folder)
    assert errors(loaded) == []
    assert loaded.classes["dig"].__module__ == "jobs.email"


@pytest.mark.parametrize(
    "name",
    ["my-job", "2fa", "a b", "a.b", "v1.2/job", "class", "🙂", "עברית", "line\nbreak", "x__init__"],
)
def test_a_file_may_have_any_name(put: Put, folder: str, name: str) -> None:
    path = put(f"{name}.py", "from jobs.helpers import X\n" + DIG)
    put("helpers.py", "X = 1\n")
    assert agreed(folder)["dig"].file == path


def test_a_file_and_a_package_of_one_name_are_both_loaded(put: Put, folder: str) -> None:
    put("tools.py", DIG)
    put("tools/__init__.py", DIG.replace("Dig", "Fill"))
    assert agreed(folder).keys() == {"dig", "fill"}


def test_what_is_only_imported_or_bound_twice_is_one_job(put: Put, folder: str) -> None:
    put("a.py", DIG + "Alias = Dig\n")
    put("b.py", "from jobs.a import Dig\nfrom prokerja.job import Job as Another\n")
    loaded = load(folder)
    assert (list(loaded.classes), errors(loaded)) == (["dig"], [])


def test_loading_again_sees_what_has_changed(put: Put, folder: str) -> None:
    put("a.py", "from jobs.helpers import Dig\nclass Fill(Dig): ...\n")
    put("helpers.py", DIG)
    assert load(folder).specs.keys() == {"dig", "fill"}
    put("a.py", DIG.replace("Dig", "Other"))
    os.remove(Path(folder, "helpers.py"))
    assert load(folder).specs.keys() == {"other"}


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            "\nimport nowhere_at_all",
            "ModuleNotFoundError: No module named 'nowhere_at_all' (line 2)",
        ),
        ("\n\nraise SystemExit", "SystemExit (line 3)"),
        ("import sys; sys.exit(0)", "SystemExit: 0 (line 1)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (line 1)"),
        ("raise StopIteration(1)", "StopIteration: 1 (line 1)"),
        ("raise GeneratorExit", "GeneratorExit (line 1)"),
        ("def f():\n    1 / 0\n\nf()", "ZeroDivisionError: division by zero (line 2)"),
        ("x = 1\nclass (", "SyntaxError: invalid syntax (line 2)"),
        ("x = 1\nimport jobs.b", "ZeroDivisionError: division by zero (line 2)"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded (line 1)"),
        ("raise ValueError('\\ud800\\0\\u202e')", r"ValueError: \ud800\x00\u202e (line 1)"),
        ("class E(Exception):\n    def __str__(self): 1 / 0\nraise E", "E (line 3)"),
        (
            "from dataclasses import field\n\nfield(default=1, default_factory=2)",
            "ValueError: cannot specify both default and default_factory (line 3)",
        ),
    ],
)
def test_a_file_that_raises_is_broken_and_the_others_are_not(
    put: Put, folder: str, source: str, error: str
) -> None:
    path = put("a.py", source, "")
    put("b.py", "1 / 0", "")
    put("c.py", DIG)
    loaded = load(folder)
    assert list(loaded.classes) == ["dig"]
    assert (path, error) in loaded.broken
    assert all(line.isprintable() for line in errors(loaded))


def test_a_long_error_is_cut(put: Put, folder: str) -> None:
    put("a.py", "raise ValueError('x' * 10_000)", "")
    (error,) = errors(load(folder))
    assert len(error) < 320
    assert error.endswith("... (line 1)")


def test_of_two_jobs_of_one_name_the_first_wins_and_both_are_named(put: Put, folder: str) -> None:
    first, second = put("a.py", DIG), put("b/a.py", "class Other(Job):\n    name = 'dig'\n" + DIG)
    loaded = load(folder)
    assert loaded.classes["dig"].__module__ == "jobs.a"
    advice = "rename one or set its name"
    error = f"two jobs are called 'dig': {first} and {second}; {advice}"
    assert loaded.broken == [(second, error)]


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("name = ''", "name is ''; make it 1 to 255 printable characters"),
        ("queue = 5", "queue is 5; make it 1 to 255 printable characters"),
        ("queue = ''", "queue is ''; make it 1 to 255 printable characters"),
        ("priority = 1001", "priority is 1001; make it a whole number from -1000 to 1000"),
        ("priority = -1001", "priority is -1001; make it a whole number from -1000 to 1000"),
        ("priority = True", "priority is True; make it a whole number from -1000 to 1000"),
        ("priority = 1.0", "priority is 1.0; make it a whole number from -1000 to 1000"),
        ("priority = 'x' * 9999", f"priority is '{'x' * 76}...; make it a whole number"),
        ("retries = -1", "retries is -1; make it a whole number from 0 to 1000"),
        ("retries = 1001", "retries is 1001; make it a whole number from 0 to 1000"),
        ("retries = None", "retries is None; make it a whole number from 0 to 1000"),
        ("retry_after = -1", "retry_after is -1; make it a number of seconds, 0 or more"),
        ("retry_after = '60'", "retry_after is '60'; make it a number of seconds, 0 or more"),
        ("retry_after = None", "retry_after is None; make it a number of seconds, 0 or more"),
        ("retry_after = 1e999", "retry_after is inf; make it a number of seconds, 0 or more"),
        (
            "timeout = 0",
            "timeout is 0; make it a number of seconds above 0",
        ),
        (
            "timeout = False",
            "timeout is False; make it a number of seconds above 0",
        ),
        ("keep = True", "keep is True; make it False, seconds up to 100 years, or a timedelta"),
        ("keep = -1", "keep is -1; make it False, seconds"),
        ("keep = '7d'", "keep is '7d'; make it False, seconds"),
        ("timeout = 10**400", "timeout is 1000000"),
        ("timeout = float('nan')", "timeout is nan; make it a number of seconds above 0"),
        ("timeout = property()", "timeout is a property; make it a number of seconds above 0"),
    ],
)
def test_an_option_that_cannot_be_meant_breaks_its_class_only(
    put: Put, folder: str, option: str, error: str
) -> None:
    path = put("a.py", DIG + f"class Bad(Dig):\n    {option}\n")
    loaded = load(folder)
    assert list(loaded.classes) == ["dig"]
    assert loaded.broken[0].file == path
    assert errors(loaded)[0].startswith(f"Bad.{error}")


@pytest.mark.parametrize("option", ["priority = -1000", "priority = 1000", "retries = 1000"])
@pytest.mark.parametrize("seconds", ["retry_after = 0", "timeout = 0.001", "timeout = None"])
def test_options_may_go_to_their_limits(put: Put, folder: str, option: str, seconds: str) -> None:
    put("a.py", DIG + f"    {option}\n    {seconds}\n    queue = '{'q' * 255}'\n")
    assert list(agreed(folder)) == ["dig"]


@pytest.mark.parametrize(
    ("keep", "seconds"),
    [("False", 0.0), ("0", 0.0), ("2.5", 2.5), ("None", None), ("timedelta(days=1)", 86400.0)],
)
def test_a_class_says_for_how_long_it_is_kept(
    put: Put, folder: str, keep: str, seconds: float | None
) -> None:
    put("a.py", f"from datetime import timedelta\n{DIG}    keep = {keep}\n")
    assert agreed(folder)["dig"].keep == seconds


def test_a_field_may_be_called_keep(put: Put, folder: str) -> None:
    put(
        "a.py",
        """
        from dataclasses import dataclass
        from prokerja import Job

        @dataclass
        class Dig(Job):
            keep: bool = False

            def handle(self): ...
        """,
    )
    assert agreed(folder)["dig"].keep is None


def test_a_parameter_that_no_payload_can_name_breaks_its_class(put: Put, folder: str) -> None:
    put("a.py", DIG + "    def __init__(self, depth, /): ...\n")
    advice = "remove the / from its parameters"
    assert errors(load(folder)) == [f"Dig takes 'depth' by position only; {advice}"]


def test_a_class_that_cannot_be_looked_at_breaks_only_itself(put: Put, folder: str) -> None:
    put("a.py", DIG + "class Bad(Dig):\n    __signature__ = 5\nclass Worse(Dig, dict): ...\n")
    put("b.py", "class Meta(type):\n    __hash__ = None\nclass Bad(metaclass=Meta): ...\n")
    loaded = load(folder)
    assert list(loaded.classes) == ["dig"]
    assert [error.partition(" ")[0] for error in errors(loaded)] == ["Bad", "Worse", "TypeError:"]


@dataclass
class Dig:
    """Dig a hole."""

    depth: int = 2

    def handle(self) -> None:
        """Dig."""


class Fill(Job):
    """No dataclass, and proud of it."""

    def __init__(self, hole: Dig | None, /, **more: int) -> None:
        self.hole = hole


def test_explicit_classes_are_loaded_the_same_way() -> None:
    loaded = load_classes([Dig, Fill, Dig])
    assert loaded.specs["dig"].signature() == "dig(depth: int = 2)"
    assert loaded.specs["dig"][8:] == (str(Path(__file__)), "Dig a hole.", (), None, None)
    assert loaded.classes == {"dig": Dig}
    assert [file for file, _ in loaded.broken] == [str(Path(__file__))] * 2
    assert errors(loaded)[0].startswith("Fill is not a job; give it a handle()")
    assert errors(loaded)[1].startswith("two jobs are called 'dig': ")


def test_a_missing_directory_cannot_be_loaded_or_looked_into(tmp_path: Path) -> None:
    message = refusal(load, str(tmp_path / "no"))
    assert message == refusal(inspect, str(tmp_path / "no")) == refusal(scan, str(tmp_path / "no"))


# Looking in from outside


def test_an_inspection_finds_what_loading_finds(put: Put, folder: str) -> None:
    put("a.py", FIELDS)
    put("b.py", "1 / 0")
    specs, broken = inspect(folder)
    loaded = load(folder)
    assert specs == list(loaded.specs.values())
    assert broken == loaded.broken
    assert len(specs) == 15
    assert "jobs.b" not in sys.modules


def test_an_inspection_survives_what_files_print_and_leave_behind(put: Put, folder: str) -> None:
    noise = """
    import atexit, os, sys, threading
    print("out" * 100_000)
    print("err", file=sys.stderr)
    os.write(1, b"{" * 100_000)
    os.system("echo out; echo err >&2")
    sys.stdout = sys.stderr = None
    sys.path.clear()
    os.chdir("/")
    atexit.register(print, "bye")
    threading.Thread(target=threading.Event().wait).start()
    """
    put("a.py", noise)
    put("b.py", DIG)
    specs, broken = inspect(folder)
    assert ([spec.name for spec in specs], broken) == (["dig"], [])


def test_an_inspection_writes_nothing_to_the_caller_s_output(
    put: Put, folder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    put("a.py", "import os\nprint('out')\nos.system('echo out; echo err >&2')\n")
    inspect(folder)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("os._exit(0)", "ended the process with exit code 0"),
        ("os._exit(3)", "ended the process with exit code 3"),
        ("os.kill(os.getpid(), 9)", "ended the process by SIGKILL"),
        ("os.kill(os.getpid(), 11)", "ended the process by SIGSEGV"),
        ("os.kill(os.getpid(), 40)", "ended the process by signal 40"),
        ("os.closerange(3, 100)", "ended the process with exit code 1"),
        ("threading.Event().wait()", "took longer than 5 s"),
    ],
)
def test_a_file_that_ends_or_holds_up_the_process_is_named(
    put: Put, folder: str, source: str, how: str
) -> None:
    put("a.py", DIG)
    path = put("b.py", f"import os, threading\n{source}\n", "")
    message = refusal(inspect, folder, 5.0 if "longer" in how else 60.0)
    assert message.startswith(f"{path}: importing it {how}; guard what it does at import")


def test_the_caller_s_own_modules_can_be_imported_but_not_the_directory_s(
    put: Put, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_module_of_this_test.py").write_text("X = 1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(folder)
    put("json.py", "raise SystemExit('the wrong json')")
    put("a.py", "from own_module_of_this_test import X\nimport email.message\n" + DIG)
    put("email.py", "")
    specs, broken = inspect(".")
    assert [spec.name for spec in specs] == ["dig"]
    assert [error for _, error in broken] == ["SystemExit: the wrong json (line 9)"]


def test_the_module_writes_one_json_object_to_the_descriptor(put: Put, folder: str) -> None:
    path = put("a.py", "print('noise')\n" + DIG)
    with tempfile.TemporaryFile() as found:
        descriptor = found.fileno()
        run = subprocess.run(
            [sys.executable, "-m", "prokerja.catalog", folder, str(descriptor)],
            pass_fds=[descriptor],
            capture_output=True,
            text=True,
            check=True,
        )
        found.seek(0)
        data = json.load(found)
    assert data == {"specs": [only(path).to_json() | {"fields": []}], "broken": []}
    assert (run.stdout, run.stderr) == (json.dumps(path) + "\n", "noise\n")
