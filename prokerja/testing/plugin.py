"""What pytest has of this package: a fixture, which costs nothing until a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prokerja.testing.in_process import InProcessQueue


@pytest.fixture
def prokerja_queue() -> Iterator[InProcessQueue]:
    """A queue in memory, the default one during the test; `drain()` runs its jobs."""
    from prokerja import testing

    with testing.queue() as queue:
        yield queue
