"""What a command prints of the jobs that it has declared."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prokerja.console import hint, plural, print_json
from prokerja.errors import ProkerjaError

if TYPE_CHECKING:
    from prokerja.queue import Queue


def show_declared(queue: Queue, ids: range, name: str, *, single: bool, json: bool) -> None:
    """Print the ids of jobs of that name; `single` if it can only have been one."""
    if json:
        answer: dict[str, Any] = {"id": ids[0]} if single else {"ids": list(ids)}
        print_json({**answer, "job": name})
    else:
        sys.stdout.writelines(f"{id}\n" for id in ids)
    hint(lambda: _declared(queue, name, len(ids)))


def _declared(queue: Queue, name: str, count: int) -> str:
    it = "it" if count == 1 else "them"
    what = f"Declared {plural(count, f'{name} job')} in {queue.path}"
    with suppress(ProkerjaError, OSError):  # it is declared, whatever becomes of this question
        if not queue.summary().workers:
            return f"{what}. No worker is alive: `prokerja realization:start` runs {it}."
    return f"{what}; a worker will run {it}."
