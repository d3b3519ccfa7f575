"""What the text of job files tells: for sure, what importing them tells; else nothing."""

from __future__ import annotations

import encodings
import pkgutil
import sqlite3
import textwrap
from typing import TYPE_CHECKING

import pytest

from prokerja.catalog.files import scan
from prokerja.catalog.loading import load
from prokerja.catalog.modules import Modules
from prokerja.catalog.static import read_file
from prokerja.errors import CatalogError
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from prokerja.spec import JobSpec
    from tests.harness.home import Home

BASE = """
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum, StrEnum
from prokerja import Job

MINUTE = 60
MAIL = "mail"

class Queues(StrEnum):
    SLOW = "slow"

class Tries(IntEnum):
    MANY = 7

class MailJob(Job):
    queue = "mail"
    retries = 5
    timeout = 30
    def handle(self): pass
"""


def plain(options: str, head: str = "", bases: str = "Job") -> str:
    """A job without fields."""
    return f"""{head}
class T({bases}):
    {options}
    def handle(self): pass
    def payload(self): return {{}}
"""


def data(base: str, head: str = "", decorator: str = "dataclass") -> str:
    """A dataclass that inherits its handle()."""
    return f"{head}\n@{decorator}\nclass T({base}):\n    to: str\n"


MIXED = """
class Slow:
    queue = "slow"
    retries = 1

class Fast:
    queue = "fast"
    priority = 4
"""
ALIASED = """
from prokerja import Job as Task
from dataclasses import dataclass as dc, field as f

@dc
class T(Task):
    to: str
    cc: list[str] = f(default_factory=list)
    queue = "q"
    def handle(self): pass
"""
BRANCHES = """
import sys
if sys.version_info >= (3, 8):
    try:
        class T(Job):
            retries = 2
            def handle(self): pass
            def payload(self): return {}
    finally:
        pass
"""
SURE = {
    "a base": data("MailJob", "from .base import MailJob"),
    "a base of the package": data("M", "from jobs.base import MailJob as M"),
    "a base in a module": data("base.MailJob", "from . import base"),
    "a base in a named module": data("b.MailJob", "import jobs.base as b"),
    "a base of a base": data(
        "Middle", "from .base import MailJob\nclass Middle(MailJob):\n    retries = 9"
    ),
    "a constant": plain("queue = MAIL", "from .base import MAIL"),
    "a product": plain("timeout = 10 * MINUTE", "from .base import MINUTE"),
    "functions": plain("retries = max(3, 5); retry_after = float(min(9, round(7.6)))"),
    "a span": plain(
        "timeout = timedelta(minutes=2).total_seconds()", "from datetime import timedelta"
    ),
    "a time to keep": plain("keep = timedelta(days=2)", "from datetime import timedelta"),
    "nothing to keep": plain("keep = not MAIL", "from .base import MAIL"),
    "members": plain(
        "queue = Queues.SLOW; retries = Tries.MANY", "from .base import Queues, Tries"
    ),
    "a member's value": plain("queue = Queues.SLOW.value", "from .base import Queues"),
    "an f-string": plain("name = f'send-{MAIL}'", "from .base import MAIL"),
    "aliases": ALIASED,
    "modules of others": data(
        "base.MailJob", "import dataclasses as d\nfrom . import base", "d.dataclass"
    ),
    "branches": BRANCHES,
    "mixins": plain("pass", MIXED, "Slow, Fast, Job"),
    "a name bound twice": plain("retries = N", "N = 1\nN = 2"),
    "a class's own constant": plain("LIMIT = 4; retries = LIMIT * 2"),
}
GROWING = "A0 = 'x' * 9\n" + "".join(f"A{n + 1} = A{n} + A{n}\n" for n in range(40))
UNSURE = {
    "a variable": ("queue", plain("queue = os.environ.get('Q', 'q')", "import os")),
    "a loop": ("retries", plain("retries = N", "for N in (1, 2): pass")),
    "a condition in the class": (
        "timeout",
        plain("if os.sep == '/':\n        timeout = 9", "import os"),
    ),
    "set from outside": ("priority", plain("pass") + "T.priority = 5"),
    "a base from elsewhere": (
        "queue",
        plain("pass", "from json import JSONEncoder", "JSONEncoder, Job"),
    ),
    "a decorator": ("retries", plain("pass", "import jobs.deco\n@jobs.deco.configured")),
    "what never ends": ("retries", plain("retries = A", "A = B\nB = A")),
    "what grows": ("queue", plain("queue = A40", GROWING)),
    "a name": ("name", plain("name = str(id(1))")),
}
END = "\n    def handle(self): pass\n    def payload(self): return {}\n"


def put(folder: Path, name: str, source: str) -> None:
    (folder / name).write_text(textwrap.dedent(source))


def read(folder: Path) -> dict[str, JobSpec]:
    modules = Modules(str(folder))
    return {spec.name: spec for path in scan(str(folder)) for spec in read_file(path, modules)}


@pytest.mark.parametrize("what", SURE)
def test_what_the_text_tells_for_sure_is_what_importing_tells(tmp_path: Path, what: str) -> None:
    put(tmp_path, "base.py", BASE)
    head = "from dataclasses import dataclass\nfrom prokerja import Job\n"
    put(tmp_path, "t.py", head + SURE[what])
    told, loaded = read(tmp_path), load(str(tmp_path))
    assert loaded.broken == []
    names = {name for name, spec in loaded.specs.items() if spec.file.endswith("t.py")}
    assert names
    for name in names:
        assert told[name] == loaded.specs[name]


