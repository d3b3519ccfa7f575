"""What jobs are given beside their payloads, put into frames that are not too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.worker.wire.messages import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prokerja.model.claim import Extra
    from prokerja.worker.wire.journal import Claim

MAX_ADDED_BYTES = 4 * 2**20
"""Given to all jobs of a batch but the first, which is sent whatever it is given."""
BYTES_PER_PARENT = 8
"""Of a parent whose result is there already."""


def split(whole: Batch, extras: Mapping[Claim, Extra]) -> tuple[list[Batch], int]:
    """The jobs of a batch with what they are given, in several where that is much.

    Returns how many bytes they are given, too.
    """
    batches: list[Batch] = []
    room, total = 0, 0
    for sequence, job in enumerate(whole.jobs, whole.first):
        extra = extras.get(job[0])
        size = _size(extra, batches[-1].results if batches else {}) if extra else 0
        if not batches or size > room:
            batches.append(Batch(sequence, whole.names, []))
            size = _size(extra, {}) if extra else 0
            room = MAX_ADDED_BYTES + size
        room -= size
        total += size
        batches[-1].jobs.append(job)
        if extra is not None:
            batches[-1].extras[sequence] = _without_results(extra, batches[-1].results)
    return batches, total


def _size(extra: Extra, results: Mapping[int, str]) -> int:
    """How many bytes it adds to a batch that has these results already."""
    parents, steps = extra.parents or {}, extra.steps or {}
    new = (len(text) for id, text in parents.items() if text and id not in results)
    values = (len(name) + len(value) for name, value in steps.items())
    return len(parents) * BYTES_PER_PARENT + sum(new) + sum(values) + len(extra.answer or "")


def _without_results(extra: Extra, results: dict[int, str]) -> Extra:
    """The same, with its parents' results moved to these."""
    if not extra.parents:
        return extra
    results.update((id, text) for id, text in extra.parents.items() if text is not None)
    return extra._replace(
        parents={id: None if text is None else "" for id, text in extra.parents.items()}
    )
