"""For example: `prokerja declare:job checksum_file path=/srv/disk.iso algorithm=blake2b`."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prokerja import Job

ALGORITHMS = sorted(name for name in hashlib.algorithms_guaranteed if not name.startswith("shake"))


@dataclass
class ChecksumFile(Job):
    """Compute the checksum of a file."""

    path: str
    algorithm: str = "sha256"

    def handle(self) -> dict[str, Any]:
        """Read the file once, a piece at a time."""
        if self.algorithm not in ALGORITHMS:
            raise ValueError(
                f"no algorithm is called {self.algorithm!r}; use one of: {', '.join(ALGORITHMS)}"
            )
        source = existing_file(self.path)
        with source.open("rb", buffering=0) as file:
            digest = hashlib.file_digest(file, self.algorithm).hexdigest()
            size = file.tell()
        return {
            "path": str(source),
            "algorithm": self.algorithm,
            "digest": digest,
            "bytes": size,
        }


def existing_file(path: str) -> Path:
    """`path` from the root on; block devices have checksums too."""
    source = Path(path).absolute()
    if source.is_dir():
        raise IsADirectoryError(
            f"{source} is a directory; declare one checksum_file for each file in it"
        )
    if not source.exists():
        raise FileNotFoundError(
            f"no file at {source}, or none this worker may see; give its absolute path"
        )
    if not (source.is_file() or source.is_block_device()):
        raise ValueError(f"{source} is a pipe, a socket or a terminal; give a regular file")
    return source
