"""Fixtures of the conformance suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.repository.harness import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    store = Store(str(tmp_path / "q.db"))
    yield store
    store.close()
