"""Hands awaiting jobs what they wait for."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from prokerja.declaring import encode
from prokerja.errors import NotAwaiting
from prokerja.model.declaration import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.repository.verbs import Repository

PARKING_SECONDS = 1.0
"""For which a job that runs may take to be parked: an answer can be quicker than its question."""


def resolve(
    repository: Repository,
    id: int,
    data: Any,
    token: str | None,
    clock: Callable[[], float],
) -> None:
    """Resolve it; raises NotFound, NotAwaiting, or a RequestError for the data or the token."""
    answer = encode(data, f"job {id}", what="answer")
    give_up = time.monotonic() + PARKING_SECONDS
    try:
        return repository.resolve(id, answer, token, clock())
    except NotAwaiting as error:
        if error.status is not Status.PROCESSING:
            raise
    with closing(repository.watch()) as watch:  # before the next look: no change escapes
        while True:
            try:
                return repository.resolve(id, answer, token, clock())
            except NotAwaiting as error:
                left = give_up - time.monotonic()
                if error.status is not Status.PROCESSING or left <= 0:
                    raise
            watch.wait(left)
