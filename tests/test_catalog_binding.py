"""Whatever a job file does with its names: what its text tells for sure is what importing tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from prokerja.catalog.files import scan
from prokerja.catalog.loading import load
from prokerja.catalog.modules import Modules
from prokerja.catalog.static import read_file

if TYPE_CHECKING:
    from pathlib import Path

    from prokerja.errors import CatalogError
    from prokerja.spec import Field, JobSpec

HEAD = """
import os
from dataclasses import dataclass, field
from prokerja import Job
"""
END = """
    def handle(self): pass
    def payload(self): return {}
"""
BASE = """
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum, auto
from prokerja import Job

MAIL = "mail"
MINUTE = 60
_HIDDEN = 3

class Kind(StrEnum):
    SLOW = "slow"
    FAST = auto()

class Tries(IntEnum):
    MANY = 7

class Plain(Enum):
    SLOW = "slow"

class Mixed(str, Enum):
    SLOW = "slow"

class Shown(StrEnum):
    SLOW = "slow"
    def __str__(self): return "shown"

class Config:
    QUEUE = "configured"

class MailJob(Job):
    queue = "mail"
    retries = 5
    timeout = 30
    def handle(self): pass

def change(cls):
    cls.retries = 99
    return cls

def later(cls):
    setattr(cls, "queue", "later")
