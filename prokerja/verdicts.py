"""What came of an attempt: the same types from a realizer's report to the settled row."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from prokerja.model.declaration import Declaration
from prokerja.times import MAX_SECONDS

Moment = Annotated[float, Meta(ge=0, le=253402300799)]
"""Seconds since the epoch, in a year that a calendar has."""
Length = Annotated[int, Meta(ge=0, le=2**62)]
Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]


class Advice(IntEnum):
    """What a failed attempt says of the next one."""

    NONE = 0
    """Its declaration decides."""
    LATER = 1
    """It may go well: another, though it may use none of the retries."""
    NEVER = 2
    """It would fail as well: no other."""


NOT_TOLD, OWED, TOLD = 0, 1, 2
"""What an end says of the hooks that are to hear of it: there are none, or it came from elsewhere;
they have not run yet, and their process may die of them; they have run."""
Told = Annotated[int, Meta(ge=NOT_TOLD, le=TOLD)]
"""An enumeration would take twice as long to read, for every job."""


class Completed(Struct, array_like=True, tag=0, gc=False):
    """`handle()` returned."""

    started_at: Moment
    finished_at: Moment
    result: str | None = None
    """JSON, or None for no result."""
    follow_ups: tuple[Declaration, ...] = ()
    cut: tuple[Length, str] | None = None
    """How many bytes the result has, and how they begin, if it is too long to be kept whole."""
    told: Told = NOT_TOLD


class Failed(Struct, array_like=True, tag=1, gc=False):
    """`handle()` raised, ran too long, or took its process down."""

    started_at: Moment
    finished_at: Moment
    error: str
    traceback: str | None = None
    advice: Advice = Advice.NONE
    exit_code: int | None = None
    """Of a command; below zero for the number of the signal that killed it."""
    told: Told = NOT_TOLD
    retry_in: Seconds | None = None
    """When the job wants its next attempt; None for when its declaration says."""


class Refusal(NamedTuple):
    """Why a worker cannot run a job until it has loaded the job files anew."""

    why: str
    """What is to be said of the worker, such as `has an older thumb`."""
    fields: str
    """Of the payload; the worker runs no job that has the same. Empty for any."""


class Released(Struct, array_like=True, tag=2, gc=False):
    """The job never started, or an orderly stop cut it short: it goes back, no attempt used."""

    counted: bool
    """Whether it counts against the times a job may come back; not if it never left our hands."""
    refusal: Refusal | None = None


class Postponed(Struct, array_like=True, tag=3, gc=False):
    """`handle()` asked to be run later: it goes back, no attempt used."""

    started_at: Moment
    finished_at: Moment
    seconds: Seconds


class Parked(Struct, array_like=True, tag=4, gc=False):
    """`handle()` has handed its work to an outside party, which is to resolve it."""

    started_at: Moment
    finished_at: Moment
    timeout: Seconds | None = None
    """For how long it may wait; None for ever."""
    token: str | None = None
    """The secret that the outside party was given, if it was."""


class HooksEnded(Struct, array_like=True, tag=5, gc=False):
    """The hooks of a job that had ended elsewhere have run, or were to."""

    started_at: Moment
    finished_at: Moment
    have_run: bool = True
    counted: bool = True
    """Whether that was a try, if they have not."""


Ended = Completed | Failed | Postponed | Parked | HooksEnded
"""What a realizer tells of a job that it has run."""
Verdict = Completed | Failed | Released | Postponed | Parked | HooksEnded
Settlement = tuple[int, int, Verdict]
"""A declaration's id, its lane's, and what came of it."""
