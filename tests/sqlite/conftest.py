"""Fixtures for the tests of the file."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sqlite.door import Connection
from tests.sqlite.store import SQLiteStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """An empty store."""
    store = SQLiteStore(str(tmp_path / "q.db"))
    yield store
    store.close()


@pytest.fixture
def sql(store: SQLiteStore) -> Iterator[Connection]:
    """Somebody's own connection to the store's file."""
    sql = Connection(store)
    yield sql
    sql.connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "here" / "q.db"


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may look into; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for part in (folder, *folder.rglob("*")):
        if part.is_dir():
            part.chmod(0o755)
    shutil.rmtree(folder)
