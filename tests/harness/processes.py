"""Processes as the system lists them."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable


def gone(process: psutil.Process) -> bool:
    """Whether a process runs no more; one that nobody has reaped yet does not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def realizers(worker: int, *, reapers: bool = sys.platform == "linux") -> list[psutil.Process]:
    """The living realizers of a worker, each behind a reaper unless the system has none."""
    started = children(worker)
    if reapers:
        started = [child for reaper in started for child in children(reaper.pid)[:1]]
    return [child for child in started if not gone(child)]


def children(pid: int) -> list[psutil.Process]:
    """A process's children, the oldest first; none of one that is gone."""
    try:
        return sorted(psutil.Process(pid).children(), key=psutil.Process.create_time)
    except psutil.NoSuchProcess:
        return []


def kill(processes: Iterable[psutil.Process]) -> None:
    """End all of them, though the death of one may be the end of another."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def has_open(pid: int, kind: str) -> bool:
    """Whether a process has a descriptor of that kind open, such as inotify."""
    folder = f"/proc/{pid}/fd"
    links = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # it closes files while we look
            links.append(os.readlink(f"{folder}/{name}"))
    return any(kind in link for link in links)
