"""The guide from the command line, and what is said of words that are not commands."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from prokerja.commandline import parameters, parse
from prokerja.commandline.manual import SIGNS
from prokerja.commands import COMMANDS, load
from prokerja.commands.help import GUIDE, page, summary, topics
from prokerja.suggestions import SYNONYMS, UNAVAILABLE
from tests.harness.home import PROGRAM, Home

ROOT = Path(__file__).parents[1]


def test_help_lists_every_page_with_its_first_sentence(shell: Home) -> None:
    told = shell("help")
    assert (told.code, told.err) == (0, "")
    assert {"architecture", "changes", "contributing"} <= set(topics())
    for name in topics():
        assert re.search(rf"^  {name} +{re.escape(summary(name))}$", told.out, re.MULTILINE)
    assert not shell.db.exists()


@pytest.mark.parametrize("name", topics())
def test_a_page_is_shown_as_it_stands_in_a_pipe(shell: Home, name: str) -> None:
    assert shell("help", name) == (0, page(name), "")
    title, sentence, *rest = page(name).split("\n\n")
    assert title.startswith("# ")
    assert sentence.endswith(".")
    assert rest


def test_a_page_is_laid_out_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run([PROGRAM, "help", "contributing"], stdout=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 2**16)
    os.close(ours)
    assert done.returncode == 0
    assert b"Contributing" in shown
    assert b"# Contributing" not in shown


def test_the_man_page_says_of_every_command_what_its_help_says(shell: Home) -> None:
    told = shell("help", "--man")
    assert (told.code, told.err) == (0, "")
    sections = told.out.split("\n.SS ")
    assert [section.split()[0] for section in sections[1:]] == list(COMMANDS)
    plain = told.out
    for written, shown in (*((v, k) for k, v in SIGNS.items()), (r"\fB", ""), (r"\fR", "")):
        plain = plain.replace(written, shown)
    for name in COMMANDS:
        for parameter in parameters(load(name)):
            assert ", ".join(parameter.flags) in plain
            assert parameter.marker.help.replace("`", "") in plain
    requests = {line.split()[0] for line in told.out.splitlines() if line[0] in ".'"}
    assert requests <= {".TH", ".SH", ".SS", ".TP", ".PP", ".B"}, "nothing else begins with a dot"


def test_a_page_that_is_not_there_is_named(shell: Home) -> None:
    assert shell("help", "architekture") == (
        2, "", "prokerja: there is no page 'architekture'; did you mean architecture?\n",
    )  # fmt: skip
    assert shell("help", "zzz").err.startswith("prokerja: there is no page 'zzz'; there are arch")


def test_the_architecture_page_names_files_and_rooms_that_are_there() -> None:
    named = re.findall(r"`([a-z_/]+(?:\.py|/))`", page("architecture"))
    assert len(named) > 15
    package = Path(GUIDE).parent
    for name in named:
        assert (package / name).exists() or (ROOT / name).exists(), name


@pytest.mark.parametrize(
    ("word", "command"), [(word, command) for command in SYNONYMS for word in SYNONYMS[command]]
)
def test_another_word_for_a_command_is_understood(shell: Home, word: str, command: str) -> None:
    told = shell(word)
    assert (told.code, told.out) == (2, "")
    assert told.err.endswith(f"; did you mean `prokerja {command}`?\n")
    assert command in {*COMMANDS, "--version"}


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["reprot"], "did you mean `prokerja report`?"),
        (["Report"], "did you mean `prokerja report`?"),
        (["declare"], "did you mean `prokerja declare:job`?"),
        (["report", "job", "1"], None),
        (["declare", "job", "noop"], "did you mean `prokerja declare:job noop`?"),
        (["--db", "x", "report"], "--db goes after the command"),
        (["--json", "report"], "--json goes after the command"),
        (["--jobs=x", "report"], "--jobs goes after the command"),
        (["xyzzy"], "see `prokerja --help`"),
    ],
)
def test_a_command_line_that_is_nearly_right_is_corrected(
    shell: Home, words: list[str], hint: str | None
) -> None:
    told = shell(*words)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert told.err.endswith(f"; {hint or 'did you mean `prokerja report:job 1`?'}\n")


@pytest.mark.parametrize("word", UNAVAILABLE)
def test_what_no_command_does_is_said_with_what_to_do_instead(shell: Home, word: str) -> None:
    assert UNAVAILABLE[word] in shell(word).err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_that_can_be_read(name: str) -> None:
    *_, last = (load(name).__doc__ or "").strip().split("\n\n")
    words = shlex.split(last.strip().removeprefix("Example: "))
    assert words[:2] == ["prokerja", name]
    words = words[: words.index(">>")] if ">>" in words else words
    assert parse(load(name), words[2:]) is not None
