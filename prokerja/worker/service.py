"""What a worker is told about living beside others on its machine, for months."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypedDict

from prokerja.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Callable

FREE_BYTES, FREE_SHARE = 64 * 2**20, 0.05
"""What of a disk is to stay free unless the options say otherwise: the less of these, the second
being a share of its size."""
MAX_CONCURRENCY = 10_000
"""Jobs in flight in one realizer."""


class Service(NamedTuple):
    """Settled before a worker starts; durations in seconds, sizes in bytes."""

    memory_limit: int | None = None
    """A realizer that is larger before a job is replaced; None for no limit."""
    memory_free: int = 0
    """No job is taken while less than this is free."""
    memory_learn: bool = False
    """Whether a job is taken only where as much is free as its kind has really used."""
    disk_free: int | None = None
    """No job is taken while less than this is free where the file is; None for the usual."""
    watch: bool = True
    """Whether realizers are replaced when the code changes that they have loaded."""
    max_time: float | None = None
    """It finishes what runs, and leaves, after so long; None for never."""
    idle_exit: float | None = None
    """It leaves once nothing has been due or running for so long; None for never."""
    realizer_jobs: int | None = None
    """A realizer is replaced after so many jobs; None for never."""
    nice: int = 0
    """What is added to the niceness of realizers."""
    jitter: float = 0.0
    """It starts after a random part of this."""
    sleep_jitter: float = 0.0
    """Where the file cannot be watched, a random part of this is added to each sleep."""
    concurrency: int = 1
    """How many async jobs one realizer has in flight."""
    titles: bool = False
    """Whether its processes, this one included, tell in their titles what they do."""
    systemd: bool = False
    """Whether it is the main process of a service, and tells systemd how it is doing."""


class ServiceTerms(TypedDict, total=False):
    """The same, as keywords of `Worker`."""

    memory_limit: int | None
    memory_free: int
    memory_learn: bool
    disk_free: int | None
    watch: bool
    max_time: float | None
    idle_exit: float | None
    realizer_jobs: int | None
    nice: int
    jitter: float
    sleep_jitter: float
    concurrency: int
    titles: bool
    systemd: bool


def disk_floor(size: int, asked: int | None = None) -> int:
    """How many bytes of a disk of that size are to stay free."""
    return min(FREE_BYTES, int(size * FREE_SHARE)) if asked is None else asked


AT_LEAST: dict[str, float] = {
    "memory_limit": 1, "memory_free": 0, "disk_free": 0, "max_time": 0, "idle_exit": 0,
    "realizer_jobs": 1, "nice": -20, "jitter": 0, "sleep_jitter": 0, "concurrency": 1,
}  # fmt: skip
AT_MOST: dict[str, float] = {"nice": 19, "concurrency": MAX_CONCURRENCY}


def service_of(terms: ServiceTerms, spelled: Callable[[str], str] = str) -> Service:
    """What was asked for; raises BadOption for what cannot be, with the option as `spelled`."""
    for name, value in terms.items():
        if name not in Service._fields:
            raise BadOption(f"{spelled(name)}: there is no such option; there are {_known()}")
        least, most = AT_LEAST.get(name), AT_MOST.get(name)
        if value is None or least is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadOption(f"{spelled(name)}: {value!r} is not a number; give one")
        if value < least or (most is not None and value > most):
            range = f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
            raise BadOption(f"{spelled(name)}: {value} is out of range; give {range}")
    service = Service(**terms)
    if service.nice < 0 and not _may_be(service.nice):
        raise BadOption(f"{spelled('nice')}: {service.nice} is not allowed here; give 0 or more")
    return service


def _may_be(nice: int) -> bool:
    """Whether this process may have so much less niceness, which it has for a moment then."""
    import os

    now = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, now + nice)
    except OSError:
        return False
    os.setpriority(os.PRIO_PROCESS, 0, now)
    return True


def _known() -> str:
    return ", ".join(Service._fields)
