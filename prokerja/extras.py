"""Packages that only some need, which `pip install 'prokerja[EXTRA]'` brings."""

from __future__ import annotations

from importlib.util import find_spec

from prokerja.errors import ProkerjaError


def insist_on(module: str, extra: str, what: str) -> None:
    """Raise ProkerjaError, saying what to install for `what`, if a module is missing."""
    if find_spec(module) is None:
        raise ProkerjaError(
            f"{what} needs {module.replace('_', '-')}: pip install 'prokerja[{extra}]'"
        )
