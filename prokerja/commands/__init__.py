"""One file for each command: it parses, calls and prints; no rule lives here."""

from __future__ import annotations

from typing import Annotated

from prokerja.commandline import Option

Db = Annotated[
    str | None, Option("The database file [env: PROKERJA_DB].", ("--db",), metavar="PATH")
]
Jobs = Annotated[
    str | None, Option("The jobs directory [env: PROKERJA_JOBS].", ("--jobs",), metavar="DIR")
]
Json = Annotated[bool, Option("Answer in JSON.", ("--json",))]
QueueOption = Annotated[str | None, Option("Only this queue.", ("--queue",), metavar="QUEUE")]
Duration = "DURATION"
Number = "N"
