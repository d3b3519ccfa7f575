"""`prokerja help`: the pages of the guide."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from prokerja.commandline import Argument, Option
from prokerja.commands import COMMANDS, EXIT_CODES, PLACE, load
from prokerja.console import on_terminal
from prokerja.errors import RequestError
from prokerja.text import quoted

GUIDE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "guide")


def run(
    *,
    topic: Annotated[str, Argument("A page of the guide.", "[TOPIC]")] = "",
    man: Annotated[bool, Option("Print the man page instead, for `man -l -`.")] = False,
) -> None:
    """Show a page of the guide, or list them.

    Example: prokerja help shell
    """
    if man:
        print(_manual(), end="")
        return
    if not topic:
        print("`prokerja COMMAND --help` explains a command. The pages of the guide:\n")
        for name in topics():
            print(f"  {name:<14} {summary(name)}")
        return
    if topic not in topics():
        raise RequestError(_unknown(topic))
    text = page(topic)
    if on_terminal():
        _show(text)
    else:
        print(text, end="")


def _manual() -> str:
    from importlib.metadata import version

    from prokerja.commandline.manual import manual

    common = [*(one.name for one in PLACE), "json"]
    return manual({name: load(name) for name in COMMANDS}, common, EXIT_CODES, version("prokerja"))


def topics() -> list[str]:
    """The names of the pages, in order."""
    return sorted(name[:-3] for name in os.listdir(GUIDE) if name.endswith(".md"))


def page(topic: str) -> str:
    """A page's text."""
    return Path(GUIDE, f"{topic}.md").read_text(encoding="utf-8")


def summary(topic: str) -> str:
    """A page's first sentence."""
    return page(topic).split("\n\n")[1]


def _show(text: str) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def _unknown(topic: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(topic, topics(), n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(topics())}"
    return f"there is no page {quoted(topic)}; {hint}"
