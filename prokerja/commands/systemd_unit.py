"""`prokerja systemd:unit`: what systemd is to read to run a worker."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

from prokerja.commandline import Argument, Group, Option, Parameter, parse
from prokerja.commands import PLACE, Duration, Json, Number, load
from prokerja.console import print_json
from prokerja.errors import BadOption, RequestError
from prokerja.settings import settings
from prokerja.terms import NAME, whole
from prokerja.text import quoted
from prokerja.times import duration, written
from prokerja.unit import DB, DEFAULT_USER, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

REALIZERS = whole(1, 1000)
USER_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}"


UNIT = (
    Parameter("user", bool, False, Option("A worker of your own, which needs no root."), False),
    Parameter(
        "queue", str, True,
        Option("Take from this queue; repeat for more. Of a template: start it for this queue.",
               metavar="QUEUE[=N]"), [],
    ),
    Parameter(
        "realizers", int, False,
        Option("How many jobs to run at once; default: 1.", metavar=Number), 1,
    ),
    Parameter(
        "grace", str, False,
        Option("Time for running jobs to end after a stop; default: 30s.", metavar=Duration), "30s",
    ),
    Parameter(
        "template", bool, False,
        Option("A unit prokerja@.service, of which each instance takes from one queue."), False,
    ),
    Parameter(
        "account", str, False,
        Option("Who runs the worker of the whole machine; default: prokerja.", ("--as",), "USER"),
    ),
    Parameter(
        "setuid", bool, False, Option("Let jobs call setuid programs, such as sudo."), False
    ),
    Parameter(
        "options", str, True,
        Argument("More options for `realization:start`.", "[-- OPTION...]", rest=True), [],
    ),
    *PLACE,
)  # fmt: skip
"""What a unit is made of, for each command that makes one."""


def unit_from(given: Mapping[str, Any]) -> Unit:
    """The unit that is asked for; raises RequestError for what no worker would take."""
    user, account, template = given["user"], given["account"], given["template"]
    if user and account is not None:
        raise RequestError("--as is for the whole machine, and --user for yourself; use one")
    if account is not None and not re.fullmatch(USER_NAME, account):
        raise BadOption(f"--as: {quoted(account)} is not the name of a user; give one")
    for name in given["queue"]:
        NAME.check(name, "--queue")
    REALIZERS.check(given["realizers"], "--realizers")
    grace = duration(given["grace"], "--grace")
    words = [f"--realizers={given['realizers']}", f"--grace={written(grace)}", *given["options"]]
    taken = parse(load("realization:start"), words)
    if taken is None:
        raise RequestError(
            f"{quoted(' '.join(given['options']))}: not options of a worker; see"
            " `prokerja realization:start --help`"
        )
    for name in ("queue", "realizers", "grace", "db", "jobs"):
        if f"--{name}" in {word.partition("=")[0] for word in given["options"]}:
            raise RequestError(f"--{name} goes before the double dash; move it there")
    db, jobs = _places(given)
    return Unit(
        (*program(), "realization:start", *words), tuple(given["queue"]), grace,
        duration(taken.get("jitter", "0"), "--jitter"), db, jobs, user, account or DEFAULT_USER,
        template, given["setuid"],
    )  # fmt: skip


def program() -> tuple[str, ...]:
    """The words that call this very program, from wherever it is called."""
    script = os.path.abspath(sys.argv[0])
    if os.path.basename(script) == "prokerja" and os.access(script, os.X_OK):
        return (script,)
    return (sys.executable, "-P", "-m", "prokerja")


def _places(given: Mapping[str, Any]) -> tuple[str, str]:
    """The queue and the jobs, each empty unless it is named, or no worker would find it."""
    db, jobs = (given[key] or os.environ.get(f"PROKERJA_{key.upper()}") for key in ("db", "jobs"))
    if given["user"]:
        found = settings(db, jobs)
        is_here = os.path.isdir("jobs") and not found.jobs_named
        return found.db if db else "", found.jobs if jobs or is_here else ""
    found = settings(db or DB, jobs)
    return found.db if db else "", found.jobs if jobs else ""


UnitWanted = Annotated[Unit, Group(UNIT, unit_from)]


def run(
    *,
    unit: UnitWanted,
    json: Json = False,
) -> None:
    """Print the unit that has systemd run a worker, for the whole machine or for one user.

    It runs this very program. Options of `realization:start` may follow a double dash.

    Example: prokerja systemd:unit --user --realizers 2 -- --memory-free 256M
    """
    if json:
        print_json({"unit": unit.file_name, "text": unit.text()})
    else:
        print(unit.text(), end="")
