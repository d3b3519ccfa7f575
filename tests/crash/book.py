"""The book that marked jobs keep: every realization with its process and its times."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain, groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from tests.crash.ledger import Broken, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW = 0.02
"""Seconds that the end of a job may be known to nobody but its process."""
RETURNING = 0.25
"""Seconds that a job may take from its last line in the book to its return, with two cores that
start workers all the time; after that its process begins another, or has nothing to do."""
ORPHANED = 1
"""The parent of a process whose parent is dead."""


class Run(NamedTuple):
    """One realization; times in monotonic seconds."""

    n: int
    pid: int
    supervisor: int
    began: float
    ended: float | None
    """None if it never ended by itself."""


def account(path: str, jobs: int, killed: dict[int, float], ledger: Ledger) -> None:
    """Compare the book with what was declared and what was killed; raises Broken."""
    runs = read(path)
    missing = [n for n in range(jobs) if not any(run.ended for run in runs[n])]
    ledger.require("no job is missing", holds=not missing, otherwise=f"{missing}")
    ledger.count("jobs declared", jobs)
    ledger.count("realizations", sum(map(len, runs.values())))
    blamed = defaultdict[str, list[tuple[Run, float]]](list)
    last = _last(runs)
    for earlier, later in _repeats(runs):
        cause, age = _cause(earlier, later, killed)
        blamed[cause].append((earlier, age))
        when = _when(earlier, age, returning=last[earlier.pid] == earlier)
        ledger.count(f"repeats of jobs that {when}")
    for cause, repeats in sorted(blamed.items()):
        ledger.note(f"repeated, {cause}: {_named(repeats)}")


def account_order(path: str, parents: dict[int, int], ledger: Ledger) -> None:
    """Each job that waited for another began after that had ended; raises Broken."""
    runs = read(path)
    early = [
        child
        for child, parent in parents.items()
        if min(run.began for run in runs[child])
        < min(run.ended for run in runs[parent] if run.ended is not None)
    ]
    ledger.require(
        "no job begins before the one it waits for", holds=not early, otherwise=f"{early}"
    )
    ledger.count("jobs that waited for another", len(parents))


def account_steps(path: str, ledger: Ledger) -> None:
    """Compare what steps gave to each attempt that has got so far; raises Broken."""
    values = defaultdict[tuple[str, str], list[str]](list)
    with open(path, encoding="ascii") as file:
        for line in file:
            n, step, value = line.split()
            values[n, step].append(value)
    ledger.count("steps", len(values))
    ledger.count("of them given back to a later attempt", sum(len(v) > 1 for v in values.values()))
    changed = [key for key, some in values.items() if len(set(some)) > 1]
    ledger.require("what a step gave is the same ever after", holds=not changed,
                   otherwise=f"{changed}")  # fmt: skip


def _when(run: Run, age: float, *, returning: bool) -> str:
    """What a job was at when its process was killed; raises Broken if it was through."""
    if run.ended is None:
        return "were running when the process was killed"
    if returning and age < RETURNING:
        return "had written their last line, and may not have returned"
    if age < WINDOW:
        return "had ended less than 20 ms before the kill"
    raise Broken(f"job {run.n} ran again, {age:.3f} s after it ended: {run}")


def _last(runs: dict[int, list[Run]]) -> dict[int, Run]:
    """The last job that each process has begun."""
    ordered = sorted(chain(*runs.values()), key=lambda run: run.began)
    return {run.pid: run for run in ordered}


def _named(repeats: list[tuple[Run, float]]) -> str:
    ended = sorted(run.n for run, _ in repeats if run.ended is not None)
    running = sorted(run.n for run, _ in repeats if run.ended is None)
    parts = [f"running: {_spans(running)}"] if running else []
    if ended:
        oldest = max(age for run, age in repeats if run.ended is not None)
        parts.append(f"ended up to {1000 * oldest:.0f} ms before: {_spans(ended)}")
    return "; ".join(parts)


def _spans(numbers: list[int]) -> str:
    """`3, 5-9`."""
    groups = groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    runs = ([n for _, n in group] for _, group in groups)
    return ", ".join(f"{run[0]}-{run[-1]}" if run[1:] else f"{run[0]}" for run in runs)


def read(path: str) -> dict[int, list[Run]]:
    """Every realization by the job's number, in the order of their beginnings."""
    runs = defaultdict[int, list[Run]](list)
    for what, n, pid, supervisor, at in _lines(path):
        if what == "end":
            open_run = next(i for i, run in enumerate(runs[n]) if run.pid == pid and not run.ended)
            runs[n][open_run] = runs[n][open_run]._replace(ended=at)
            continue
        if what == "overlap":
            raise Broken(f"job {n} was begun by process {pid} while another living one was at it")
        runs[n].append(Run(n, pid, supervisor, at, None))
    return runs


def _lines(path: str) -> Iterator[tuple[str, int, int, int, float]]:
    with open(path, encoding="ascii") as book:
        for line in book:
            what, n, pid, supervisor, at = line.split()
            yield what, int(n), int(pid), int(supervisor), int(at) / 1e9


def _repeats(runs: dict[int, list[Run]]) -> Iterator[tuple[Run, Run]]:
    for one in runs.values():
        yield from pairwise(sorted(one, key=lambda run: run.began))


def _cause(earlier: Run, later: Run, killed: dict[int, float]) -> tuple[str, float]:
    """Whose death excuses the repeat, and how long after the first run's end it came."""
    if earlier.ended is not None and later.began < earlier.ended:
        raise Broken(f"job {earlier.n} was run by two living workers: {earlier}, {later}")
    for pid, who in ((earlier.pid, "its realizer killed"), (earlier.supervisor, "its supervisor")):
        if pid in killed:
            return f"{who} {pid}", killed[pid] - (earlier.ended or earlier.began)
    if earlier.supervisor == ORPHANED and killed:  # its supervisor had died as it asked for it
        return "its supervisor, gone before it could be named", 0.0
    raise Broken(f"job {earlier.n} was repeated, though nobody was killed: {earlier}, {later}")