@pytest.mark.parametrize("what", UNSURE)
def test_what_only_running_tells_is_named_and_not_guessed(tmp_path: Path, what: str) -> None:
    key, source = UNSURE[what]
    put(tmp_path, "t.py", f"from prokerja import Job\n{source}")
    assert key in read(tmp_path)["t"].unsure


def test_files_that_import_each_other_are_read(tmp_path: Path) -> None:
    put(tmp_path, "a.py", f"from .b import B\nfrom prokerja import Job\nclass A(Job):{END}")
    put(tmp_path, "b.py", f"from .a import A\nclass B(A):\n    retries = 3{END}")
    assert read(tmp_path)["b"].retries == 3


def test_many_bases_with_common_ones_are_soon_read(tmp_path: Path) -> None:
    source = "from prokerja import Job\nclass A0(Job):\n    retries = 3\n"
    for n in range(40):
        source += f"class L{n}(A{n}): pass\nclass R{n}(A{n}): pass\n"
        source += f"class A{n + 1}(L{n}, R{n}): pass\n"
    put(tmp_path, "t.py", f"{source}class T(A40):{END}")
    told = read(tmp_path)["t"]
    assert (told.retries, told.unsure) == (3, ())
    assert load(str(tmp_path)).specs["t"].retries == 3


def test_one_file_takes_nothing_from_the_reading_of_the_next(tmp_path: Path) -> None:
    put(tmp_path, "a.py", f"from prokerja import Job\n{GROWING}\n" + "X = 1\n" * 50_000)
    put(
        tmp_path,
        "t.py",
        f"from prokerja import Job\nN = 1 + 2\nclass T(Job):\n    retries = N{END}",
    )
    told = read(tmp_path)["t"]
    assert (told.retries, told.unsure) == (3, ())


def codecs() -> list[str]:
    """All that Python knows by name, and some that it does not."""
    names = {name for _, name, is_package in pkgutil.iter_modules(encodings.__path__)}
    return sorted({*names, "nonsense", "latin-1", "utf-8-unix", "x" * 300})


@pytest.mark.parametrize("codec", codecs())
def test_a_file_in_any_encoding_is_read_or_refused(tmp_path: Path, codec: str) -> None:
    text = f"# coding: {codec}\nfrom prokerja import Job\nclass T(Job):{END}"
    (tmp_path / "t.py").write_bytes(text.encode())
    loaded = load(str(tmp_path))
    if not loaded.broken:
        assert read(tmp_path) == loaded.specs
        return
    with pytest.raises(CatalogError, match=r"^[^\n]*t\.py, line \d: [^\n]*$"):
        read(tmp_path)


def test_a_file_with_another_encoding_is_read(tmp_path: Path) -> None:
    text = f"from prokerja import Job\nclass T(Job):\n    queue = 'f\xfcr'{END}"
    latin = b"# -*- coding: latin-1 -*-\n" + text.encode("latin-1")
    (tmp_path / "t.py").write_bytes(latin)
    (tmp_path / "bom.py").write_bytes(b"\xef\xbb\xbf" + text.replace("T(", "U(").encode())
    told = read(tmp_path)
    assert told == load(str(tmp_path)).specs
    assert {spec.queue for spec in told.values()} == {"f\xfcr"}


WELCOME = """
from dataclasses import dataclass
from .base import MailJob

@dataclass
class Welcome(MailJob):
    to: str
"""


def test_inherited_options_hold_before_a_worker_has_started_and_after_an_edit(home: Home) -> None:
    home.write("base.py", BASE)
    home.write("welcome.py", WELCOME)
    home.cli("declare:job", "welcome", "to=a")
    job = home.job(1)
    assert (job["queue"], job["retries"], job["timeout"]) == ("mail", 5, 30)
    home.cli("declare:job", "welcome", "too=a", code=2)
    home.write("base.py", BASE.replace('"mail"\n    retries', '"post"\n    retries'))
    home.cli("declare:job", "welcome", "to=a")
    assert home.job(2)["queue"] == "post"


PATCHED = """
from prokerja import Job
class T(Job):
    queue = "plain"
    def handle(self): pass
    def payload(self): return {}
"""


def test_an_option_that_another_file_sets_is_not_told_from_the_class(home: Home) -> None:
    home.write("a.py", PATCHED)
    home.cli("declare:job", "t")
    home.write("b.py", "from .a import T\nT.queue = 'patched'\n")
    told = home("declare:job", "t").err
    assert "t: queue of this job in " in told
    home.work()
    home.cli("declare:job", "t")
    assert [home.job(number)["queue"] for number in (1, 2)] == ["plain", "patched"]


COMPUTED = """
import os
from prokerja import Job

class Welcome(Job):
    queue = os.environ.get("NOWHERE", "mail")
    def handle(self): pass
    def payload(self): return {}
"""


def test_a_computed_option_is_refused_by_its_name_until_a_worker_has_imported_it(
    home: Home,
) -> None:
    home.write("welcome.py", COMPUTED)
    told = home("declare:job", "welcome")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert "queue" in told.err
    assert "welcome.py" in told.err
    batch = home("declare:batch", stdin='{"job": "welcome"}')
    assert (batch.code, "line 1: welcome: queue" in batch.err) == (2, True)
    insert = "INSERT INTO declare (job) VALUES ('welcome')"
    with sqlite3.connect(home.db) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(insert)
    connection.close()
    home.cli("declare:job", "welcome", "--queue", "other")
    home.work()
    assert home.cli("declare:job", "welcome") == "2\n"
    assert home.job(2)["queue"] == "mail"
    with sqlite3.connect(home.db) as connection:
        connection.execute(insert)
    connection.close()
    wait_until(lambda: home.counts()["pending"] == 2)
