"""What people may have meant by a word that is not a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

SYNONYMS = {
    "declare:job": ("add", "declare", "enqueue", "job", "new", "push", "put", "queue", "submit"),
    "declare:shell": ("at", "cmd", "command", "exec", "nohup", "nq", "sh", "shell", "tsp"),
    "declare:batch": ("batch", "bulk", "import"),
    "realization:start": ("consume", "realize", "run", "serve", "start", "work", "worker"),
    "report": ("count", "info", "stats", "status"),
    "report:jobs": ("list", "ls", "ps"),
    "report:job": ("get", "inspect", "show"),
    "output": ("cat", "log", "logs", "print", "stderr", "stdout", "tail"),
    "purge": ("clean", "clear", "delete", "flush", "prune", "remove", "rm"),
    "retry": ("rerun", "requeue", "restart"),
    "resolve": ("answer", "complete", "fulfill", "respond"),
    "cancel": ("abort", "kill", "revoke"),
    "suspend": ("freeze",),
    "resume": ("cont", "continue"),
    "queue:list": ("queues",),
    "queue:pause": ("pause",),
    "queue:resume": ("unpause",),
    "schedule:next": ("cron", "next", "schedule"),
    "jobs": ("kinds", "types"),
    "systemd:install": ("install", "service"),
    "systemd:unit": ("systemd", "unit"),
    "doctor": ("check", "diagnose", "health", "healthcheck"),
    "--version": ("-V", "version"),
}
"""Commands, and other words for them."""
UNAVAILABLE = {
    "stop": "send TERM to the worker, or stop its service",
}
"""Words for what no command does, and what to do instead."""
AFTER = ("--db", "--jobs", "--json")
"""Options that belong to commands."""


def suggest(
    words: Sequence[str], commands: Collection[str], *, unknown_option: bool = False
) -> str:
    """What to say of a command line that cannot be read; empty if its command's help tells."""
    word = words[0]
    if word.partition("=")[0] in AFTER:
        return f"{word.partition('=')[0]} goes after the command"
    if f"{word}:{''.join(words[1:2])}" in commands:
        return f"did you mean `prokerja {word}:{' '.join(words[1:])}`?"
    if word == "declare:job" and unknown_option:
        return "a payload is written key=value, in quotes if there are spaces: command='ls -l'"
    if word in commands:
        return ""
    if word in UNAVAILABLE:
        return f"there is no such command yet: {UNAVAILABLE[word]}"
    for command, synonyms in SYNONYMS.items():
        if word in synonyms:
            return f"did you mean `prokerja {command}`?"
    from difflib import get_close_matches

    close = get_close_matches(word, commands, n=1)
    return f"did you mean `prokerja {close[0]}`?" if close else ""
