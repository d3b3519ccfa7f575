"""`report --prometheus` and `--textfile`: metrics for systems that watch others."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from tests.harness.home import Home


def samples(text: str) -> dict[str, float]:
    """Each value, by its name and the values of its labels in the order of their names."""
    return {
        " ".join(
            [sample.name, *(sample.labels[key] for key in sorted(sample.labels))]
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_say_what_the_report_says_and_more(shell: Home) -> None:
    shell.declare("noop")
    shell("declare:shell", "--retries", 1, "--retry-after", 0, "false")
    shell.work()
    shell("declare:shell", "--queue", 'odd "q" \\', "--at", "2020-01-01", "true")
    shell.worker("--queue", "none").ready()
    told = shell("report", "--prometheus")
    assert (told.code, told.err) == (0, "")
    found = samples(told.out)
    for status, count in zip(
        ("pending", "processing", "completed", "failed"), shell.report(), strict=True
    ):
        of_all = [v for k, v in found.items() if k.startswith("prokerja_jobs ") and status in k]
        assert sum(of_all) == count
    assert found['prokerja_jobs odd "q" \\ pending'] == 1
    assert found['prokerja_oldest_due_seconds odd "q" \\'] >= 0
    assert found["prokerja_oldest_due_seconds default"] == 0
    assert found["prokerja_attempts_total noop completed default"] == 1
    assert found["prokerja_attempts_total shell failed default"] == 2
    assert found["prokerja_attempts_total shell completed default"] == 0
    assert found["prokerja_attempt_duration_seconds_count shell default"] == 2
    assert found["prokerja_attempt_duration_seconds_bucket shell +Inf default"] == 2
    assert found["prokerja_attempt_duration_seconds_sum shell default"] > 0
    assert (found["prokerja_workers"], found["prokerja_realizers"]) == (1, 1)
    assert found["prokerja_store_bytes"] == shell.db.stat().st_size
    assert found["prokerja_log_bytes"] >= 0


def test_counters_never_go_back(shell: Home) -> None:
    shell.declare("noop")
    shell.work()
    before = samples(shell("report", "--prometheus").out)
    assert shell("purge", "--yes").out == "1\n"
    after = samples(shell("report", "--prometheus").out)
    assert after["prokerja_jobs default completed"] == 0
    kept = {key for key in before if "attempt" in key}
    assert kept
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}


def test_metrics_may_be_of_one_queue(shell: Home) -> None:
    shell.declare("noop", "--queue", "one")
    shell.declare("noop", "--queue", "two")
    found = samples(shell("report", "--prometheus", "--queue", "two").out)
    assert "prokerja_jobs two pending" in found
    assert "prokerja_jobs one pending" not in found


def test_a_textfile_is_there_whole_and_others_may_read_it(shell: Home) -> None:
    shell.declare("noop")
    target = shell.path / "prokerja.prom"
    target.write_text("old")
    assert shell("report", "--textfile", target.name) == (0, "", "")
    assert samples(target.read_text())["prokerja_jobs default pending"] == 1
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert [path.name for path in shell.path.glob("prokerja.prom*")] == ["prokerja.prom"]


def test_a_textfile_replaces_no_device_no_directory_and_no_link(shell: Home) -> None:
    shell.declare("noop")
    pipe, link, target = (shell.path / name for name in ("pipe", "link", "target"))
    os.mkfifo(pipe)
    target.touch()
    link.symlink_to(target)
    for what in (pipe, shell.jobs):
        told = shell("report", "--textfile", what)
        assert (told.code, told.out) == (2, "")
        assert told.err == f"prokerja: --textfile: {what} is not a file; name one\n"
    assert pipe.is_fifo()
    assert shell("report", "--textfile", link).code == 0
    assert link.is_symlink()
    assert "prokerja_jobs" in target.read_text()


def test_a_textfile_that_cannot_be_written_is_named(shell: Home) -> None:
    shell.declare("noop")
    told = shell("report", "--textfile", "/nowhere/at/all.prom")
    assert (told.code, told.out) == (1, "")
    assert told.err == (
        "prokerja: No such file or directory (/nowhere/at/all.prom);"
        " check the disk and the output\n"
    )


def test_without_the_extra_it_says_what_to_install(shell: Home) -> None:
    shell.declare("noop")
    script = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "sys.argv[1:] = ['report', '--prometheus']\n"
        "from prokerja.cli import main; main()"
    )
    told = shell.execute([sys.executable, "-c", script])
    assert (told.code, told.out) == (1, "")
    assert told.err == (
        "prokerja: --prometheus needs prometheus-client: pip install 'prokerja[metrics]'\n"
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
