"""What the job classes were when their files were last read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from prokerja.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prokerja.repository.sqlite.database import Database


class Catalog:
    """Specs by job name and jobs directory, and the files they were read from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def specs(self, name: str) -> dict[str, JobSpec]:
        """What is known of the jobs of that name, by jobs directory (empty for none), in order."""
        query = "SELECT directory, spec FROM job WHERE name = ? ORDER BY 1"
        with self._database.reading():
            rows = self._database.execute(query, (name,)).fetchall()
            return {directory: JobSpec.from_json(json.loads(spec)) for directory, spec in rows}

    def names(self, directory: str) -> list[str]:
        """Every job that is known of a directory and of none, in order."""
        query = "SELECT DISTINCT name FROM job WHERE directory IN (?, '') ORDER BY 1"
        with self._database.reading():
            return [name for (name,) in self._database.execute(query, (directory,))]

    def stamps(self, directory: str) -> dict[str, str]:
        """What each file of a jobs directory was when it was last read; see `Stamp`."""
        query = "SELECT file, stamp FROM source WHERE directory = ?"
        with self._database.reading():
            return dict(self._database.execute(query, (directory,)).fetchall())

    def record(
        self,
        directory: str,
        read: Mapping[str, str],
        gone: Iterable[str],
        specs: Iterable[JobSpec],
    ) -> None:
        """Write down what these files of a directory hold now, and forget those that are gone."""
        with self._database.writing():
            for file in (*read, *gone):
                # Of no directory is what was written down before there were any here.
                forget = "DELETE FROM catalog WHERE file = ? AND directory IN (?, '')"
                self._database.execute(forget, (file, directory))
                forget = "DELETE FROM source WHERE file = ? AND directory = ?"
                self._database.execute(forget, (file, directory))
            self._database.executemany(
                "INSERT INTO source (directory, file, stamp) VALUES (?, ?, ?)",
                [(directory, file, stamp) for file, stamp in read.items()],
            )
            rows = [(directory, s.name, s.file, json.dumps(s.to_json())) for s in specs]
            if not directory:  # no files are watched there: a name says all
                forget = "DELETE FROM catalog WHERE directory = ? AND name = ?"
                self._database.executemany(forget, [row[:2] for row in rows])
            # Backwards: a file's first job of a name stays, as the loader takes no other.
            self._database.executemany(
                "INSERT OR REPLACE INTO catalog (directory, name, file, spec) VALUES (?, ?, ?, ?)",
                rows[::-1],
            )
