"""The contract of a job, and the options that its class may set."""

from __future__ import annotations

import os
import re
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from prokerja.configured_job import ConfiguredJob
from prokerja.fields import field_names, give_no_default, hidden_method, lost_field
from prokerja.options import checked_options
from prokerja.running import running
from prokerja.terms import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from typing import ParamSpec, TypeVar, Unpack

    from prokerja.types import Declarable, Terms

    P = ParamSpec("P")
    T = TypeVar("T")

FOLLOW_UPS = "follow-ups"
"""Where a job keeps what it declares: no field can have this name."""


class Job:
    """Base of a job: a dataclass of JSON values with a `handle()`.

    The constructor does no work; `handle()` does all of it. What `handle()` returns is the
    job's result and must be a JSON value. A class with `handle()` and `payload()` of its own is
    a job too, whether it inherits from this one or not.
    """

    queue: ClassVar[str]
    priority: ClassVar[int]
    retries: ClassVar[int]
    retry_after: ClassVar[float]
    timeout: ClassVar[float | None]
    keep: ClassVar[bool | float | timedelta | None]
    on_failure: ClassVar[str | Sequence[str] | None]
    limit_key: ClassVar[str | None]
    limit: ClassVar[int | None]
    lock: ClassVar[str | None]
    rate: ClassVar[str | None]
    rate_key: ClassVar[str | None]
    needs: ClassVar[Mapping[str, int | str] | None]
    fair_key: ClassVar[str | None]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        give_no_default(cls, Job)

    def handle(self) -> Any:
        """Do the work; return its result, a JSON value or None."""
        raise NotImplementedError(f"{type(self).__name__} has no handle()")

    def payload(self) -> dict[str, Any]:
        """The JSON object this job is rebuilt from; dataclasses get it for nothing."""
        cls: type = type(self)
        return {name: getattr(self, name) for name in payload_fields(cls) or ()}

    @cached_property
    def parents(self) -> dict[int, Any]:
        """The results of the jobs that this one has waited for, by id; inside `handle()` only."""
        import json

        extra = running("parents", self).extra
        texts = (extra and extra.parents) or {}
        return {id: None if text is None else json.loads(text) for id, text in texts.items()}

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many of the batch that this job has waited for have completed, and failed."""
        extra = running("counts", self).extra
        return dict((extra and extra.counts) or {})

    @cached_property
    def token(self) -> str:
        """The secret by which `resolve` knows who was to answer; inside `handle()` only.

        It is the attempt's own, and good once `handle()` has returned `Await`.
        """
        return running("token", self).make_token()

    def resolved(self, data: Any) -> Any:
        """Go on with what the job was resolved with, after `handle()` had returned `Await`.

        May return and raise what `handle()` may. By default, the answer is the job's result.
        """
        return data

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Say how far the job has come: `done`, of `total` if that is known.

        It is in the file within a second. Cheap: call it as often as you like.
        """
        running("progress", self).progress.report(self, done, total, text)

    def step(self, name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function once, however often the job runs: it is done when that is on the disk.

        Returns what the function has returned, as JSON gives it back; when the job runs again,
        after a crash or to be retried, without calling it.
        """
        value: T = running("step", self).steps.step(self, name, function, args, kwargs)
        return value

    def options(self, **options: Unpack[Terms]) -> ConfiguredJob:
        """The same job with options for its declaration, to be declared in its place.

        Takes the options of `prokerja.declare`, whose own keywords go before these. Raises
        RequestError for what cannot be meant.
        """
        return ConfiguredJob(self, checked_options(options))

    def declare(self, job: Declarable, **options: Unpack[Terms]) -> None:
        """Declare a follow-up from inside `handle()`; it exists if and only if this job completes.

        Takes the options of `prokerja.declare`.
        """
        self.__dict__.setdefault(FOLLOW_UPS, []).append((job, options))


def name_of(cls: type) -> str:
    """The name a class is declared by: its `name` if it sets one, else its own in snake_case."""
    name = option(cls, "name")
    if isinstance(name, str):
        return name
    return snake_case(cls.__name__)


def option(cls: type, key: str) -> Any:
    """A class's option, or the default; a payload field of the same name is not an option."""
    if key in (field_names(cls) or ()):
        return DEFAULTS.get(key)
    return getattr(cls, key, DEFAULTS.get(key))


def has_own_payload(cls: type) -> bool:
    """Whether a class has a `payload()` of its own, which no field hides."""
    if "payload" in (field_names(cls) or ()):
        return False
    own = getattr(cls, "payload", None)
    return callable(own) and own is not Job.payload


def payload_fields(cls: type) -> tuple[str, ...] | None:
    """The fields that make up the payload of a class's instances; None if its `payload()` does.

    Raises TypeError for a class whose instances cannot be rebuilt from a payload.
    """
    if fault := hidden_method(cls):
        raise TypeError(fault)
    if has_own_payload(cls):
        return None
    names = field_names(cls)
    if names is None:
        raise TypeError(f"{cls.__name__} is not a dataclass, so it needs a payload() of its own")
    if fault := lost_field(cls):
        raise TypeError(fault)
    return names


def snake_case(name: str) -> str:
    """`SendEmail` -> `send_email`, `HTTPFetch` -> `http_fetch`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def file_of(cls: type) -> str:
    """The absolute path of the file that a class was read from; empty if it has none."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return os.path.abspath(file) if file else ""


def home_of(file: str, directory: str) -> str:
    """The jobs directory, if the file lies in it, by whatever way; empty otherwise."""
    if not file or not directory:
        return ""
    real, root = os.path.realpath(file), os.path.realpath(directory)
    return directory if os.path.commonpath((real, root)) == root else ""
