"""One file for each command: it parses, calls and prints; no rule lives here."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

from prokerja.commandline import Command, Group, Option, Parameter
from prokerja.settings import Settings, settings

COMMANDS = {
    "declare:job": "declare_job",
    "declare:shell": "declare_shell",
    "declare:batch": "declare_batch",
    "realization:start": "realization_start",
    "report": "report",
    "report:jobs": "report_jobs",
    "report:job": "report_job",
    "result": "result",
    "output": "output",
    "events": "events",
    "retry": "retry",
    "cancel": "cancel",
    "hold": "hold",
    "release": "release",
    "change": "change",
    "suspend": "suspend",
    "resume": "resume",
    "resolve": "resolve",
    "queue:list": "queue_list",
    "queue:pause": "queue_pause",
    "queue:resume": "queue_resume",
    "queue:limit": "queue_limit",
    "queue:rate": "queue_rate",
    "schedule:next": "schedule_next",
    "purge": "purge",
    "wait": "wait",
    "notify:test": "notify_test",
    "jobs": "jobs",
    "systemd:unit": "systemd_unit",
    "systemd:install": "systemd_install",
    "doctor": "doctor",
    "completion": "completion",
    "help": "help",
}
"""Every command, and the module in `prokerja.commands` whose `run` it is."""
EXIT_CODES = {
    0: "done",
    1: "it did not work",
    2: "the request was wrong",
    75: "try again later",
    80: "a worker has become too large",
    81: "a worker's file is gone",
    82: "new code for a worker",
    83: "a worker's watchdog",
    124: "a wait ran out of time",
}
Duration = "DURATION"
Number = "N"
Size = "SIZE"
PLACE = (
    Parameter("db", str, False, Option("The database file [env: PROKERJA_DB].", metavar="PATH")),
    Parameter(
        "jobs", str, False, Option("The jobs directory [env: PROKERJA_JOBS].", metavar="DIR")
    ),
)
"""Where the queue and the job files are, for every command."""

Place = Annotated[Settings, Group(PLACE, lambda given: settings(**given))]
Json = Annotated[bool, Option("Answer in JSON.", ("--json",))]
Null = Annotated[bool, Option("With --each: values end in NUL.", ("-0", "--null"))]
Wait = Annotated[
    bool, Option("Show what it prints until it has ended, and exit as `wait` does.", ("--wait",))
]
Start = Annotated[
    bool, Option("Start a worker, which leaves when nothing is due, unless one is alive.")
]
BatchOption = Annotated[str | None, Option("Only this batch.", ("--batch",), metavar="NAME")]
QueueOption = Annotated[str | None, Option("Only this queue.", ("--queue",), metavar="QUEUE")]


def load(name: str) -> Command:
    """The function behind a command."""
    command: Command = import_module(f"prokerja.commands.{COMMANDS[name]}").run
    return command
