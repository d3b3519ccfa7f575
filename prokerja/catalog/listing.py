"""All that the files of a jobs directory say of jobs, and which of them are broken."""

from __future__ import annotations

from prokerja.catalog.files import scan
from prokerja.catalog.modules import Modules
from prokerja.catalog.static import read_file
from prokerja.errors import CatalogError
from prokerja.spec import Broken, JobSpec


def read_jobs(directory: str) -> tuple[list[JobSpec], list[Broken]]:
    """What the text of the files tells; raises CatalogError if they cannot be listed."""
    modules = Modules(directory)
    found: dict[str, JobSpec] = {}
    broken: list[Broken] = []
    for path in scan(directory):
        specs: list[JobSpec] = []
        faults: list[CatalogError] = []
        try:
            specs = read_file(path, modules, faults)
        except CatalogError as error:
            faults.append(error)
        broken += [Broken(path, str(one).removeprefix(path).lstrip(":, ")) for one in faults]
        for spec in specs:
            first = found.setdefault(spec.name, spec)
            if first is not spec:
                broken.append(Broken(path, first.twin(path)))
    return list(found.values()), broken
