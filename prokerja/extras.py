"""Packages that only some need, which `pip install 'prokerja[EXTRA]'` brings."""

from __future__ import annotations

from importlib.util import find_spec

from prokerja.errors import ProkerjaError


def insist_on(module: str, extra: str, what: str, package: str = "") -> None:
    """Raise ProkerjaError, saying what to install for `what`, if a module is missing.

    `package` is what brings it, where that has another name.
    """
    if not is_there(module):
        package = package or module.replace("_", "-")
        raise ProkerjaError(f"{what} needs {package}: pip install 'prokerja[{extra}]'")


def is_there(module: str) -> bool:
    """Whether a module could be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the package that it lies in
        return False
