"""Every proof, by the name it is called by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from tests.crash import (
    batches,
    clocks,
    contention,
    fuzz,
    hostile,
    powercut,
    signals,
    soak,
    storm,
    trouble,
    upgrade,
    villains,
)

if TYPE_CHECKING:
    from tests.crash.ledger import Ledger


class Prove(Protocol):
    """Breaks something and checks what is left; raises Broken."""

    def __call__(self, seed: int, ledger: Ledger, *, short: bool) -> None: ...


class Proof(NamedTuple):
    """One promise, and how it is put to the test."""

    promise: str
    prove: Prove


PROOFS: dict[str, Proof] = {
    "power-cut": Proof("what is acknowledged survives a power cut at any write", powercut.prove),
    "kill-storm": Proof("no job is lost or run by two living workers", storm.prove),
    "signals": Proof("no signal loses a job, nor runs one twice", signals.prove),
    "declarers": Proof("a batch is there as a whole, or not at all", batches.prove),
    "trouble": Proof("a disk that is full, fails or is slow loses nothing", trouble.prove),
    "hostile-files": Proof("no file brings a traceback or a hang", hostile.prove),
    "fuzz": Proof("no input brings a traceback", fuzz.prove),
    "villains": Proof("no realizer brings its supervisor down", villains.prove),
    "upgrades": Proof("every schema opens; old programs let go of newer ones", upgrade.prove),
    "soak": Proof("a week of everything at once leaves each job as it says it should", soak.prove),
    "clocks": Proof("a clock that is set loses no job and runs none before its time", clocks.prove),
    "contention": Proof("everybody at once meets no error", contention.prove),
}
