"""The command that a class or a declaration wants to be run when a job has failed for good."""

from __future__ import annotations

from typing import Any

from prokerja.errors import BadOption
from prokerja.text import shown

MAX_CHARACTERS = 10_000
"""Of a whole command."""
ALLOWED = "a command: a list of words, or a line"


def words_of(value: Any) -> Any:
    """A command as its words: a line is split as a shell does; what is none is left as it is."""
    if isinstance(value, str):
        from shlex import split

        try:
            return tuple(split(value))
        except ValueError:  # a quotation without an end
            return value
    return tuple(value) if isinstance(value, (list, tuple)) else value


def is_command(value: Any) -> bool:
    """Whether these are words that can be run, as `words_of` gives them."""
    return (
        isinstance(value, tuple)
        and all(isinstance(word, str) and _can_be_passed(word) for word in value)
        and bool(value and value[0])
        and sum(map(len, value)) <= MAX_CHARACTERS
    )


def _can_be_passed(word: str) -> bool:
    try:
        return b"\0" not in word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def checked_words(value: Any, what: str) -> tuple[str, ...]:
    """The words of a command; raises BadOption, naming `what`, for what is none."""
    words: tuple[str, ...] = words_of(value)
    if not is_command(words):
        raise BadOption(f"{what}: {shown(value)} does not fit; give {ALLOWED}")
    return words
