"""Make `schema-N.sqlite3` for the current schema: `python -m tests.data.make_schema`.

Once a schema is released its file is never made again: it must open for ever.
"""

from __future__ import annotations

import os
import sys

from prokerja.repository.sqlite import schema
from tests.crash.specimen import make


def main() -> None:
    """Make it anew, unless it is there."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), schema_file(schema.VERSION))
    if os.path.exists(path):
        sys.exit(f"{path} is there already; delete it first if its schema was never released")
    make(path)
    print(path)


def schema_file(version: int) -> str:
    """The name of the file of one schema version."""
    return f"schema-{version}.sqlite3"


if __name__ == "__main__":
    main()
