"""`prokerja schedule:next`: when a rule comes next, and what the change of clocks does to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from prokerja.commandline import Argument, Option
from prokerja.commands import Json, Place
from prokerja.console import hint, on_terminal, print_fields, print_json, print_table, say
from prokerja.errors import BadOption
from prokerja.schedules.clock_changes import effects
from prokerja.schedules.rules import Cron, rule
from prokerja.schedules.zones import at, local_zone, zone_of
from prokerja.times import iso, short

if TYPE_CHECKING:
    from prokerja.schedules.rules import Rule

MAX_COUNT = 10_000


def run(
    *,
    when: Annotated[
        list[str],
        Argument("'30 2 * * *', every 5m, hourly, daily 02:00, weekly mon 09:00, ...", "EXPR..."),
    ],
    zone: Annotated[str | None, Option("The zone whose clock it goes by.", metavar="ZONE")] = None,
    count: Annotated[int, Option("How many times to show.", metavar="N")] = 5,
    place: Place,  # noqa: ARG001  as every command takes it
    json: Json = False,
) -> None:
    """Show when a rule comes next, in words and as times; nothing is scheduled.

    Where the clock is put forward or back within a year, it says what becomes of the times that
    do not come, or come twice.

    Example: prokerja schedule:next '30 2 * * *' --zone Europe/Berlin
    """
    if not 1 <= count <= MAX_COUNT:
        raise BadOption(f"count: {count} does not fit; give a whole number from 1 to {MAX_COUNT}")
    now, where = time.time(), local_zone() if zone is None else zone
    found = rule(" ".join(when), where, now)
    moments = _next(found, now, count)
    told = [*effects(found, now)]
    if json:
        print_json(_answer(found, where, moments, told))
        return
    if on_terminal():
        _show(found, where, moments, told, now)
    else:
        local = zone_of(where)
        print_fields((iso(one), at(one, local).isoformat()) for one in moments)
        for sentence in told:
            say(sentence)
    if not moments:
        hint("It does not come again.")


def _show(found: Rule, where: str, moments: list[float], told: list[str], now: float) -> None:
    local = zone_of(where)
    print(f"{found.words}{f', by the clock of {where}' if isinstance(found, Cron) else ''}.")
    if moments:
        print_table(
            (where, "UTC", ""),
            [
                (f"{at(one, local):%a %Y-%m-%d %H:%M:%S %z}", iso(one), short(one, now))
                for one in moments
            ],
        )
    for sentence in told:
        print(f"{sentence}.")


def _next(found: Rule, after: float, count: int) -> list[float]:
    moments: list[float] = []
    while len(moments) < count:
        moment = found.next(moments[-1] if moments else after)
        if moment is None:
            break
        moments.append(moment)
    return moments


def _answer(found: Rule, where: str, moments: list[float], told: list[str]) -> dict[str, Any]:
    local = zone_of(where)
    return {
        "rule": found.text,
        "zone": where,
        "words": found.words,
        "next": [{"at": iso(one), "local": at(one, local).isoformat()} for one in moments],
        "clock_changes": told,
    }
