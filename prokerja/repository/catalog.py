"""What the job classes were when their files were last read."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from prokerja.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prokerja.repository.database import Database


class Catalog:
    """Specs by job name, and the files they were read from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spec(self, name: str) -> JobSpec | None:
        """What is known of one job."""
        query = "SELECT spec FROM catalog WHERE name = ?"
        row = self._database.execute(query, (name,)).fetchone()
        return JobSpec.from_json(json.loads(row[0])) if row else None

    def names(self) -> list[str]:
        """Every job that is known, in order."""
        return [name for (name,) in self._database.execute("SELECT name FROM catalog ORDER BY 1")]

    def stamps(self, directory: str) -> dict[str, tuple[int, int]]:
        """Modification time (ns) and size of each file below `directory` as last read."""
        query = "SELECT file, mtime_ns, size FROM source WHERE file >= ? AND file < ?"
        rows = self._database.execute(query, _below(directory))
        return {file: (mtime_ns, size) for file, mtime_ns, size in rows}

    def record(
        self, read: Mapping[str, tuple[int, int]], gone: Iterable[str], specs: Iterable[JobSpec]
    ) -> None:
        """Write down what these files hold now, and forget those that are gone."""
        with self._database.writing():
            for file in (*read, *gone):
                self._database.execute("DELETE FROM catalog WHERE file = ?", (file,))
                self._database.execute("DELETE FROM source WHERE file = ?", (file,))
            self._database.executemany(
                "INSERT INTO source (file, mtime_ns, size) VALUES (?, ?, ?)",
                [(file, *stamp) for file, stamp in read.items()],
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO catalog (name, file, spec) VALUES (?, ?, ?)",
                [(spec.name, spec.file, json.dumps(spec.to_json())) for spec in specs],
            )


def _below(directory: str) -> tuple[str, str]:
    prefix = directory.rstrip(os.sep) + os.sep
    return prefix, prefix[:-1] + chr(ord(os.sep) + 1)
