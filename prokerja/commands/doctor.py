"""`prokerja doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from prokerja.commandline import Group
from prokerja.commands import PLACE, Json
from prokerja.console import on_terminal, print_fields, print_findings, print_json
from prokerja.doctor import examine
from prokerja.model.check import State

Flags = Annotated[Mapping[str, Any], Group(PLACE, dict)]
"""Not settled yet: the settings may be what is wrong."""


def run(
    *,
    place: Flags,
    json: Json = False,
) -> int:
    """Check the queue, the jobs directory, the disk, the clock, units and workers.

    It changes nothing. A line each, with what to do; exits with 1 if anything has failed.

    Example: prokerja doctor
    """
    checks = examine(place["db"], place["jobs"])
    rows = [(check.state.value, check.name, check.text, check.fix) for check in checks]
    if json:
        print_json(
            [
                {"name": name, "state": state, "text": text, "fix": fix or None}
                for state, name, text, fix in rows
            ]
        )
    elif on_terminal():
        print_findings(rows)
    else:
        print_fields(rows)
    return int(any(check.state is State.FAILED for check in checks))
