"""The units that have systemd run workers, as text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from prokerja.exit_codes import NO_RESTART, ORDERLY

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_USER = "prokerja"
STATE = "/var/lib/prokerja"
DB, JOBS = f"{STATE}/prokerja.sqlite3", "/etc/prokerja/jobs"
"""Where a worker of the whole machine has its queue and its jobs, unless it is told."""
START_SECONDS = 900
"""A large file may have to be migrated before a worker is ready."""
STOP_SECONDS = 15
"""Beyond the grace time: jobs that are ended have five seconds of it for their last words."""
WATCHDOG_SECONDS, RESTART_SECONDS = 60, 2
PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@+-_=:,./")
"""What needs no quotes in a unit."""
BASIC = ("NoNewPrivileges=yes", "LockPersonality=yes", "RestrictRealtime=yes")
"""Each of them keeps setuid programs from working."""
KERNEL = (
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectHostname=yes",
    "CapabilityBoundingSet=",
)
"""The same, for a user of the system who is not root."""
SYSTEM = ("ProtectSystem=full", "ProtectControlGroups=yes")


class Unit(NamedTuple):
    """What a unit is to be."""

    command: tuple[str, ...]
    """The worker's command line, from an absolute path on, without its queues."""
    queues: tuple[str, ...] = ()
    """As the command line names them; of a template, they are its instances."""
    grace: float = 30.0
    """Of the worker, in seconds."""
    jitter: float = 0.0
    """Seconds that may pass before it starts."""
    db: str = ""
    """The queue's URL or absolute path; empty for the usual one."""
    jobs: str = ""
    """The absolute path of the jobs directory; empty for the usual one."""
    user: bool = False
    """Whether it is one user's own, instead of the whole machine's."""
    account: str = DEFAULT_USER
    """Who runs the worker of the whole machine."""
    template: bool = False
    """Whether there is an instance for each queue."""
    setuid: bool = False
    """Whether jobs may call setuid programs."""

    @property
    def file_name(self) -> str:
        """What systemd wants it to be called."""
        return "prokerja@.service" if self.template else "prokerja.service"

    @property
    def services(self) -> tuple[str, ...]:
        """The services to start."""
        if not self.template:
            return (self.file_name,)
        queues = self.queues or ("default",)
        return tuple(f"prokerja@{escaped_instance(queue)}.service" for queue in queues)

    def text(self) -> str:
        """The whole file."""
        return "\n".join((*self._unit(), *self._service(), *self._install()))

    def _unit(self) -> Iterator[str]:
        yield "[Unit]"
        yield f"Description=prokerja worker{' for queue %I' if self.template else ''}"
        if not self.user:
            yield "# Jobs may need the network; when the machine stops, they end before it goes."
            yield "After=network.target"
            if os.path.isabs(self.db):
                yield f"RequiresMountsFor={quoted(os.path.dirname(self.db))}"
        yield "# However often it has failed, it is started again."
        yield "StartLimitIntervalSec=0"
        yield ""

    def _service(self) -> Iterator[str]:
        queues = ["--queue=%I"] if self.template else [f"--queue={name}" for name in self.queues]
        words = [*map(quoted, self.command), *(queues if self.template else map(quoted, queues))]
        prefix = ":" if any("$" in word for word in words) else ""
        yield "[Service]"
        yield "Type=notify"
        yield "NotifyAccess=main"
        yield f"ExecStart={prefix}{' '.join(words)}"
        yield "ExecReload=/bin/kill -HUP $MAINPID"
        yield from self._places()
        yield "# Only the worker hears of a stop. It tells its jobs, which have its grace time."
        yield "KillMode=mixed"
        yield f"TimeoutStopSec={self.grace + STOP_SECONDS:.12g}"
        yield f"TimeoutStartSec={self.jitter + START_SECONDS:.12g}"
        yield "# Fed by each turn of the worker's loop, however long a job takes."
        yield f"WatchdogSec={WATCHDOG_SECONDS}"
        yield "Restart=on-failure"
        yield f"RestartSec={RESTART_SECONDS}"
        yield "# `prokerja realization:start --help` says what its exit codes mean."
        yield f"RestartPreventExitStatus={_codes(NO_RESTART)}"
        yield f"RestartForceExitStatus={_codes(ORDERLY)}"
        yield f"SuccessExitStatus={_codes(ORDERLY)}"
        yield "# The kernel may kill a job that eats all memory; the worker goes on."
        yield "OOMPolicy=continue"
        yield from self._hardening()
        yield ""

    def _places(self) -> Iterator[str]:
        if not self.user:
            yield f"User={self.account}"
            yield "StateDirectory=prokerja"
            yield "StateDirectoryMode=0700"
            yield f"WorkingDirectory={STATE}"
            if not self.jobs:
                yield "ConfigurationDirectory=prokerja/jobs"
        usual = ("", "") if self.user else (DB, JOBS)
        for name, given, default in zip(("DB", "JOBS"), (self.db, self.jobs), usual, strict=True):
            if path := given or default:
                yield f"Environment={quoted(f'PROKERJA_{name}={path}')}"

    def _hardening(self) -> Iterator[str]:
        is_root = not self.user and self.account in ("root", "0")
        if not self.setuid:
            yield "# No setuid program works in jobs; `systemd:unit --setuid` lets them call sudo."
            yield from BASIC
        if not self.user and not is_root:
            if not self.setuid:
                yield from KERNEL
            yield "# Jobs may write wherever the user may, but not into the system."
            yield from SYSTEM

    def _install(self) -> Iterator[str]:
        yield "[Install]"
        yield f"WantedBy={'default' if self.user else 'multi-user'}.target"
        yield ""


def quoted(word: str) -> str:
    """A word of a unit's line, which systemd reads as it is."""
    word = word.replace("%", "%%")
    if word and all(letter in PLAIN or letter == "%" for letter in word):
        return word
    return f'"{"".join(map(_escaped, word))}"'


def escaped_instance(name: str) -> str:
    """The name of an instance that is called anything, as systemd-escape has it."""
    escaped = "".join(_instance_letter(byte) for byte in os.fsencode(name))
    return rf"\x2e{escaped[1:]}" if escaped.startswith(".") else escaped


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def _instance_letter(byte: int) -> str:
    letter = chr(byte)
    if letter == "/":
        return "-"
    is_plain = letter.isascii() and (letter.isalnum() or letter in ":_.")
    return letter if is_plain else f"\\x{byte:02x}"


def _codes(codes: tuple[int, ...]) -> str:
    return " ".join(map(str, codes))
