"""Exit codes of commands: what they mean, and how they read."""

from __future__ import annotations

NEVER = 65
"""EX_DATAERR of sysexits.h: another attempt would fail as well."""
LATER = 75
"""EX_TEMPFAIL of sysexits.h: another attempt may go well."""
TOO_LARGE, STORE_GONE, NEW_CODE, WATCHDOG = 80, 81, 82, 83
"""Why a worker has left that nobody has asked to; beyond those of sysexits.h, below systemd's."""
WORKER_CODES = {
    0: "stopped as asked, or its work is done",
    1: "it could not work: the file cannot be used, the jobs cannot be loaded",
    2: "the request was wrong: an option, a setting, the jobs directory",
    LATER: "a newer version of prokerja has migrated the file; or it could not be written to",
    TOO_LARGE: "its own process has grown beyond the memory limit",
    STORE_GONE: "the file was replaced, deleted, damaged or made read-only",
    NEW_CODE: "prokerja, or a package that is installed, has changed",
    WATCHDOG: "systemd's watchdog, or somebody else, has sent SIGABRT",
}
"""Exit codes of `realization:start`, and what each means."""
NO_RESTART = (2,)
"""Those after which another start would end in the same way."""
ORDERLY = (LATER, TOO_LARGE, NEW_CODE)
"""Those with which it has left in good order, to be started again at once."""
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
