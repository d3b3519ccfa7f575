"""Text made safe: for one line of a message, for a terminal, for UTF-8; and read as JSON."""

from __future__ import annotations

from typing import Any

MAX_BRIEF_CHARACTERS = 80
MAX_ERROR_CHARACTERS = 300


def quoted(text: str, width: int = 60) -> str:
    """Someone's text made fit for one line: quoted, escaped, shortened."""
    cut = text if len(text) <= width else text[: width - 1] + "\u2026"
    return ascii(cut) if any(0xD800 <= ord(c) <= 0xDFFF for c in cut) else repr(cut)


def escaped(text: str) -> str:
    """Text that moves no cursor and breaks no line: what cannot be printed is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def brief(text: str, longest: int = MAX_BRIEF_CHARACTERS) -> str:
    """Escaped text of at most `longest` characters: what is too long loses its end."""
    line = escaped(text[: longest + 1])
    return line if len(line) <= longest else line[: longest - 3] + "..."


def error_line(error: BaseException) -> str:
    """What somebody's code has raised, as one line of at most 300 characters."""
    name = type(error).__name__
    try:
        first, _, _ = str(error).partition("\n")
    except BaseException:  # noqa: BLE001  it is theirs
        return brief(f"{name}, whose text cannot be shown")
    return brief(f"{name}: {first}", MAX_ERROR_CHARACTERS)


def shortened(text: str, longest: int) -> str:
    """Text of at most `longest` characters: what is too long loses its middle."""
    half = longest // 2 - 1
    return text if len(text) <= longest else f"{text[:half]}\u2026{text[-half:]}"


def shown(value: Any) -> str:
    """A value as messages show it: one readable line, never a long one."""
    if isinstance(value, dict):
        return "an object" if value else "{}"
    if isinstance(value, list | tuple):
        return "an array" if value else "[]"
    if value is not None and not isinstance(value, str | int | float):
        return f"a {brief(type(value).__name__)}"
    try:
        return brief(repr(value))
    except ValueError:  # an integer with more digits than Python prints
        return "a huge number"


def utf8(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def loaded(text: str) -> Any:
    """The JSON value of a stored text; the text itself where it cannot be read as such."""
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
