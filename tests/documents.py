"""The README and the pages of the guide, as tests read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from prokerja.commands.help import page, topics

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README": README, **{topic: page(topic) for topic in topics()}}


class Block(NamedTuple):
    """A fenced block."""

    kind: str
    text: str

    @property
    def file(self) -> str:
        """Where it belongs, as its first line says."""
        name = re.match(r"# (\S+)\n", self.text)
        assert name is not None, self.text
        return name[1]

    def commands(self) -> list[tuple[str, str]]:
        """The commands of a transcript, each with what it prints."""
        pairs = [
            part.partition("\n") for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        ]
        return [(command, shown) for command, _, shown in pairs]


def blocks(text: str, kind: str = r"\w+") -> list[Block]:
    """The fenced blocks of a document, or those of one kind."""
    found = re.findall(rf"^```({kind})\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(*pair) for pair in found]


def section(text: str, title: str) -> str:
    """A section's text."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(text: str) -> dict[str, list[str]]:
    """The cells of a text's tables, by those of the first column."""
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line[:1] == "|"]
    return {first.strip(" `"): [cell.strip() for cell in rest] for first, *rest in rows}
