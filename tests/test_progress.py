"""How far jobs have come, by their own word: in the file within a second, for whoever looks."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from prokerja import Job
from prokerja.console.bars import FULL
from tests.harness.terminal import Terminal, terminal
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home


def progress(home: Home, id: int) -> list[Any] | None:
    """Attempt, done, total and text."""
    found = home.job(id)["progress"]
    return None if found is None else [found[key] for key in ("attempt", "done", "total", "text")]


def test_the_last_word_is_in_the_file_within_a_second_though_silence_follows(home: Home) -> None:
    id = home.run(
        """
        for n in range(1000):
            self.progress(n, 2000, "pages")
        self.progress(1000, 2000, "half \u00f6")
        note(time.time())
        wait_for("gate")
        """
    )
    home.worker()
    [said] = wait_until(home.ledger)
    wait_until(lambda: progress(home, id) == [1, 1000, 2000, "half \u00f6"])
    assert time.time() - float(said) < 1.5, "with some patience for a machine that others use"
    home.open("gate")
    home.wait(id)
    assert progress(home, id) == [1, 1000, 2000, "half \u00f6"]


def test_words_that_follow_each_other_quickly_are_written_twice_a_second(home: Home) -> None:
    id = home.run(
        """
        while not os.path.exists(HOME + "/gate"):
            for n in range(1000): self.progress(n)
        """
    )
    home.worker()
    wait_until(lambda: progress(home, id))
    [before] = home.look("PRAGMA data_version")
    seen, end = set(), time.monotonic() + 2

    def over() -> bool:
        seen.update(home.look("PRAGMA data_version"))
        return time.monotonic() > end

    wait_until(over)
    assert 2 <= len(seen - {before}) <= 5
    home.open("gate")
    home.wait(id)


def test_every_job_keeps_its_last_word_however_short_it_is(home: Home) -> None:
    ids = home.run_each(f"self.progress({n}, 10); self.progress({n} + 1, 10)" for n in range(10))
    home.work("--realizers", "2")
    assert [progress(home, id) for id in ids] == [[1, n + 1, 10, ""] for n in range(10)]


def test_threads_of_a_job_tell_how_far_it_has_come(home: Home) -> None:
    id = home.run(
        """
        thread = threading.Thread(target=lambda: self.progress(7))
        thread.start()
        thread.join()
        """
    )
    home.work()
    assert progress(home, id) == [1, 7, None, ""]


def test_the_next_attempt_begins_with_nothing(home: Home) -> None:
    id = home.run(
        """
        if os.path.exists(HOME + "/gate"):
            wait_for("end")
        self.progress(3, 4)
        open(HOME + "/gate", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        retries=1,
        retry_after=0.5,
    )
    home.worker()
    wait_until(lambda: home.job(id)["attempts"] == 1)
    wait_until(lambda: home.running(id))
    assert progress(home, id) is None
    home.open("end")


GOOD = {
    "self.progress(0)": [1, 0, None, ""],
    "self.progress(0.5, 1)": [1, 0.5, 1, ""],
    "self.progress(3, 0, 'x')": [1, 3, 0, "x"],
    "self.progress(9, 3)": [1, 9, 3, ""],
    "self.progress(2**53, 2**53)": [1, 2**53, 2**53, ""],
    "from decimal import Decimal; self.progress(Decimal('1.5'))": [1, 1.5, None, ""],
    "self.progress(1, text='x' * 300)": [1, 1, None, "x" * 255],
    "self.progress(1, None, '\\ud800\\n')": [1, 1, None, "\\ud800\n"],
}
BAD = {
    "self.progress(-1)": "ValueError: progress: done is -1; give a number from 0 to 2**53",
    "self.progress(float('nan'))": "ValueError: progress: done is nan; give a number",
    "self.progress(1, float('inf'))": "ValueError: progress: total is inf; give a number",
    "self.progress('1')": "ValueError: progress: done is '1'; give a number from 0 to 2**53",
    "self.progress(None)": "ValueError: progress: done is None; give a number from 0 to 2**53",
    "self.progress(10**5000)": "ValueError: progress: done is a huge number; give a number",
    "self.progress(1, 2, 3)": "TypeError: progress: the text is 3; give a string",
}


def test_whatever_number_or_text_it_is(home: Home) -> None:
    ids = home.run_each(GOOD)
    home.work()
    assert [progress(home, id) for id in ids] == list(GOOD.values())
    for id in ids:
        assert home("report:job", id).code == 0


def test_what_cannot_be_meant_fails_the_attempt_and_says_why(home: Home) -> None:
    ids = home.run_each(BAD)
    home.work()
    for id, words in zip(ids, BAD.values(), strict=True):
        assert home.job(id)["error"].startswith(words)


def test_without_a_worker_there_is_no_progress_to_tell() -> None:
    with pytest.raises(RuntimeError, match="progress is there while a worker runs the job"):
        Job().progress(1)


def test_a_process_that_a_job_forks_cannot_tell(home: Home) -> None:
    id = home.run(
        """
        if not (pid := os.fork()):
            try:
                self.progress(1)
            except RuntimeError as error:
                note(error)
            os._exit(0)
        os.waitpid(pid, 0)
        """
    )
    home.work()
    assert home.ledger() == ["progress is for the job's own process, not for one that it starts"]
    assert progress(home, id) is None


def test_it_is_shown_by_lists_where_there_is_something_to_say(home: Home) -> None:
    home.run("pass")
    home.work()
    assert "progress" not in terminal(home, "report:jobs")[1]
    home.run("self.progress(340, 1000, 'pages')")
    home.work()
    _, text = terminal(home, "report:jobs")
    assert "progress" in text
    assert f"{2 * FULL}\u258a      340/1,000 (34%) pages" in text
    told = home.cli("report:job", 2)
    assert re.search(r"progress:    340/1,000 \(34%\) pages, [0-9.]+s ago\n", told)
    assert home.cli("report:jobs", "--columns", "id,progress") == "2\t340/1,000 (34%) pages\n1\t\n"
    assert len(home("report:jobs").cells[0]) == 8, "a pipe has the columns that it always had"
    [second, first] = json.loads(home.cli("report:jobs", "--json"))
    assert first["progress"] is None
    assert {key: second["progress"][key] for key in ("done", "total", "text", "attempt")} == {
        "done": 340, "total": 1000, "text": "pages", "attempt": 1,
    }  # fmt: skip


def test_a_screen_shows_it_as_a_bar(home: Home) -> None:
    home.run("self.progress(3, 4, 'pages'); wait_for('gate'); self.progress(9); wait_for('end')")
    home.worker()
    screen = Terminal(home, "report", "--watch")
    screen.expect(f"1  run  {9 * FULL}     3/4 (75%) pages")
    home.open("gate")
    screen.expect("1  run  9 ")
    screen.type("q")
    assert screen.end()[0] == 0
