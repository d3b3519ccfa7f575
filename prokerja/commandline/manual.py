"""The man page, from what `--help` shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prokerja.commandline import Argument, parameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prokerja.commandline import Command, Parameter

SIGNS = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "^": r"\(ha", "~": r"\(ti"}
"""What roff would make something else of."""
CODE = re.compile(r"`([^`]+)`")
FILES = {
    "~/.local/share/prokerja/prokerja.sqlite3": "The queue, where neither --db nor PROKERJA_DB"
    " names another; `prokerja help files` tells of the files beside it.",
    "~/.config/prokerja/prokerja.toml": "Settings; `prokerja help settings` lists them.",
}


def manual(
    commands: Mapping[str, Command], common: Sequence[str], codes: Mapping[int, str], version: str
) -> str:
    """The whole page in roff; `common` are the parameters to explain once, for all commands."""
    return "\n".join(_lines(commands, common, codes, version)) + "\n"


def _lines(
    commands: Mapping[str, Command], common: Sequence[str], codes: Mapping[int, str], version: str
) -> Iterator[str]:
    yield f'.TH PROKERJA 1 "" "prokerja {version}" "User Commands"'
    yield from (".SH NAME", r"prokerja \- a declaration-first job queue over one SQLite file")
    yield from (".SH SYNOPSIS", r".B prokerja", r"\fICOMMAND\fR [\fIoptions\fR] [\fIarguments\fR]")
    yield from (".SH DESCRIPTION", _text("To declare is to enqueue, to realize is to run."))
    yield _text("`prokerja help` lists the pages of the guide, which say more than this page.")
    yield ".SH COMMANDS"
    seen: dict[str, Parameter] = {}
    for name, command in commands.items():
        takes = parameters(command)
        seen |= {one.name: one for one in takes if one.name in common}
        yield from _command(name, command, [one for one in takes if one.name not in common])
    yield ".SH COMMON OPTIONS"
    yield from _options(seen.values())
    yield ".SH EXIT STATUS"
    for code, meaning in codes.items():
        yield from (".TP", rf"\fB{code}\fR", _text(meaning))
    yield ".SH FILES"
    for path, meaning in FILES.items():
        yield from (".TP", rf"\fI{_escaped(path)}\fR", _text(meaning))


def _command(name: str, command: Command, takes: Sequence[Parameter]) -> Iterator[str]:
    arguments = [one.marker.metavar for one in takes if isinstance(one.marker, Argument)]
    yield f".SS {_escaped(' '.join([name, *arguments]))}"
    paragraphs = [" ".join(part.split()) for part in (command.__doc__ or "").split("\n\n")]
    yield "\n.PP\n".join(map(_text, paragraphs))
    yield from _options(takes)


def _options(takes: Iterable[Parameter]) -> Iterator[str]:
    for one in takes:
        flags = ", ".join(rf"\fB{_escaped(flag)}\fR" for flag in one.flags)
        value = rf"\fI{_escaped(one.marker.metavar)}\fR" if one.marker.metavar else ""
        yield from (".TP", f"{flags} {value}".strip() or one.name, _text(one.marker.help))


def _text(line: str) -> str:
    return CODE.sub(r"\\fB\1\\fR", _escaped(line))


def _escaped(text: str) -> str:
    """Text that roff takes for text."""
    safe = "".join(SIGNS.get(sign, sign) for sign in text)
    return rf"\&{safe}" if safe.startswith(".") else safe
