"""How long to wait after a failure: twice as long after each in a row."""

from __future__ import annotations


def doubled(first: float, failures: int, longest: float) -> float:
    """Seconds to wait after so many failures in a row, `first` of them after the first."""
    return min(first * 2.0 ** min(failures - 1, 64), longest)


class Backoff:
    """Counts failures in a row; waits double from `first` to `longest` seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def failed(self) -> float:
        """One more failure; returns for how many seconds to wait."""
        self._failures += 1
        return doubled(self._first, self._failures, self._longest)

    def reset(self) -> None:
        """It went well."""
        self._failures = 0
