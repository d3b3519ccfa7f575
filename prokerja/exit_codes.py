"""Exit codes of commands: what they mean, and how they read."""

from __future__ import annotations

NEVER = 65
"""EX_DATAERR of sysexits.h: another attempt would fail as well."""
LATER = 75
"""EX_TEMPFAIL of sysexits.h: another attempt may go well."""
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""As shells have them."""
OF_SIGNALS = 128
"""What shells add to the number of the signal that has killed a command."""


def in_words(code: int) -> str:
    """An exit code as `subprocess` gives it: below zero, it is the number of a signal."""
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal_name(-code)}"


def as_shell(code: int) -> int:
    """The exit code that a shell would give."""
    return code if code >= 0 else OF_SIGNALS - code


def signal_name(number: int) -> str:
    """A signal by its name and what it means, such as `SIGSEGV (Segmentation fault)`."""
    import signal

    known = number in list(signal.Signals)
    name = signal.Signals(number).name if known else f"signal {number}"
    return f"{name} ({signal.strsignal(number) or 'unknown'})"
