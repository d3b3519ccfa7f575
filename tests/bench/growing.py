"""How the cost of a claim, a settle and a declaration grows with the jobs that a file keeps."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

from jobs.noop import Noop
from prokerja.declaring import of_job
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.bench import turns
from tests.bench.figures import Line, at_most
from tests.bench.filling import filled
from tests.bench.stage import apart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

BATCH = 100
"""Jobs that a turn claims, and another settles."""
TURNS, DECLARES = 20, 100
FLAT = 1.25
"""The cost on the largest file may be so many times that on the smallest."""
KINDS = ("claim", "settle", "declare")


def growing(stage: Stage) -> Iterator[Line]:
    """Microseconds of a commit that claims 100 jobs, that settles 100, that declares one.

    Straight through prokerja's repository in a process that has just opened the file; claims and
    settles with `synchronous = NORMAL` as a worker has it, declarations fsynced. Each figure is
    the median of 20 turns and 100 declarations on a file that keeps 10^3 to 10^7 finished jobs
    (quick: to 10^6).
    """
    sizes = [10**power for power in range(3, len(str(stage.kept)))]
    paths = {f"{size:,} kept": filled(stage, size) for size in sizes}
    found: dict[str, dict[str, list[float]]] = {
        kind: {size: [] for size in paths} for kind in KINDS
    }

    def measure(size: str, path: str) -> float:
        costs = apart(cost, path)
        for kind in KINDS:
            found[kind][size].append(costs[kind])
        return costs["claim"]

    stage.take_turns({size: partial(measure, size, path) for size, path in paths.items()})
    least, most = (f"{size:,} kept" for size in (sizes[0], sizes[-1]))
    for kind in KINDS:
        what = f"{kind} of {1 if kind == 'declare' else BATCH}, 1,000 to {sizes[-1]:,} jobs kept"
        yield Line(f"growth-{kind}", what, "us", found[kind], (at_most(FLAT, least, most),))


def cost(path: str) -> dict[str, float]:
    """Median microseconds of each kind of commit."""
    repository = SQLiteRepository(path)
    database = repository.database
    jobs = [of_job(Noop(n=n), time.time()) for n in range(TURNS * BATCH)]
    repository.declarations.add(jobs, time.time())
    samples: dict[str, list[float]] = {kind: [] for kind in KINDS}
    database.durable(False)
    for _ in range(TURNS):
        began = time.perf_counter()
        with database.writing():
            token, claims = turns.claim(repository, BATCH, time.time())
        claimed = time.perf_counter()
        now = time.time()
        verdicts = [turns.completed(claim, now) for claim in claims]
        ready = time.perf_counter()
        with database.writing():
            turns.settle(repository, token, verdicts, now)
        samples["claim"].append(claimed - began)
        samples["settle"].append(time.perf_counter() - ready)
    database.durable(True)
    for job in jobs[:DECLARES]:
        began = time.perf_counter()
        repository.declarations.add((job,), time.time())
        samples["declare"].append(time.perf_counter() - began)
    with database.writing():
        token, claims = turns.claim(repository, DECLARES, time.time())
        turns.settle(repository, token, [turns.completed(c, time.time()) for c in claims], 0.0)
    repository.close()
    return {kind: statistics.median(some) * 1e6 for kind, some in samples.items()}
