"""Resources by name: how much a job takes of each, or how much a machine has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from prokerja.errors import BadOption
from prokerja.sizes import size
from prokerja.text import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_AMOUNT = 2**53
ALLOWED = "names and amounts, such as {'gpu': 1, 'memory': '4G'}"
_NAME = re.compile(r"[a-z0-9_.-]{1,64}")


def amounts_of(given: Any, what: str, least: int = 1) -> tuple[tuple[str, int], ...]:
    """Names with their amounts, whole numbers or sizes such as `4G`, in the order of the names.

    Raises BadOption, naming `what`, for anything else.
    """
    if isinstance(given, tuple):  # what this has returned
        given = dict(given)
    if not hasattr(given, "items"):
        raise BadOption(f"{what}: {shown(given)} does not fit; give {ALLOWED}")
    return tuple(sorted((_name(name, what), _amount(given, name, what, least)) for name in given))


def _name(name: Any, what: str) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise BadOption(
        f"{what}: {quoted(str(name))} is not the name of a resource; give 1 to 64 of a-z 0-9 _ . -"
    )


def _amount(given: Mapping[Any, Any], name: str, what: str, least: int) -> int:
    value = given[name]
    amount = size(value, f"{what}: {name}") if isinstance(value, str) else value
    if type(amount) is int and least <= amount <= MAX_AMOUNT:
        return amount
    raise BadOption(
        f"{what}: {name} is {shown(value)}; give a whole number of {least} or more, or a size such"
        " as 4G"
    )


def human(amounts: Mapping[str, int]) -> str:
    """Names with their amounts, those of bytes as sizes: `gpu=1, memory=4G`."""
    return ", ".join(f"{name}={_written(amount)}" for name, amount in amounts.items())


def _written(amount: int) -> str:
    for unit, bytes in (("G", 2**30), ("M", 2**20)):
        if amount and amount % bytes == 0:
            return f"{amount // bytes}{unit}"
    return str(amount)
