"""The short form of every proof in `tests/crash`; the long one is `make crash`."""

from __future__ import annotations

import pytest

from tests.crash import clocks, powercut
from tests.crash.ledger import Broken, Ledger
from tests.crash.proofs import PROOFS
from tests.crash.shim import compiler

NEED_A_COMPILER = ("power-cut", "trouble", "soak")
ledgered = pytest.mark.parametrize("name", PROOFS)


@pytest.fixture
def seed() -> int:
    """The same each time, so that the suite tells of changes; `make crash` takes another."""
    return 7


@ledgered
def test_a_promise_holds(name: str, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    if name in NEED_A_COMPILER and compiler() is None:
        pytest.skip("no C compiler to make the recorder with")
    if name == "clocks" and clocks.library() is None:
        pytest.skip("no libfaketime to set a worker's clock with")
    ledger = Ledger()
    try:
        PROOFS[name].prove(seed, ledger, short=True)
    except Broken as broken:
        pytest.fail(f"seed {seed}: {broken}", pytrace=False)
    finally:
        print(f"seed {seed}", *ledger.lines(), sep="\n")


@pytest.mark.skipif(compiler() is None, reason="no C compiler to make the recorder with")
def test_the_power_cut_is_noticed_where_declares_are_not_synced(seed: int) -> None:
    with pytest.raises(Broken, match=r"acknowledged, but lost|damaged"):
        powercut.prove(seed, Ledger(), short=True, synchronous="OFF")
