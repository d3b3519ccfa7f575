"""`prokerja jobs`: which jobs there are, and what they take."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from prokerja.catalog.inspection import inspect
from prokerja.commands import Db, Jobs, Json
from prokerja.console import legible, on_terminal, print_fields, print_json, print_table
from prokerja.errors import CatalogError
from prokerja.settings import settings

if TYPE_CHECKING:
    from prokerja.spec import JobSpec


def run(*, db: Db = None, jobs: Jobs = None, json: Json = False) -> int:
    """List the jobs, what they take, and which files are broken."""
    directory = settings(db, jobs).jobs
    if not os.path.isdir(directory):
        raise CatalogError(f"there is no jobs directory {directory}; make it or pass --jobs DIR")
    specs, broken = inspect(directory)
    specs = sorted(specs)
    if json:
        found = [{**spec.to_json(), "signature": spec.signature()} for spec in specs]
        print_json({"jobs": found, "broken": [item._asdict() for item in broken]})
    else:
        _show(specs, directory)
    for item in broken:
        print(f"prokerja: {legible(f'{item.file}: {item.error}')}", file=sys.stderr)
    return 1 if broken else 0


def _show(specs: list[JobSpec], directory: str) -> None:
    rows = [
        (spec.signature(), spec.queue, os.path.relpath(spec.file, directory), spec.doc)
        for spec in specs
    ]
    if on_terminal():
        print_table(("job", "queue", "file", "what it does"), rows)
    else:
        print_fields(rows)
