"""Job files that take for ever to import, or end the process: they are named."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from tests.harness.home import Home

HURRIED = """
import sys
from prokerja.worker.pool import process
process.MAX_LOADING_SECONDS = 0.5
from prokerja import Queue, Worker
from prokerja.errors import CatalogError
try:
    Worker(Queue(sys.argv[1]), sys.argv[2], until_empty=True).run()
except CatalogError as error:
    print(error)
"""
"""A worker that has less patience."""


def test_a_file_that_hangs_at_import_is_named_after_a_while(home: Home) -> None:
    home.write("hang.py", "import time\nwhile True: time.sleep(1)\n")
    told = home.python(HURRIED, home.db, home.jobs).communicate(timeout=30)[0]
    assert told == (
        f"no realizer can load the jobs: {home.jobs}/hang.py: importing took longer than 0.5 s;"
        " `prokerja jobs --load` tells more\n"
    )


@pytest.mark.parametrize("how", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_file_that_ends_the_process_at_import_is_named(home: Home, how: str) -> None:
    home.write("z.py", f"import os\n{how}\n")
    worker = home.worker()
    assert worker.end() == 1  # systemd is to try again
    assert f"{home.jobs}/z.py" in worker.said()


def test_a_job_whose_worker_still_loads_waits_for_that(home: Home) -> None:
    home.write("slow.py", "from jobs.run import wait_for\nwait_for('gate')\n")
    worker = home.worker()
    id = home.run("pass")
    wait_until(lambda: "has loaded no jobs" in home.job(id)["why_not_running"])
    home.open("gate")
    home.wait(id)
    worker.send(signal.SIGTERM)
    assert worker.end() == 0


def test_a_worker_that_still_loads_is_ended_at_once(home: Home) -> None:
    home.write("hang.py", "import time\nwhile True: time.sleep(1)\n")
    worker = home.worker()
    wait_until(worker.realizers)
    worker.send(signal.SIGTERM)
    assert worker.end() in (0, -signal.SIGTERM)
