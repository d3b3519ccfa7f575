"""The machine's shape, without which a figure says little."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from datetime import datetime
from typing import Any

import psutil

from tests.bench.figures import percentile

PAGE = b"\0" * 4096
SYNCS = 300


def shape(directory: str) -> dict[str, Any]:
    """What the run took place on; the disk is the one that holds `directory`."""
    p50, p99 = fsync_latency(directory)
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fdatasync_us_p50": round(p50, 1),
        "fdatasync_us_p99": round(p99, 1),
        "load_average": round(os.getloadavg()[0], 2),
    }


def fsync_latency(directory: str) -> tuple[float, float]:
    """Microseconds that putting one more page on the disk takes: p50 and p99 of SYNCS pages."""
    sync = getattr(os, "fdatasync", os.fsync)
    path = os.path.join(directory, "fsync")
    samples = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(SYNCS):
            os.write(descriptor, PAGE)
            began = time.perf_counter_ns()
            sync(descriptor)
            samples.append((time.perf_counter_ns() - began) / 1e3)
    finally:
        os.close(descriptor)
        os.unlink(path)
    return percentile(samples, 0.5), percentile(samples, 0.99)


def processor() -> str:
    """The processor as it calls itself."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
