"""`python -m tests.bench`: measure, show, and keep the results."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tests.bench.asking import asking
from tests.bench.commands import commands
from tests.bench.declaring import in_bulk, one_by_one
from tests.bench.growing import growing
from tests.bench.idling import idling
from tests.bench.machine import shape
from tests.bench.mixing import mixing
from tests.bench.realizing import awaiting, burning, realizing
from tests.bench.shell import running
from tests.bench.stage import RESULTS, Stage
from tests.bench.table import table
from tests.bench.waking import due_time, wake_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.bench.figures import Line

MEASUREMENTS: dict[str, Callable[[Stage], Iterable[Line]]] = {
    "realize": realizing,
    "async": awaiting,
    "burn": burning,
    "shell": running,
    "declare": one_by_one,
    "bulk": in_bulk,
    "wake": wake_up,
    "due": due_time,
    "idle": idling,
    "process": commands,
    "query": asking,
    "mix": mixing,
    "growth": growing,
}


def main() -> None:
    """Run what was asked for."""
    given = _arguments()
    os.makedirs(RESULTS, exist_ok=True)
    began = time.monotonic()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=RESULTS) as scratch:
        machine = shape(scratch)
        stage = Stage(scratch, given.quick, not given.without_peers, given.idle)
        for name in given.only or MEASUREMENTS:
            stage.say(f"{name} (after {time.monotonic() - began:.0f} s)")
            lines += MEASUREMENTS[name](stage)
    machine["seconds"] = round(time.monotonic() - began, 1)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(lines))
    console.print(_caption(machine))
    console.print(f"kept in {_keep(machine, given, lines)}", soft_wrap=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: under two minutes")
    parser.add_argument(
        "--only", nargs="+", choices=MEASUREMENTS, metavar="NAME",
        help=f"these measurements only: {', '.join(MEASUREMENTS)}",
    )  # fmt: skip
    parser.add_argument("--without-peers", action="store_true", help="prokerja and bare only")
    parser.add_argument(
        "--idle", type=float, default=0.0, metavar="SECONDS",
        help="also wake workers that were idle for so long (600)",
    )  # fmt: skip
    return parser.parse_args()


def _caption(machine: dict[str, Any]) -> str:
    return (
        f"{machine['date']}, {machine['cores']} cores ({machine['processor']}),"
        f" {machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']},"
        f" SQLite {machine['sqlite']}, fdatasync {machine['fdatasync_us_p50']:.0f} us"
        f" (p99 {machine['fdatasync_us_p99']:.0f}), load {machine['load_average']},"
        f" {machine['seconds']:.0f} s"
    )


def _keep(machine: dict[str, Any], given: argparse.Namespace, lines: Sequence[Line]) -> str:
    path = os.path.join(RESULTS, f"{machine['date'].replace(':', '-')}.json")
    found = {
        "machine": machine,
        "quick": given.quick,
        "lines": [line.to_json() for line in lines],
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    return path


if __name__ == "__main__":
    main()
