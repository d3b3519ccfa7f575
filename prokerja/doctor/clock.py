"""Whether the clock may be right."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import prokerja
from prokerja.model.check import failed, ok, warning
from prokerja.model.record import Filter
from prokerja.times import human, iso

if TYPE_CHECKING:
    from prokerja.model.check import Check
    from prokerja.repository.verbs import Repository

SLACK_SECONDS = 60.0
"""By which clocks may be put right without a word."""
DAY_SECONDS = 86400.0
SET_IT = "set it, and keep it with `timedatectl set-ntp true` or an NTP client"


def check_clock(now: float, store: Repository | None = None) -> Check:
    """Compare the clock with when this program was installed, and with what a store remembers."""
    installed = os.stat(prokerja.__file__).st_mtime
    if now < installed - DAY_SECONDS:
        what = f"it says {iso(now)}, but this program was installed on {iso(installed)[:10]}"
        return failed("clock", what, SET_IT)
    newest = now if store is None else _newest(store)
    if newest > now + SLACK_SECONDS:
        what = f"it says {iso(now)}, and the queue has met a time {human(newest - now)} ahead"
        return warning("clock", what, f"if it is wrong now, {SET_IT}; if it was then, wait")
    return ok("clock", iso(now))


def _newest(store: Repository) -> float:
    """The latest moment at which anything is known to have happened."""
    moments = [worker.started_at for worker in store.workers()]
    for record in store.newest(Filter(), 1):
        ends = (record.declared_at, record.started_at, record.finished_at)
        moments += [moment for moment in ends if moment is not None]
    return max(moments, default=0.0)
