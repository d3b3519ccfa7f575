"""`prokerja notify:test`: tell of what has not happened, to try the settings."""

from __future__ import annotations

import time
from typing import Annotated, Any

from prokerja.commandline import Argument
from prokerja.commands import Json, Place, Start, Wait
from prokerja.commands.declared import show_declared, start_worker, wait_for
from prokerja.errors import NotFound, RequestError
from prokerja.notices import KINDS, declaration, rule_of
from prokerja.queue import Queue
from prokerja.settings import FILE, settings_file
from prokerja.text import quoted
from prokerja.times import iso

EVENTS: dict[str, dict[str, Any]] = {
    "failed": {
        "id": 0, "job": "made_up", "queue": "default", "attempt": 1,
        "error": "ValueError: this is a test", "label": None, "batch": None,
    },
    "completed": {
        "id": 0, "job": "made_up", "queue": "default", "attempt": 1, "error": None, "label": None,
        "batch": None,
    },
    "worker_down": {"worker": 0, "pid": 0, "returned": 1},
    "queue_stuck": {"queue": "default", "seconds": 600.0},
}  # fmt: skip
"""Made up."""


def run(
    *,
    kind: Annotated[str, Argument("failed, completed, worker_down or queue_stuck.", "KIND")],
    wait: Wait = False,
    start: Start = False,
    place: Place,
    json: Json = False,
) -> int:
    """Tell of a made-up event as `[notify]` says, and print the notice's id.

    Example: prokerja notify:test failed --start --wait
    """
    if kind not in KINDS:
        raise RequestError(f"there are no notices of {quoted(kind)}; give {', '.join(KINDS)}")
    if wait and json:
        raise RequestError("--wait shows what the notice prints, and --json its id; use one")
    rule = rule_of(dict(place.notify).get(kind, ""))
    if rule is None:
        file = settings_file() or FILE
        raise NotFound(f"[notify] in {file} has no {kind}; `prokerja help notices` shows it")
    now = time.time()
    event = {**EVENTS[kind], "at": iso(now)}
    with Queue.of(place) as queue:
        ids = queue.register((declaration(rule, kind, [event], 1, now),), now)
        if start:
            start_worker(queue, place)
        if wait:
            return wait_for(queue, ids, "shell")
        show_declared(queue, ids, "shell", single=True, json=json)
    return 0
