"""What a job declares while it runs belongs where its worker looks, by whatever door it goes."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from prokerja import Queue, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.home import Home

DOORS = {
    "declare": "import prokerja; prokerja.declare(Run('note(2)'))",
    "declare_many": "import prokerja; prokerja.declare_many([Run('note(2)')])",
    "Queue": "import prokerja; prokerja.Queue().declare(Run('note(2)'))",
    "command": """
        program = [sys.executable, "-m", "prokerja"]
        subprocess.run([*program, "declare:job", "run", "code=note(2)"], check=True)""",
    "batch in another directory": """
        program = [sys.executable, "-m", "prokerja"]
        line = json.dumps({"job": "run", "payload": {"code": "note(2)"}}).encode()
        subprocess.run([*program, "declare:batch"], input=line, check=True, cwd="/")""",
}
SHOP = """
from prokerja import Job, declare


class Order(Job):
    def __init__(self, again: bool = False):
        self.again = again

    def payload(self):
        return {"again": self.again}

    def handle(self):
        return declare(Order()) if self.again else None
"""


@pytest.fixture(autouse=True)
def _defaults_of_its_own(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever strays into the default file does no harm."""
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        home.environment[name] = str(home.path / "default")
        monkeypatch.setenv(name, str(home.path / "default"))


@pytest.mark.parametrize("door", DOORS)
def test_what_a_job_declares_goes_to_the_file_of_its_worker(home: Home, door: str) -> None:
    home.run(DOORS[door])
    home.work()
    assert home.ledger() == ["2"]
    assert home.counts()["completed"] == 2
    assert not (home.path / "default").exists()


def test_a_job_that_says_where_declares_there(home: Home) -> None:
    other = home.path / "other.db"
    home.run(f"""
        import prokerja
        os.environ["PROKERJA_DB"] = {str(other)!r}
        prokerja.declare(Run("note(2)"))
        prokerja.Queue({str(other)!r}).declare(Run("note(3)"))
    """)
    home.work()
    assert home.counts() == {"pending": 0, "processing": 0, "completed": 1, "failed": 0}
    assert len(home.ask("report:jobs", "--db", other)) == 2


def test_the_worker_of_a_program_hands_its_file_on_too(home: Home) -> None:
    home.run(DOORS["command"])
    Worker(home.queue, home.jobs, until_empty=True).run()
    assert home.ledger() == ["2"]


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type:
    (tmp_path / "shop_that_orders.py").write_text(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_that_orders", raising=False)
    found: type = import_module("shop_that_orders").Order
    return found


def test_the_classes_of_a_program_declare_in_the_file_of_their_worker(
    home: Home, order: type
) -> None:
    home.queue.declare(order(again=True))
    Worker(home.queue, [order], until_empty=True).run()
    assert home.counts()["completed"] == 2


def test_beside_a_queue_in_memory_a_job_that_declares_fails_and_says_what_to_do(
    home: Home, order: type
) -> None:
    queue = Queue(":memory:")
    id = queue.declare(order(again=True))
    Worker(queue, [order], until_empty=True).run()
    [attempt] = queue.detail(id).attempts
    queue.close()
    assert attempt.error is not None
    assert "keeps its queue in memory" in attempt.error
    assert "self.declare(job)" in attempt.error
    assert not (home.path / "default").exists()
