"""The jobs directory as the package `jobs`, and how its files import what lies around them.

A file of it is `jobs.NAME`, and plain `NAME` to the others unless something installed is called
so: the same module either way. The directory around it is searched, too, after all others. Pools
that `multiprocessing` spawns find the same, since they run this module as their main one first.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType

PACKAGE = "jobs"
"""What the jobs directory is called in imports."""
DIRECTORY = "PROKERJA_JOBS"
"""Names the directory to the processes that a job spawns."""


class Neighbours:
    """Finds a file of the jobs directory by its plain name, and gives its one module.

    A finder and a loader by what it does: `importlib.abc` takes a sixth of a realizer's start.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = os.path.join(self._root, name)
        if path is not None or not (os.path.isfile(f"{place}.py") or os.path.isdir(place)):
            return None
        return ModuleSpec(name, cast("Loader", self))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(f"{PACKAGE}.{spec.name}")
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It was executed under its full name, by which it goes on."""
        assert module.__spec__ is not None
        module.__spec__ = self._specs.pop(module.__spec__.name)


def install(root: str) -> None:
    """Make `import jobs` mean this directory, whatever it meant before."""
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    package = ModuleSpec(PACKAGE, None, is_package=True)
    package.submodule_search_locations = [root]
    sys.modules[PACKAGE] = module_from_spec(package)
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, Neighbours)]
    sys.meta_path.append(Neighbours(root))
    around = os.path.dirname(root)
    if around not in sys.path:
        sys.path.append(around)


def install_in_pools() -> None:
    """Have processes that `multiprocessing` spawns from this one do the same."""
    sys.modules["__main__"].__spec__ = ModuleSpec(__name__, None)


def import_file(path: str, root: str) -> ModuleType:
    """The module of a file in the installed directory; raises whatever importing it raises."""
    place = os.path.relpath(path, root)
    parts = place.removesuffix(".py").split(os.sep)
    if parts[-1] == "__init__":
        parts.pop()
    if not parts:
        return _import_from(path, PACKAGE, [root])
    if not any("." in part for part in parts):
        module = importlib.import_module(".".join([PACKAGE, *parts]))
        if module.__file__ == path:
            return module
    # A name that no import statement can say, so that it takes no other module's place.
    return _import_from(path, f"{PACKAGE}.{place.replace('.', '/')}")


def _import_from(path: str, name: str, folders: list[str] | None = None) -> ModuleType:
    spec = spec_from_file_location(name, path, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__mp_main__":  # in a process that multiprocessing has spawned
    install(os.environ[DIRECTORY])
