"""What a job is rebuilt from: the fields of a dataclass, beside the words that jobs have."""

from __future__ import annotations

from functools import cache

METHODS = ("handle", "declare")
"""What a job's class defines, and no field may hide."""
CLASS_VARIABLES = ("typing.ClassVar", "ClassVar", "t.ClassVar")
"""How the annotation of what is not a field begins."""


@cache
def field_names(cls: type) -> tuple[str, ...] | None:
    """The fields that a dataclass is rebuilt from; None for another class."""
    if not hasattr(cls, "__dataclass_fields__"):
        return None
    from dataclasses import fields

    return tuple(field.name for field in fields(cls) if field.init)


def hidden_method(cls: type) -> str | None:
    """What is wrong with a dataclass that has a field in the place of a method of its job."""
    found = getattr(cls, "__dataclass_fields__", {})
    for name in METHODS:
        if name in found and not str(found[name].type).startswith(CLASS_VARIABLES):
            return hides(cls.__name__, name)
    return None


def hides(job: str, method: str) -> str:
    """What is wrong with a field that has the name of a method."""
    return (
        f"{job}.{method} is a field; a job's {method} must be a method, "
        "so give the field another name"
    )


def lost_field(cls: type) -> str | None:
    """What a dataclass's constructor takes and does not keep, or the other way round."""
    import inspect

    names = field_names(cls) or ()
    parameters = inspect.signature(cls).parameters.values()
    variadic = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    taken = {one.name for one in parameters if one.kind not in variadic}
    for name in taken.difference(names):
        is_known = name in getattr(cls, "__dataclass_fields__", {})
        return (
            f"{cls.__name__}.{name} is {'an InitVar' if is_known else 'not a field'}, "
            "which cannot be read back; make it a field or write a payload()"
        )
    is_open = any(one.kind is one.VAR_KEYWORD for one in parameters)
    for name in () if is_open else (name for name in names if name not in taken):
        return (
            f"{cls.__name__}.{name} is a field that its constructor does not take; "
            "take it there, or write a payload()"
        )
    return None


def give_no_default(cls: type, base: type) -> None:
    """Keep `@dataclass` from taking a method of the base for the default of a field."""
    own = vars(cls)
    for name in own.get("__annotations__", ()):
        if name not in own and name in vars(base) and getattr(cls, name) is vars(base)[name]:
            from dataclasses import field

            setattr(cls, name, field())
