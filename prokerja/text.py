"""Text made safe: for one line of a message, for a terminal, for UTF-8."""

from __future__ import annotations


def quoted(text: str, width: int = 60) -> str:
    """Someone's text made fit for one line: quoted, escaped, shortened."""
    cut = text if len(text) <= width else text[: width - 1] + "\u2026"
    return ascii(cut) if any(0xD800 <= ord(c) <= 0xDFFF for c in cut) else repr(cut)


def escaped(text: str) -> str:
    """Text that moves no cursor and breaks no line: what cannot be printed is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def utf8(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
