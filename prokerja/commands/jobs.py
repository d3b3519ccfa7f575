"""`prokerja jobs`: which jobs there are, and what they take."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from prokerja.catalog.inspection import inspect
from prokerja.commands import Jobs, Json
from prokerja.console import legible, on_terminal, print_json, print_table
from prokerja.errors import CatalogError
from prokerja.settings import settings

if TYPE_CHECKING:
    from prokerja.catalog.loading import Broken
    from prokerja.spec import JobSpec


def run(*, jobs: Jobs = None, json: Json = False) -> int:
    """List the jobs: names, queues, fields, files, and what is wrong with which file."""
    directory = settings(None, jobs).jobs
    if not os.path.isdir(directory):
        raise CatalogError(f"there is no jobs directory {directory}; make it or pass --jobs DIR")
    specs, broken = inspect(directory)
    specs = sorted(specs)
    if json:
        found = [{**spec.to_json(), "signature": spec.signature()} for spec in specs]
        print_json({"jobs": found, "broken": [item._asdict() for item in broken]})
    else:
        _show(specs, broken, directory)
    return 1 if broken else 0


def _show(specs: list[JobSpec], broken: list[Broken], directory: str) -> None:
    rows = [
        (spec.signature(), spec.queue, os.path.relpath(spec.file, directory), spec.doc)
        for spec in specs
    ]
    if on_terminal():
        print_table(("job", "queue", "file", "what it does"), rows)
    else:
        for row in rows:
            print("\t".join(map(legible, row)))
    for item in broken:
        print(f"prokerja: {item.file}: {legible(item.error)}", file=sys.stderr)
