"""Completion: which words are offered where, and that a real bash takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.harness.home import Home


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("prokerja declare:", ["declare:batch", "declare:job", "declare:shell"]),
        ("prokerja report:jobs --st", ["--status"]),
        ("prokerja report:jobs --status ", ["completed", "failed", "pending", "processing"]),
        ("prokerja report:jobs --status=f", ["--status=failed"]),
        ("prokerja report:jobs --queue ", ["default", "emails", "paused"]),
        ("prokerja queue:resume p", ["paused"]),
        ("prokerja report:jobs --label n", ["nightly"]),
        ("prokerja report:job ", ["1", "2"]),
        ("prokerja retry ", []),
        ("prokerja wait --timeout 5s ", ["1", "2"]),
        ("prokerja declare:job s", ["send"]),
        ("prokerja declare:job --priority 5 send su", ["subject="]),
        ("prokerja declare:shell --cw", ["--cwd"]),
        ("prokerja declare:shell rsync -", []),
        ("prokerja help sh", ["sharing", "shell"]),
        ("prokerja completion ", ["bash", "fish", "zsh"]),
        ("prokerja dance ", []),
    ],
)
def test_the_words_that_may_end_a_line_are_offered(
    shell: Home, line: str, words: list[str]
) -> None:
    shell.declare("noop", "--label", "nightly")
    shell.declare_job("noop", options={"queue": "emails"})
    shell.queue.pause_queue("paused")
    told = shell("completion", "--line", line)
    assert (told.code, told.lines, told.err) == (0, words, "")


def test_nothing_is_made_by_asking(shell: Home) -> None:
    assert shell("completion", "--line", "prokerja output ") == (0, "", "")
    assert not shell.db.exists()


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("prokerja declare:j", ["job"]),
        ("prokerja repo", ["report", "report:job", "report:jobs"]),
        ("prokerja report:jobs --status=fa", ["failed"]),
    ],
)
def test_bash_gets_what_it_takes_for_the_rest_of_a_word(
    shell: Home, line: str, reply: list[str]
) -> None:
    script = f"""
        eval "$(prokerja completion bash)"
        complete -p prokerja > /dev/null
        COMP_LINE='{line}' COMP_POINT={len(line)}
        _prokerja
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    told = shell.execute(["bash", "-c", script])
    assert (told.lines, told.err) == (reply, "")


def test_a_shell_that_is_not_known_is_named(shell: Home) -> None:
    told = shell("completion", "tcsh")
    assert (told.code, told.out) == (2, "")
    assert "'tcsh' is no shell of these; name bash, zsh or fish" in told.err
