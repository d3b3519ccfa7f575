"""What type checkers see: mistakes in a declaration are found before it is made."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import prokerja

ROOT = Path(__file__).parents[1]
RIGHT = """
from collections.abc import Sequence
from datetime import datetime, timedelta
from prokerja import AsyncQueue, Job, JobRecord, Queue, Status, declare, declare_many, testing

class Greet(Job):
    def handle(self) -> None:
        self.declare(Greet(), delay=5)
        self.declare(Greet().options(queue="urgent", at=datetime.now()), delay=5)

class Other:
    def handle(self) -> int:
        return 1

with Queue("work.sqlite3") as queue:
    number: int = queue.declare(Greet(), priority=5, at=datetime.now(), timeout=None)
    numbers: Sequence[int] = queue.declare_many([Greet(), Other()], retries=3)
declare(Greet(), retry_after=0.5)
declare_many(iter([Other()]), queue="q")
declare_many([Greet().options(retries=5), Other()])

def read(queue: Queue) -> None:
    job: JobRecord = queue.job(1)
    jobs: list[JobRecord] = queue.find(status="failed", queue="q", since=datetime.now(), limit=5)
    one: Status = queue.wait(1, timeout=5)
    several: dict[int, Status] = queue.wait([1, 2], any=True)

def test_greet(prokerja_queue: testing.InProcessQueue) -> None:
    jobs: list[JobRecord] = prokerja_queue.declared(Greet, 1)
    failed: list[int] = prokerja_queue.drain().ids("failed")
    with testing.queue(Greet) as queue, testing.worker([Greet]) as other:
        queue.now = queue.now + timedelta(days=1)
        one: Status = other.wait(other.declare(Greet()), timeout=5)

async def main() -> None:
    async with AsyncQueue("work.sqlite3") as queue:
        number: int = await queue.declare(Greet(), priority=5)
        await queue.declare_many([Greet().options(retries=5), Other()], delay=1)
        job: JobRecord = await queue.job(number)
        jobs: list[JobRecord] = await queue.find(status=Status.FAILED)
        one: Status = await queue.wait(1, timeout=5)
        several: dict[int, Status] = await queue.wait([1, 2], any=True)
        await queue.retry(1, 2)
"""
WRONG = """
from prokerja import AsyncQueue, Job, Queue, declare

class Greet(Job):
    def handle(self) -> None:
        self.declare(Greet(), dealy=5)

queue = Queue()
queue.declare("not a job")
queue.declare(Greet)
queue.declare(Greet(), prioritty=5)
queue.declare(Greet(), priority="high")
queue.declare_many([1, 2])
declare(Greet(), timeout="5m")
declare(Greet().options(prioritty=5))
declare(Greet().options(priority="high"))

async def wrong(queue: AsyncQueue) -> None:
    await queue.declare("not a job")
    await queue.declare_many([Greet()], prioritty=5)
    await queue.cancel("1")  # not what declare() returns
"""


def checked(source: str, tmp_path: Path) -> tuple[int, list[int]]:
    """mypy's exit code, and the lines in which it finds errors."""
    path = tmp_path / "program.py"
    path.write_text(source)
    words = ["--strict", "--no-error-summary", "--cache-dir", str(tmp_path / "cache"), str(path)]
    command = [sys.executable, "-m", "mypy", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    errors = [line.split(":") for line in done.stdout.splitlines() if ": error:" in line]
    return done.returncode, sorted({int(line) for file, line, *_ in errors if file == str(path)})


def test_what_is_right_is_accepted(tmp_path: Path) -> None:
    assert checked(RIGHT, tmp_path) == (0, [])


def test_a_misspelt_option_a_wrong_value_and_what_is_no_job_are_found(tmp_path: Path) -> None:
    lines = range(1, len(WRONG.splitlines()) + 1)
    mistakes = [
        number
        for number, line in zip(lines, WRONG.splitlines(), strict=True)
        if "declare" in line and "import" not in line
    ]
    assert checked(WRONG, tmp_path) == (1, mistakes)


def test_the_package_shows_its_public_names_and_its_version() -> None:
    assert {*prokerja.__all__, "__version__"} <= set(dir(prokerja))
    assert prokerja.__version__ == version("prokerja")
