"""`python -m tests.crash [--only NAME...] [--seed N] [--short]`."""

from __future__ import annotations

import argparse
import random
import sys

from tests.crash.ledger import Broken, Ledger
from tests.crash.proofs import PROOFS


def main() -> int:
    """Run the proofs that were asked for; 1 on the first broken promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PROOFS, default=list(PROOFS), metavar="NAME",
                        help=f"some of {', '.join(PROOFS)}")  # fmt: skip
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes")
    given = parser.parse_args()
    return max((run(name, given.seed, short=given.short) for name in given.only), default=0)


def run(name: str, seed: int, *, short: bool) -> int:
    """One proof and its ledger."""
    ledger = Ledger()
    print(f"{name}: {PROOFS[name].promise} (seed {seed})", flush=True)
    broken: Broken | None = None
    try:
        PROOFS[name].prove(seed, ledger, short=short)
    except Broken as error:
        broken = error
    print(*ledger.lines(), sep="\n", flush=True)
    if broken is None:
        return 0
    again = f"python -m tests.crash --only {name} --seed {seed}{' --short' if short else ''}"
    print(f"BROKEN: {broken}\nAgain: {again}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
