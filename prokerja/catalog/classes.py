"""Class statements, and what they inherit from others in the jobs directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from prokerja.catalog.bindings import Foreign, Function, Known, Ours, Unknown

if TYPE_CHECKING:
    import ast
    from collections.abc import Mapping, Sequence

ALL = "*"
"""Stands for every attribute."""
BASES = {"Job", "object", "ABC", "Protocol", "Generic"}
DECORATORS = {"dataclass", "final"}
"""What leaves it clear which fields a class has; any other base or decorator does not."""
HARMLESS = {"total_ordering", "runtime_checkable", "define", "frozen", "mutable", "unique"}
"""Decorators that leave a class's options alone."""
KNOWN_MODULES = ("prokerja", "abc", "dataclasses", "typing", "typing_extensions", "builtins")
MEMBERS = {"enum.StrEnum": str, "enum.IntEnum": int}
"""Enumerations whose members are texts and numbers themselves; those of others are not."""


class Class:
    """A class as its statement leaves it, and what is done to it from outside afterwards."""

    def __init__(
        self, node: ast.ClassDef, path: str, bases: Sequence[Bound], keywords: Mapping[str, Bound],
        decorators: Mapping[str, ast.expr], shaken: set[str],
    ) -> None:  # fmt: skip
        self.node = node
        self.path = path
        self.names: dict[str, Bound] = {}
        """What its body binds."""
        self.decorators = decorators
        """Their full names."""
        self.dataclass = decorators.get("dataclass")
        self.changed: set[str] = set()
        """Attributes that may be set from outside."""
        self._shaken = shaken
        self.bases = {short(one.name) if isinstance(one, Foreign) else "" for one in bases}
        """Names of those that are its own and from elsewhere."""
        self.line = [self, *_merged(bases)]
        """The classes that it consists of, in the order in which Python looks for a name."""
        self.is_unclear = False
        """Whether it is certain that this is the class that its name stands for."""
        is_plain = all(
            key == "metaclass" and value == Foreign("abc.ABCMeta")
            for key, value in keywords.items()
        )
        if not (is_plain and decorators.keys() <= DECORATORS | HARMLESS) or self._is_initialized():
            self.changed.add(ALL)
        self.is_plain = is_plain

    def _is_initialized(self) -> bool:
        return any(isinstance(one, Class) and "__init_subclass__" in one.names for one in self.rest)

    @property
    def rest(self) -> list[Class | Foreign]:
        """What it inherits from."""
        return self.line[1:]

    @property
    def own(self) -> list[Class]:
        """Those of its line that are in the jobs directory."""
        return [one for one in self.line if isinstance(one, Class)]

    def find(self, name: str) -> Bound | None:
        """What the name is in this class; None if nothing defines it."""
        for one in self.line:
            if isinstance(one, Class):
                if name in one.names:
                    return one.names[name]
            elif short(one.name) not in BASES:
                return Unknown()
        return None

    def defined(self, name: str) -> Bound | None:
        """The same, if what is elsewhere had no say."""
        return next((one.names[name] for one in self.own if name in one.names), None)

    def has_written(self, value: ast.expr) -> bool:
        """Whether this very expression stands in its body, so that no other name is bound to it."""
        statements = [statement for one in self.own for statement in one.node.body]
        return any(getattr(statement, "value", None) is value for statement in statements)

    def attribute(self, name: str) -> Bound:
        """What `Class.name` is."""
        if self.is_changed(name):
            return Unknown()
        if self.is_enumeration():
            kind = next((MEMBERS[one.name] for one in self.foreign() if one.name in MEMBERS), None)
            found = self.value_of_member(name)
            is_itself = isinstance(found, Known) and type(found.value) is kind
            return found if is_itself and len(self.line) <= 2 else Unknown()
        return self.find(name) or Unknown()

    def is_enumeration(self) -> bool:
        """Whether its attributes are members."""
        return any(one.name.startswith("enum.") for one in self.foreign())

    def value_of_member(self, name: str) -> Bound:
        """What `Class.name.value` is, of an enumeration."""
        is_own = any(isinstance(one, Function) for one in self.names.values())
        found = self.names.get(name)
        if is_own or self.is_changed(name) or not isinstance(found, Known):
            return Unknown()
        return found

    def is_changed(self, name: str) -> bool:
        """Whether this attribute of it, or of what it inherits, may be set from outside."""
        found = set[str]().union(*(one.changed | one._shaken for one in self.own))  # noqa: SLF001
        return not found.isdisjoint((name, ALL))

    def is_open(self) -> bool:
        """Whether something from elsewhere has a say in which fields it has."""
        decorators = {name for one in self.own for name in one.decorators}
        is_plain = all(one.is_plain for one in self.own)
        bases = {short(one.name) for one in self.foreign()}
        return not (is_plain and bases <= BASES and decorators <= DECORATORS)

    def foreign(self) -> list[Foreign]:
        """What it inherits from elsewhere."""
        return [one for one in self.line if isinstance(one, Foreign)]

    def is_a(self, name: str) -> bool:
        """Whether it inherits from something of ours or Python's of that name."""
        return any(short(one.name) == name for one in self.foreign())


Bound: TypeAlias = Known | Unknown | Function | Foreign | Ours | Class


def short(full: str) -> str:
    """The own name of something of Python's or of ours; anything else's full one."""
    module, _, last = full.rpartition(".")
    return last if module.partition(".")[0] in KNOWN_MODULES else full


def _merged(bases: Sequence[Bound]) -> list[Class | Foreign]:
    """The order of resolution of a class with these bases (C3, as `type.mro` describes it)."""
    known = [one if isinstance(one, Class | Foreign) else Foreign("?") for one in bases]
    lines = [one.line[:] if isinstance(one, Class) else [one] for one in known] + [[*known]]
    merged: list[Class | Foreign] = []
    while lines := [line for line in lines if line]:
        tails = [one for line in lines for one in line[1:]]
        first = next((line[0] for line in lines if line[0] not in tails), lines[0][0])
        merged.append(first)
        for line in lines:
            if line[0] == first:
                del line[0]
    return merged
