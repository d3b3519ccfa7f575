"""The hooks of a job: methods by which its class follows what becomes of it, if it has them."""

from __future__ import annotations

from prokerja.fields import field_names

ENDING = ("failed", "status_changed", "cleanup")
"""Those that hear of an end, in the order in which they do."""
HOOKS = frozenset(("should_retry", "retry_delay", "description", *ENDING))


def hooks_of(cls: type) -> frozenset[str]:
    """The hooks that a class has; a field of the same name is none."""
    found = (name for name in HOOKS if callable(getattr(cls, name, None)))
    return frozenset(found).difference(field_names(cls) or ())