"""


def job(options: str, before: str = "", after: str = "", bases: str = "Job") -> str:
    """A file with one job."""
    body = "".join(f"\n    {line}" for line in options.splitlines())
    return f"{HEAD}{before}\nclass T({bases}):{body}{END}{after}\n"


SURE = {
    "bound twice": job("retries = N", "N = 1\nN = 2"),
    "bound again later": job("retries = N", "N = 1", "N = 2"),
    "a sum": job("retries = N", "N = 1\nN += 2"),
    "several targets": job("retries = A; priority = B", "A = B = 4"),
    "a tuple": job("queue = A; priority = B", "A, B = 'a', 4"),
    "a tuple of constants": job("retries = A", "B = 3\n(A, C) = (B, 5)"),
    "an annotation": job("queue: str = A", "A: str = 'a'"),
    "an option twice": job("retries = 1\nretries = 2"),
    "an option of itself": job("retries = 1\nretries = retries + 1"),
    "a class's name for one outside": job("N = 2\nretries = N", "N = 1"),
    "a name outside after the class": job("retries = N", "N = 3\nclass C:\n    N = 4"),
    "a decided condition": job("retries = N", "DEBUG = False\nN = 1\nif DEBUG: N = 2"),
    "a decided condition within": job("if DEBUG:\n    retries = 4", "DEBUG = True"),
    "a main program": job("pass", "", "if __name__ == '__main__':\n    T.retries = 4"),
    "types only": job(
        "retries = 3", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    Job = object"
    ),
    "a platform": job("retries = N", "import sys\nN = 1\nif sys.platform != 'x': N = 2"),
    "the same either way": job("retries = N", "if os.name == os.sep: N = 2\nelse: N = 2"),
    "a try that cannot fail": job("retries = N", "try:\n    N = 2\nfinally:\n    pass"),
    "a handler that raises": job(
        "retries = N", "try:\n    N = 2\nexcept ValueError:\n    raise RuntimeError"
    ),
    "a star import": job("queue = MAIL; timeout = MINUTE", "from .base import *"),
    "a star import of dataclasses": job("retries = 2", "from dataclasses import *"),
    "a list of stars": job("queue = ONE", "from .listed import *"),
    "a class in a class": job("class Meta:\n    queue = 'meta'\nqueue = Meta.queue"),
    "a configuration": job("queue = Config.QUEUE", "from .base import Config"),
    "a configuration's heir": job(
        "queue = Mine.QUEUE", "from .base import Config\nclass Mine(Config): pass"
    ),
    "a plain member's value": job("queue = Plain.SLOW.value", "from .base import Plain"),
    "a text": job("queue = Kind.SLOW", "from .base import Kind"),
    "a text within a text": job("queue = f'{Kind.SLOW}-1'", "from .base import Kind"),
    "a module": job("queue = base.MAIL", "import jobs.base as base"),
    "the package": job("queue = jobs.base.MAIL", "import jobs.base"),
    "a plain import": job("queue = base.MAIL", "import base"),
    "a folder": job("queue = jobs.inner.deep.Q", "import jobs.inner.deep"),
    "a folder's own name": job("queue = Q", "from .inner import Q"),
    "a round": job("queue = ROUND", "from .round import ROUND"),
    "a diamond": job(
        "pass",
        "class A:\n    retries = 1\n    queue = 'a'\nclass B(A):\n    retries = 2\n"
        "class C(A):\n    queue = 'c'\n    retries = 3",
        bases="B, C, Job",
    ),
    "an order of bases": job(
        "pass", "class A:\n    retries = 1\nclass B(Job):\n    retries = 2", bases="A, B"
    ),
    "an alias": job("retries = 2", "", "U = T"),
    "listed": job("retries = 2", "", "JOBS = [T]\nprint(len(JOBS), issubclass(T, Job))"),
    "an instance's attribute": job("retries = 2\ndef run(self): self.retries = 9"),
    "another's attribute": job("retries = 2", "def use(session): session.verify = 1"),
    "a client": job("def run(self):\n    client = open('x')\n    client.timeout = 9"),
    "a name that is a property": job("@property\ndef nothing(self): return 1\nretries = 2"),
    "a method called name": job("def name(self): return 'x'"),
    "a name that is not text": job("name = None"),
    "an abstract base": job(
        "retries = 2", "import abc\nclass B(Job, metaclass=abc.ABCMeta):\n    queue = 'b'",
        bases="B",
    ),
    "a generic base": job(
        "retries = 2", "from typing import Generic, TypeVar\nX = TypeVar('X')\n"
        "class B(Job, Generic[X]):\n    queue = 'b'", bases="B[int]",
    ),
    "a final class": HEAD + "from typing import final\n@final\n@dataclass(frozen=True)\n"
    "class T(Job):\n    n: int = 2\n    def handle(self): pass\n",
    "a default by name": HEAD + "N = 7\n@dataclass\nclass T(Job):\n    n: int = N\n"
    "    m: int = field(default=3)\n    def handle(self): pass\n",
    "a field called queue": HEAD + "@dataclass\nclass T(Job):\n    queue: str = 'mine'\n"
    "    def handle(self): pass\n",
    "a class variable": HEAD + "from typing import ClassVar\n@dataclass\nclass T(Job):\n"
    "    queue: ClassVar[str] = 'mine'\n    def handle(self): pass\n",
    "a deleted class": job("retries = 2", "", "class U(T): pass\ndel U"),
    "a class replaced": job("retries = 1", "", f"class T(Job):\n    retries = 2{END}"),
    "our other way in": job("retries = 2", "from prokerja.job import Job as J", bases="J"),
}  # fmt: skip
"""What can be told, and must be."""

DOUBTFUL = {
    "a loop": job("retries = N", "N = 1\nfor N in (2, 3): pass"),
    "a loop's body": job("retries = N", "N = 1\nwhile N < 5: N += 1"),
    "a with": job("retries = N", "N = 1\nwith open(os.devnull) as N: pass\nN = 2"),
    "a with that swallows": job(
        "retries = N",
        "import contextlib\nN = 1\nwith contextlib.suppress(Exception):\n    1 / 0\n    N = 2",
    ),
    "an exception": job("retries = N", "N = 1\ntry:\n    1 / 0\n    N = 2\nexcept Exception: pass"),
    "an exception's name": job(
        "priority = 1", "Job2 = Job\ntry:\n    1 / 0\nexcept Exception as Job2: pass"
    ),
    "a handler": job("retries = N", "try:\n    N = int('x')\nexcept ValueError:\n    N = 2"),
    "a walrus": job("retries = N", "N = 1\nif (N := 5) > 2: pass"),
    "a walrus in a list": job("retries = N", "N = 1\n[(N := x) for x in (7, 8)]"),
    "a match": job("retries = N", "N = 1\nmatch [5, 6]:\n    case [N, *_]: pass"),
    "a match of a mapping": job("retries = 3", "match {'a': 1}:\n    case {**Job2}: pass"),
    "a global": job("retries = N", "N = 1\ndef f():\n    global N\n    N = 9\nf()"),
    "a global class": job("retries = 1", "", "def f():\n    global T\n    class T(Job):\n"
        "        retries = 9\n        def handle(self): pass\n"
        "        def payload(self): return {}\nf()"),
    "globals()": job("retries = N", "N = 1\nglobals()['N'] = 9"),
    "exec": job("retries = N", "N = 1\nexec('N = 9')"),
    "locals in a class": job("retries = 1\nlocals()['retries'] = 9"),
    "vars in a class": job("vars().update(retries=9)"),
    "a deletion": job("retries = max(1, 2)", "def max(*_): return 9"),
    "a shadowed function": job("retries = max(1, 2)", "from operator import mul as max"),
    "a shadowed function in a branch": job(
        "retries = max(1, 2)", "if os.sep == '/':\n    max = min"
    ),
    "a shadowed function by a star": job("retries = pow(2, 2)", "from operator import *"),
    "a name by a star": job("queue = sep", "sep = 'q'\nfrom os.path import *"),
    "a class by a star": job("retries = 3", "from shadow import *"),
    "hidden by a star": job("retries = _HIDDEN", "_HIDDEN = 1\nfrom .base import *"),
    "set afterwards": job("retries = 1", "", "T.retries = 9"),
    "set in a loop": job("retries = 1", "", "for c in (T,): c.retries = 9"),
    "set in a list": job("retries = 1", "", "ALL = [T]\nALL[0].retries = 9"),
    "set by an alias": job("retries = 1", "", "U = T\nU.retries = 9"),
    "set by name": job("retries = 1", "", "setattr(T, 'retries', 9)"),
    "set by a name that is computed": job("retries = 1", "", "setattr(T, 're' + 'tries', 9)"),
    "set by type": job("retries = 1", "", "type.__setattr__(T, 'retries', 9)"),
    "deleted": job("retries = 1", "", "del T.retries"),
    "added to": job("retries = 1", "", "T.retries += 1"),
    "set by a function": job("retries = 1", "def f(c): c.retries = 9", "f(T)"),
    "set by a function without arguments": job(
        "retries = 1", "", "def f(): T.retries = 9\nf()"
    ),
    "set through subclasses": job(
        "retries = 1", "", "for c in Job.__subclasses__()[-1:]: setattr(c, 'retries', 9)"
    ),
    "set by a function over subclasses": job(
        "retries = 1", "", "def f():\n    for c in Job.__subclasses__()[-1:]: c.retries = 9\nf()"
    ),
    "set on the base": job("pass", "Job.retries = 4", "del Job.retries\nT.retries = 4"),
    "given to a neighbour": job("retries = 1", "from .base import change", "change(T)"),
    "given to a neighbour's module": job("queue = 'a'", "from . import base", "base.later(T)"),
    "given back": job("retries = 1", "from .base import change", "T = change(T)"),
    "a decorator": job("retries = 1", "from .base import change\n@change"),
    "a decorator of Python's": job("retries = 1", "import functools\n@functools.lru_cache"),
    "a decorator of its own": job("retries = 1", "def d(c):\n    c.retries = 9\n    return c\n@d"),
    "a decorator called dataclass": job(
        "retries = 1", "def dataclass(c):\n    c.retries = 9\n    return c\n@dataclass"
    ),
    "a class method": job(
        "retries = 1\n@classmethod\ndef configure(cls): cls.retries = 9", "", "T.configure()"
    ),
    "__init_subclass__": job(
        "retries = 1",
        "class B(Job):\n    def __init_subclass__(cls, **k):\n"
        "        super().__init_subclass__(**k)\n        cls.retries = 9",
        bases="B",
    ),
    "a keyword": job(
        "pass", "class B(Job):\n    def __init_subclass__(cls, q='', **k):\n        cls.queue = q",
        bases="B, q='given'",
    ),
    "a metaclass": job(
        "retries = 1", "class M(type):\n    def __new__(m, n, b, d):\n        d['retries'] = 9\n"
        "        return super().__new__(m, n, b, d)", bases="Job, metaclass=M",
    ),
    "a foreign base": job("pass", "import threading", bases="threading.Thread, Job"),
    "a foreign base behind": job("pass", "import threading", bases="Job, threading.Thread"),
    "a computed base": job("pass", "B = type('B', (), {'queue': 'b'})", bases="B, Job"),
    "a base bound again": job(
        "pass", "class B:\n    retries = 1\nclass C:\n    retries = 2\nB = C", bases="B, Job"
    ),
    "a base in branches": job(
        "pass",
        "if os.sep == '/':\n    class B:\n        retries = 1\nelse:\n    class B:\n        pass",
        bases="B, Job",
    ),
    "branches": HEAD + f"if os.sep == '/':\n  class T(Job):\n    retries = 1{END}"
    f"else:\n  class T(Job):\n    retries = 2{END}",
    "a condition within": job("if os.sep == '/':\n    retries = 4"),
    "a try within": job("try:\n    retries = int('x')\nexcept ValueError:\n    retries = 4"),
    "a with within": job(
        "with contextlib.suppress(Exception):\n    1 / 0\n    retries = 4", "import contextlib"
    ),
    "a loop within": job("for retries in (1, 2): pass"),
    "an import within": job("from .base import MINUTE as retries"),
    "a deletion within": job("retries = 4\ndel retries"),
    "a class called queue": job("class queue: pass"),
    "a comprehension": job("retries = sum(x for x in (1, 2))"),
    "a conditional expression": job("retries = 1 if os.sep == '/' else 2"),
    "an automatic member": job("queue = Kind.FAST", "from .base import Kind"),
    "a plain member": job("queue = str(Plain.SLOW)", "from .base import Plain"),
    "a mixed member": job("queue = f'{Mixed.SLOW}'", "from .base import Mixed"),
    "a member with methods": job("queue = str(Shown.SLOW)", "from .base import Shown"),
    "a configuration that is changed": job(
        "queue = Config.QUEUE", "from .base import Config\nConfig.QUEUE = 'other'"
    ),
    "a module that is changed": job(
        "queue = base.MAIL", "from . import base\nbase.MAIL = 'other'",
        "base.MAIL = 'mail'",
    ),
    "a format": job("queue = f'{1.5:.0f}'"),
    "a repetition": job("queue = 'q' * 3"),
    "a division": job("retry_after = 1 / 3"),
    "a truth": job("retries = True"),
    "a text that is a number": job("retries = '3'"),
    "a number below": job("retries = -1"),
    "a number above": job("priority = 10 ** 6"),
    "a number too large": job("timeout = 1e308 * 10"),
    "a number for a queue": job("queue = 5"),
    "none for a queue": job("queue = None"),
    "an empty queue": job("queue = ''"),
    "a span": job("timeout = timedelta(1)", "from datetime import timedelta"),
    "a property": job("@property\ndef queue(self): return 'q'"),
    "fields in a condition": HEAD + "@dataclass\nclass T(Job):\n    if os.sep == '/':\n"
    "        n: int = 3\n    def handle(self): pass\n",
    "a computed flag": HEAD + "@dataclass(init=not os.sep)\nclass T(Job):\n"
    "    n: int = 3\n    def handle(self): pass\n",
    "a partial dataclass": HEAD + "from functools import partial\n"
    "dc = partial(dataclass, order=True)\n"
    "@dc\nclass T(Job):\n    n: int = 3\n    def handle(self): pass\n",
    "a default in a branch": HEAD + "@dataclass\nclass T(Job):\n    n: int = 3\n"
    "    if os.sep == '/':\n        n = 4\n    def handle(self): pass\n",
    "a field that is none": HEAD + "def field(**k): return 5\n@dataclass\nclass T(Job):\n"
    "    n: int = field(default=3)\n    def handle(self): pass\n",
    "a constructor that is wrapped": job(
        "@wrap\ndef __init__(self, n): pass",
        "def wrap(f):\n    def inner(self, m: int): pass\n    return inner",
    ),
    "a constructor from elsewhere": job("__init__ = other", "def other(self, n: int): pass"),
    "a signature": job("__signature__ = 5"),
    "__new__": job("def __new__(cls, n: int): return object.__new__(cls)"),
    "a constructor set later": job(
        "def __init__(self, n: int): pass", "", "T.__init__ = lambda self, m: None"
    ),
    "two files": job("retries = 1"),
}  # fmt: skip
"""What may be told or not, but never wrongly."""

FILES = {
    "listed.py": "__all__ = ['ONE']\nONE = 'one'\nMAIL = 'two'\nJob = 5\n",
    "shadow.py": "from prokerja import Job as _Job\nclass Job(_Job):\n    retries = 9\n",
    "round.py": "ROUND = 'round'\nfrom . import t\n",
    "inner/__init__.py": "Q = 'inner'\n",
    "inner/deep.py": "Q = 'deep'\n",
}
OPTIONS = ("name", "queue", "priority", "retries", "retry_after", "timeout")


def put(folder: Path, source: str) -> None:
    for name, text in {**FILES, "base.py": BASE, "t.py": source}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def read(folder: Path) -> tuple[dict[str, JobSpec], list[CatalogError]]:
    modules = Modules(str(folder))
    broken: list[CatalogError] = []
    specs = [spec for path in scan(str(folder)) for spec in read_file(path, modules, broken)]
    return {spec.name: spec for spec in specs}, broken


def wrong(folder: Path) -> list[str]:
    """What the text tells and an import does not."""
    (told, _), loaded = read(folder), load(str(folder))
    found: list[str] = []
    for spec in told.values():
        truth = loaded.specs.get(spec.name)
        if truth is None:
            if not spec.unsure:
                found.append(f"{spec.name}: {loaded.broken}")
            continue
        sure = [key for key in OPTIONS if key not in spec.unsure]
        found += [key for key in sure if getattr(spec, key) != getattr(truth, key)]
        if "fields" not in spec.unsure and not spec.open:
            pairs = zip(spec.fields, truth.fields, strict=True)
            found += [f"{spec.name}: {pair}" for pair in pairs if not is_same(*pair)]
    return found


def is_same(told: Field, true: Field) -> bool:
    """Whether a field is that, but for a default that is shown to be computed."""
    return told == true or (told.default_text == "..." and told[:4] == true[:4])


@pytest.mark.parametrize("what", [*SURE, *DOUBTFUL])
def test_no_file_is_misread(tmp_path: Path, what: str) -> None:
    put(tmp_path, {**SURE, **DOUBTFUL}[what])
    assert wrong(tmp_path) == []


@pytest.mark.parametrize("what", SURE)
def test_what_a_file_tells_is_known(tmp_path: Path, what: str) -> None:
    put(tmp_path, SURE[what])
    told, broken = read(tmp_path)
    loaded = load(str(tmp_path))
    assert (broken, loaded.broken) == ([], [])
    expected = {name: spec for name, spec in loaded.specs.items() if spec.file.endswith("t.py")}
    assert expected
    assert {name: told[name] for name in expected} == expected
