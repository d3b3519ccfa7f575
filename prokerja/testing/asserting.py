"""A queue that can be asked what was declared in it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from prokerja.declaring import encode
from prokerja.errors import BadPayload
from prokerja.job import name_of
from prokerja.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.model.job_record import JobRecord

MAX_SHOWN = 20


class AssertingQueue(Queue):
    """A Queue for tests."""

    def declared(
        self, job: type | str, times: int | None = None, /, **fields: Any
    ) -> list[JobRecord]:
        """The declarations of a job, by its class or name, with these values in the payload.

        The first comes first; those of running jobs, and those that have ended, are among them.
        Raises AssertionError, listing what was declared, if there is none, or if there are not
        exactly as many as `times` says; TypeError for a field that the class does not have.
        """
        found = self._matching(job, fields)
        if len(found) != times if times is not None else not found:
            wanted = "" if times is None else f" {_times(times)} but {_times(len(found))}"
            raise AssertionError(
                f"{_name(job)} was not declared{_with(fields)}{wanted}; {self._all()}"
            )
        return found

    def not_declared(self, job: type | str, /, **fields: Any) -> None:
        """Raise AssertionError if a job was declared, with these values in the payload."""
        if found := self._matching(job, fields):
            was = _listed(found)
            raise AssertionError(f"{_name(job)} was declared{_with(fields)}:{was}")

    def _matching(self, job: type | str, fields: dict[str, Any]) -> list[JobRecord]:
        if isinstance(job, type):
            _check_fields(job, fields)
        declared = self.find(job=_name(job), limit=sys.maxsize)
        return [record for record in reversed(declared) if _fits(record.payload, fields)]

    def _all(self) -> str:
        declared = self.find(limit=MAX_SHOWN + 1)
        if not declared:
            return "nothing was"
        more = "\n  ..." if len(declared) > MAX_SHOWN else ""
        return f"what was:{_listed(reversed(declared[:MAX_SHOWN]))}{more}"


def _name(job: type | str) -> str:
    return name_of(job) if isinstance(job, type) else job


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count} times"


def _check_fields(cls: type, fields: dict[str, Any]) -> None:
    from prokerja.catalog.loading import spec_of

    spec = spec_of(cls)
    known = [field.name for field in spec.fields]
    for name in fields:
        if name not in known and not spec.open:
            raise TypeError(f"{spec.name} has no field {name!r}; it is {spec.signature()}")


def _fits(payload: dict[str, Any], fields: dict[str, Any]) -> bool:
    return all(
        name in payload and (payload[name] == value or payload[name] == _as_json(value))
        for name, value in fields.items()
    )


def _as_json(value: Any) -> Any:
    """A value as a payload has it: a tuple is a list, a path a string."""
    try:
        return json.loads(encode({"value": value}, "the test"))["value"]
    except BadPayload:
        return value


def _with(fields: dict[str, Any]) -> str:
    return f" with {_written(fields)}" if fields else ""


def _written(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())


def _listed(records: Iterable[JobRecord]) -> str:
    return "".join(
        f"\n  {one.id} {one.job}({_written(one.payload)}), {one.status}" for one in records
    )
