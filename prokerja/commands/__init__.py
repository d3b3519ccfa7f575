"""One file for each command: it parses, calls and prints; no rule lives here."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Group, Option, Parameter
from prokerja.settings import Settings, settings

Duration = "DURATION"
Number = "N"
PLACE = (
    Parameter("db", str, False, Option("The database file [env: PROKERJA_DB].", metavar="PATH")),
    Parameter(
        "jobs", str, False, Option("The jobs directory [env: PROKERJA_JOBS].", metavar="DIR")
    ),
)
"""Where the queue and the job files are, for every command."""

Place = Annotated[Settings, Group(PLACE, lambda given: settings(**given))]
Json = Annotated[bool, Option("Answer in JSON.", ("--json",))]
Wait = Annotated[
    bool, Option("Show what it prints until it has ended, and exit as `wait` does.", ("--wait",))
]
Start = Annotated[
    bool, Option("Start a worker, which leaves when nothing is due, unless one is alive.")
]
QueueOption = Annotated[str | None, Option("Only this queue.", ("--queue",), metavar="QUEUE")]
