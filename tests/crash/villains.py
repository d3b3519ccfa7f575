"""Hostile realizers: whatever a job does to its supervisor, the supervisor goes on."""

from __future__ import annotations

import random
import subprocess
from contextlib import closing

from prokerja.queue import Queue
from tests.crash.book import read
from tests.crash.jobs.mark import Mark
from tests.crash.jobs.villain import ATTACKS, Villain
from tests.crash.ledger import Broken, Ledger
from tests.crash.site import Site

FULL, SHORT = 20, 1
"""How often each attack is tried."""
BETWEEN = 5
"""Honest jobs between two attacks."""
REALIZERS = 2
HANGS, FOR_EACH = 30.0, 10.0
"""Seconds after which the supervisor hangs, and for each attack: some are noticed by silence."""


def prove(seed: int, ledger: Ledger, *, short: bool) -> None:
    """Each attack by itself, so that a supervisor that falls names who felled it.

    Several at once can lie so well that a job seems to run for ever; that is what a time limit
    is for, as with any job that does not end.
    """
    faults = []
    for how in ATTACKS:
        fault = attacked([how], seed, FULL if not short else SHORT, ledger)
        faults += [f"--- {how}: {fault}"] if fault else []
    if faults:
        raise Broken("\n".join(faults))


def attacked(hows: list[str], seed: int, rounds: int, ledger: Ledger) -> str:
    """Let one supervisor be attacked; returns what it did not stand, or nothing."""
    chance = random.Random(f"{seed} {hows}")
    with Site() as site:
        honest = 0
        with closing(Queue(site.db)) as queue:
            for number, how in enumerate(hows * rounds):
                queue.declare(Villain(how, chance.getrandbits(30) + number))
                queue.declare_many(Mark(n) for n in range(honest, honest + BETWEEN))
                honest += BETWEEN
        worker = site.start("realization:start", "--until-empty", "--realizers", str(REALIZERS))
        try:
            code = worker.wait(HANGS + FOR_EACH * len(hows) * rounds)
        except subprocess.TimeoutExpired:
            return f"the supervisor hangs, with {site.tally()}: {site.said()[-1500:]}"
        if code:
            return f"the supervisor left with {code}: {site.said()[-2500:]}"
        try:
            site.check()
        except Broken as broken:
            return str(broken)
        lost = set(range(honest)) - read(site.book).keys()
        ledger.count("attacks", len(hows) * rounds)
        ledger.count("honest jobs realized beside them", honest - len(lost))
        # A realizer may lie about the jobs that it holds itself, and about no others.
        ledger.count("honest jobs that a liar claimed to have done", len(lost))
        tally = site.tally()
        open_ = tally["pending"] + tally["processing"]
        return f"jobs are left over: {tally}" if open_ else ""
