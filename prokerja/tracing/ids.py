"""Ids of spans and traces."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import contextmanager
from threading import local
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.id_generator import IdGenerator

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE_BYTES, SPAN_BYTES = 16, 8


class Ids(IdGenerator):
    """Random ones, unless others are chosen; what a job does to `random` makes none twice."""

    def __init__(self) -> None:
        self._chosen = local()

    @contextmanager
    def chosen(self, trace_id: int, span_id: int) -> Iterator[None]:
        """The next span of this thread gets these; its trace, if it is not in one yet."""
        self._chosen.ids = trace_id, span_id
        try:
            yield
        finally:
            self._chosen.ids = None

    def generate_trace_id(self) -> int:
        """A new trace's."""
        ids = getattr(self._chosen, "ids", None)
        return ids[0] if ids else _random(TRACE_BYTES)

    def generate_span_id(self) -> int:
        """A new span's."""
        ids = getattr(self._chosen, "ids", None)
        return ids[1] if ids else _random(SPAN_BYTES)

    def is_trace_id_random(self) -> bool:
        """Those that are chosen are, too."""
        return True


def ids_of_attempt(seed: str, token: int, id: int) -> tuple[int, int]:
    """The trace's and the span's of one attempt: the same in a worker and in its realizer.

    `seed` is random, and the worker's own.
    """
    size = TRACE_BYTES + SPAN_BYTES
    digest = hashlib.blake2b(f"{seed}:{token}:{id}".encode(), digest_size=size).digest()
    return int.from_bytes(digest[:TRACE_BYTES]), int.from_bytes(digest[TRACE_BYTES:])


def _random(size: int) -> int:
    return int.from_bytes(secrets.token_bytes(size)) or 1  # 0 is no id
