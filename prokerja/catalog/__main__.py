"""`python -m prokerja.catalog DIR FD`: load a jobs directory and write what was found to FD.

FD gets one JSON object, `{"specs": [...], "broken": [...]}`. Each file is named on stdout before
it is imported; what the files themselves print goes to stderr.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

from prokerja.catalog.loading import load


def main(directory: str, descriptor: str) -> None:
    """Load, write, and leave at once, whatever threads and exit handlers the files have set up."""
    names = os.dup(1)
    os.dup2(2, 1)
    loaded = load(directory, lambda path: os.write(names, json.dumps(path).encode() + b"\n"))
    found = {
        "specs": [spec.to_json() for spec in loaded.specs.values()],
        "broken": [broken._asdict() for broken in loaded.broken],
    }
    with open(int(descriptor), "w", encoding="ascii") as file:
        json.dump(found, file)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a file may have put anything in their place
            stream.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
