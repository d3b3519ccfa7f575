"""The README stays one page, and lists what there is."""

from __future__ import annotations

import re

import pytest

from prokerja import errors
from prokerja.commandline import parameters
from prokerja.commands import COMMANDS, load
from prokerja.commands.help import topics
from tests.documents import README, ROOT, blocks, section, table

NAMES = sorted(COMMANDS)


def test_it_opens_with_one_sentence_and_a_job_to_try() -> None:
    _, sentence, *_ = README.split("\n\n")
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    job, transcript, commands, targets = blocks(README)
    kinds = (job.kind, transcript.kind, commands.kind, targets.kind)
    assert kinds == ("sh", "console", "console", "sh")
    assert (len(transcript.commands()), len(commands.commands())) == (4, 2)
    assert [line.split("  ")[0] for line in targets.text.splitlines()] == [
        "make run",
        "make test",
    ]


def test_the_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("run", "test", "check", "help"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_contract_has_ten_lines() -> None:
    numbers = re.findall(r"^(\d+)\. .+\.$", section(README, "The contract"), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize("name", NAMES)
def test_the_table_lists_every_option_of_every_command(name: str) -> None:
    commands = section(README, "Commands")
    [(usage, cells)] = [
        (usage, cells) for usage, cells in table(commands).items() if usage.split()[0] == name
    ]
    flags = {flag for parameter in parameters(load(name)) for flag in parameter.flags}
    shared = {"--db", "--jobs", "--json"}
    assert set(re.findall(r"(?<![\w-])--?[\w-]+", cells[1])) == flags - shared
    assert all(flag in commands for flag in shared)
    assert usage == " ".join(
        [name, *(p.marker.metavar for p in parameters(load(name)) if not p.flags)]
    )


def test_the_tables_list_every_command_and_exit_code() -> None:
    rows = table(section(README, "Commands"))
    commands = [usage.split()[0] for usage in rows]
    assert [name for name in commands if name in COMMANDS] == list(COMMANDS)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert {str(getattr(kind, "exit_code", 0)) for kind in kinds} | {"0"} <= set(rows)


def test_it_names_every_page_of_the_guide() -> None:
    assert set(re.findall(r"`([a-z]+)`", section(README, "The guide"))) == set(topics())


def test_the_figures_have_their_place() -> None:
    assert len(table(section(README, "Measured"))) > 10


def test_it_speaks_of_nothing_but_the_project() -> None:
    for word in ("/work", "/root", "http://", "https://", "badge", "pypi"):
        assert word not in README.lower()
