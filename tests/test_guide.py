"""Every block of the README and of the guide does what it says, in the order of its page."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from prokerja import settings as settings_module
from prokerja.sizes import size
from prokerja.times import duration
from tests.documents import PAGES, Block, blocks, section, table
from tests.harness.home import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

STAND_INS = Path(__file__).with_name("stand_ins")
RUN_BY_CI = "make "
"""Blocks that begin so are what CI runs; in a test they would run that test."""
INTO_FILES = ("python", "ini", "toml")
SHOWN_ONLY = ("mermaid", "crontab", "php", "js", "go")
END = "the end of a command"
INSTEAD = "Instead of what you use now"


class Reader:
    """Somebody who follows a page at one shell, from an empty directory and an empty home."""

    def __init__(self, path: Path) -> None:
        self.home = path / "home"
        self.here = path / "here"
        for directory in (self.home, self.here):
            directory.mkdir()
        kept = {key: v for key, v in os.environ.items() if not key.startswith(("PROKERJA", "XDG"))}
        places = [os.path.dirname(PROGRAM), str(STAND_INS), os.environ.get("PATH", "")]
        self._shell = subprocess.Popen(
            ["sh", "-eu"],
            cwd=self.here,
            env={**kept, "HOME": str(self.home), "PATH": os.pathsep.join(places)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def follow(self, block: Block) -> None:
        """Do what a block asks for; fails unless it succeeds and prints what it shows."""
        if block.kind in INTO_FILES:
            file = self.here / block.file.replace("~", str(self.home))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.kind == "sh":
            self._run(block.text)
        elif block.kind == "sql":
            self._run(f"sqlite3 -bail queue.sqlite3 <<'SQL'\n{block.text}SQL")
        elif block.kind == "console":
            for command, shown in block.commands():
                assert_shown(self._run(f"{{ {command}\n}} || true"), shown, command)
        else:
            assert block.kind in SHOWN_ONLY, block

    def close(self) -> None:
        """End the shell and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()

    def _run(self, script: str) -> str:
        """What a script prints; a shell that leaves because one failed ends the test."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{{ {script}\n}} </dev/null\necho {END}\n")
        self._shell.stdin.flush()
        printed = ""
        while not printed.endswith(f"{END}\n"):
            line = self._shell.stdout.readline()
            assert line, f"{script} failed: {printed}"
            printed += line
        return printed.removesuffix(f"{END}\n")


def assert_shown(printed: str, shown: str, command: str) -> None:
    """What a command printed is what its page shows, where `...` stands for any text of a line."""
    pattern = re.escape(shown).replace(re.escape("..."), ".*")
    assert re.fullmatch(pattern, printed), f"{command} printed {printed!r}, not {shown!r}"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.close()


@pytest.mark.parametrize("name", [name for name in PAGES if blocks(PAGES[name])])
def test_a_page_can_be_followed_from_its_first_block_to_its_last(reader: Reader, name: str) -> None:
    for block in blocks(PAGES[name]):
        if not block.text.startswith(RUN_BY_CI):
            reader.follow(block)


def test_what_to_write_instead_of_other_programs_runs_and_completes(reader: Reader) -> None:
    rows = re.findall(r"^\| .* \| `(prokerja .*)`", section(PAGES["shell"], INSTEAD), re.MULTILINE)
    rows += re.findall(r"`(printf .*declare:.*)`", section(PAGES["shell"], INSTEAD))
    rows += re.findall(r"\| `0 3 \* \* \* (prokerja .*)`", section(PAGES["shell"], INSTEAD))
    written = [row.replace("\\|", "|").partition("`")[0] for row in rows]
    assert len(written) == 7
    reader.follow(Block("sh", "mkdir bin files; export PATH=$PWD/bin:$PATH; cd files\n"))
    for stub in ("make", "backup"):
        reader.follow(Block("sh", f"ln -s /bin/true ../bin/{stub}\n"))
    for command in written:
        reader.follow(Block("sh", "rm -f *; echo 1 > one; echo 2 > 'two words'; seq 5 > five\n"))
        values = "printf '%s\\0' * | " if command.endswith("--each {} -- gzip {}") else ""
        reader.follow(Block("sh", f"{values}{command}\n"))
        reader.follow(Block("sh", "prokerja realization:start --until-empty 2>&1\n"))
        if "gzip" in command:
            reader.follow(Block("console", "$ ls\nfive.gz\none.gz\ntwo words.gz\n"))
    reader.follow(
        Block("console", "$ prokerja report\n...\npending: 1\n...\ncompleted: ...\nfailed: 0\n")
    )


def test_a_block_that_fails_or_shows_something_else_is_found(reader: Reader) -> None:
    reader.follow(Block("sh", "export WORD=four\n"))
    reader.follow(Block("console", "$ echo $WORD five\nfour ...\n$ false\n"))
    with pytest.raises(AssertionError, match="printed 'four"):
        reader.follow(Block("console", "$ echo $WORD\nfive\n"))
    with pytest.raises(AssertionError, match="failed: cat: nowhere"):
        reader.follow(Block("sh", "cat nowhere\ntrue\n"))


def test_every_block_has_a_language_and_every_page_is_ascii() -> None:
    for name, text in PAGES.items():
        assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(blocks(text)), name
        assert text.isascii(), name


def test_pages_name_pages_that_are_there() -> None:
    for name, text in PAGES.items():
        for topic in re.findall(r"`prokerja help ([a-z]+)`", text):
            assert topic in PAGES, name


def test_the_package_brings_the_guide_along(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, root],
        check=True, timeout=100,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"prokerja/guide/{topic}.md" for topic in PAGES if topic != "README"} <= set(names)


# Settings and files


def test_the_settings_page_lists_every_setting_with_its_default() -> None:
    known = {f"PROKERJA_{key.upper()}": f"`{key}`" for key in settings_module.KEYS}
    rows = table(PAGES["settings"])
    assert {name: cells[0] for name, cells in rows.items() if name in known} == known
    [default] = re.findall(r'`"(\w+)"`', rows["PROKERJA_KEEP_OUTPUT"][1])
    assert size(default, "") == settings_module.settings().keep_output
    for key in ("keep_completed", "keep_failed"):
        [default] = re.findall(r'`"(\w+)"`', rows[f"PROKERJA_{key.upper()}"][1])
        assert duration(default) == getattr(settings_module.settings(), key)


def test_the_places_of_files_are_those_that_the_system_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    rows = table(PAGES["files"])
    for column, system in enumerate((Unix, MacOS)):
        dirs = system("prokerja", appauthor=False)
        data, config = (
            path.replace("/home/somebody", "~")
            for path in (dirs.user_data_dir, dirs.user_config_dir)
        )
        assert rows["the queue"][column].strip("` ") == f"{data}/prokerja.sqlite3"
        assert rows["settings"][column].strip("` ") == f"{config}/prokerja.toml"
        assert rows["jobs"][column].strip("` ") == f"{config}/jobs/"
