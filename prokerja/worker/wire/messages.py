"""What supervisor and realizer say to each other."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from prokerja.model.claim import Extra
from prokerja.spec import Broken, JobSpec
from prokerja.times import MAX_SECONDS
from prokerja.verdicts import Ended, Refusal

Count = Annotated[int, Meta(ge=0, le=2**53)] | Annotated[float, Meta(ge=0, le=2**53)]
Bytes = Annotated[int, Meta(ge=0, le=2**62)]
Spent = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
Told = tuple[Count, Count | None, Annotated[str, Meta(max_length=255)]]
"""How far a job has come: done, of how much, and in words."""


class WireError(Exception):
    """The other side sent what no program of ours would send."""


class Launch(Struct):
    """Supervisor to realizer, on its command line: what it inherits and what it is to import."""

    channel: int
    """Descriptors that it inherits."""
    page: int
    alive: int
    """Closed at the other end when the supervisor dies."""
    requests: int
    """Whatever comes there asks for a report; a line with a job's number and a text, to show it."""
    mark: str
    """What it announces in its output who speaks with."""
    lock: int
    """The worker's lock, held by having it open, and the file of the journals; -1 for none."""
    ring: int
    """Where in that file this realizer's journal is."""
    jobs: str
    """The jobs directory, empty for none; it is read unless `classes` are given."""
    classes: list[str]
    """Job classes to import, as `module:qualified.name`."""
    path: list[str]
    """Where the supervisor imports from."""
    tracing: str = ""
    """The seed of the ids of attempts' spans; empty if they have none."""
    titles: bool = False
    """Whether its title is to say what it runs."""
    concurrency: int = 1
    """How many async jobs it may run at once."""
    nice: int = 0
    """What it adds to its niceness."""
    memory_limit: int | None = None
    """How large it may be before a job, in bytes; None for no limit."""
    watch: bool = False
    """Whether it is to tell which files it has loaded."""

    @property
    def own(self) -> tuple[int, ...]:
        """The descriptors that are for this realizer alone."""
        return self.channel, self.page, self.alive, self.requests


class Batch(Struct, array_like=True):
    """Supervisor to realizer: jobs to run, numbered from `first` on."""

    first: int
    names: dict[int, str]
    """Job names by lane."""
    jobs: list[tuple[tuple[int, int], int, int, str]]
    """The claim's token with the declaration's id, attempt, lane, payload."""
    extras: dict[int, Extra] = {}
    """What else some of them are given, by sequence number; parents' results are not in here."""
    results: dict[int, str] = {}
    """Those results by the parent's id, each once; "" stands for it in `extras`."""
    cut: list[int] = []
    """Async jobs that are to be cancelled, by sequence number."""

    def given(self) -> dict[int, Extra]:
        """The extras, with the parents' results in them."""
        for extra in self.extras.values() if self.results else ():
            parents = extra.parents or {}
            for id in [id for id, text in parents.items() if text == ""]:
                parents[id] = self.results[id]
        return self.extras


class Report(Struct, array_like=True, omit_defaults=True):
    """Realizer to supervisor: what has come of its jobs since the last report."""

    ended: list[tuple[int, Ended]] = []
    """By sequence number."""
    dropped: list[int] = []
    """Jobs it did not start, since they were taken back."""
    unknown: list[int] = []
    """Jobs it did not start, since it has no such class."""
    unfit: list[tuple[int, Refusal]] = []
    """Jobs it did not start, since their payloads do not fit its class."""
    loading: str = ""
    """The job file that is about to be imported."""
    loaded: Loaded | None = None
    """In the first report of all: the jobs are loaded."""
    descriptions: list[tuple[int, str]] = []
    """What jobs call themselves, by sequence number."""
    hook_errors: list[tuple[int, str, str, str]] = []
    """The declaration's id, the job's name, the hook's, and what went wrong in it."""
    spoiled: tuple[str, str] | None = None
    """The job that has changed its process for good, and what: it drops what it was sent.

    Nothing if that is in `left`."""
    left: list[tuple[str, str, bool]] = []
    """What jobs have left running: the job's name, what, and whether it still runs."""
    steps: list[tuple[int, str, str]] = []
    """Steps that its jobs have done: by sequence number, the name, the value as JSON."""
    progress: list[tuple[int, Told]] = []
    """How far its jobs have come, by sequence number."""
    tracing_errors: list[str] = []
    """Why spans are not received."""
    costs: list[tuple[int, Bytes | None, Spent | None]] = []
    """What jobs have used, by sequence number: their peaks, and seconds of processor time."""
    outgrown: tuple[str, Bytes] | None = None
    """The job after which it is larger than it may be, and how large: it drops what it was sent."""
    files: dict[str, str] = {}
    """The user's files that its jobs have had imported, and their stamps."""


class Loaded(Struct, array_like=True):
    """What a realizer has found in the jobs directory."""

    pid: int
    """The realizer's own; its supervisor knows its reaper's, where there is one."""
    specs: list[JobSpec]
    broken: list[Broken]
    stamps: dict[str, str]
    """Of the files, from before they were imported."""
    hooks: dict[str, list[str]] = {}
    """Of the jobs that have any, by name."""
    bytes: Bytes = 0
    """How large it is, if there is a limit to that."""
    asynchronous: list[str] = []
    """Names of the jobs of which it runs several at once."""
    files: dict[str, str] = {}
    """The user's files that it has loaded, whole or not, and their stamps (see `file_stamps`)."""
