"""What the next prokerja might do to a file: `python -m tests.crash.newer FILE`.

It opens the file as every prokerja does, but knows of one migration more. That one keeps the rule
of `prokerja.repository.sqlite.schema`: it adds, and takes nothing away.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from prokerja.repository.sqlite import schema
from prokerja.repository.sqlite.repository import SQLiteRepository
from tests.crash.site import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

NEXT = schema.VERSION + 1
TABLES = (
    "lane", "declaration", "purged", "pending", "claim", "running", "attempt", "worker",
    "catalog", "source", "histogram", "cancellation", "coalescing", "blocked", "held_before",
    "dependency", "expiry", "cut_result", "progress", "step", "suspension", "refusal",
    "awaiting", "answer", "hooked", "untold", "description",
)  # fmt: skip


def migrate(path: str) -> None:
    """Have another process migrate the file; the table `migrated` notes the highest id then."""
    words = [sys.executable, "-m", "tests.crash.newer", path]
    subprocess.run(words, check=True, cwd=PROJECT, timeout=60)


def statements(number: int) -> Iterator[str]:
    """The next migration."""
    assert number == NEXT
    for table in TABLES:
        yield f"ALTER TABLE {table} ADD COLUMN note TEXT NOT NULL DEFAULT 'new'"
    yield f"CREATE VIEW register_{NEXT} AS SELECT id, note FROM declaration"
    yield "CREATE TABLE migrated (highest INTEGER NOT NULL) STRICT"
    yield "INSERT INTO migrated SELECT coalesce(max(id), 0) FROM declaration"


if __name__ == "__main__":
    schema.VERSION = NEXT
    schema.statements = statements
    SQLiteRepository(sys.argv[1]).close()
