"""Notices: the command that tells somebody of what has happened, as a job of its own."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from prokerja import shell
from prokerja.errors import BadOption
from prokerja.model.declaration import NOTIFY
from prokerja.on_failure import ALLOWED, is_command, words_of
from prokerja.options import Options
from prokerja.text import brief, quoted, shown
from prokerja.times import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prokerja.model.declaration import Declaration

KINDS = ("failed", "completed", "worker_down", "queue_stuck")
"""What there are notices of."""
KEYS = ("command", "url", "every", "payload", "after")
WEBHOOK = ("-P", "-m", "prokerja.webhook")
"""What Python is called with to post a notice; the address is in the environment."""
URL = "PROKERJA_WEBHOOK_URL"
CODE_FOLLOWS = re.compile(r"-[A-Za-z]*c")
"""An option of a shell or of Python after which a word is code: `-c`, `-ec`, `-lc`."""
FACTS = ("id", "job", "queue", "attempt", "error", "label", "batch", "worker", "pid", "seconds")
"""What a notice may tell; what does not apply is empty."""
RETRIES, RETRY_AFTER_SECONDS, TIMEOUT_SECONDS = 5, 30.0, 300.0
"""Of a notice itself."""
MAX_LISTED = 100
"""Events that one notice lists; the rest are counted."""
MAX_FACT_CHARACTERS = 4000
"""Of a fact in an argument or in the environment."""


class Rule(NamedTuple):
    """How somebody is told; the store keeps it as JSON."""

    command: tuple[str, ...] = ()
    url: str = ""
    """Where the facts are posted to, in the place of a command."""
    cwd: str = "/"
    every: float = 0.0
    """Seconds in which there is one notice at most, after the first; 0 for one for each event."""
    payload: bool = False
    """Whether the job's payload is among the facts."""
    after: float = 0.0
    """Seconds for which a queue's oldest job waits before anybody is told."""

    def to_json(self) -> str:
        """The same rule is always the same text."""
        usual = Rule()._asdict()
        return json.dumps({key: one for key, one in self._asdict().items() if one != usual[key]})


def rule_of(text: str) -> Rule | None:
    """The rule that a text means; None if it is none of ours."""
    try:
        rule = Rule(**json.loads(text))
        rule = rule._replace(command=tuple(rule.command))
    except (ValueError, TypeError, RecursionError):
        return None
    return rule if is_command(rule.command) or rule.url else None


def declaration(
    rule: Rule, kind: str, events: Sequence[Mapping[str, Any]], count: int, now: float
) -> Declaration:
    """The job that tells of these events, which are the first of so many."""
    facts = {"notice": kind, "count": count, **events[0]}
    texts = {key: _text(facts.get(key)) for key in ("notice", "count", *FACTS)}
    command, more = list(rule.command), {}
    if rule.url:
        command, more = [sys.executable, *WEBHOOK], {URL: rule.url}
    surroundings = shell.Surroundings(
        rule.cwd,
        env={**{_variable(key): text for key, text in texts.items()}, **more},
        data=base64.b64encode(_data(facts, events)).decode(),
    )
    payload = shell.payload_of(_filled(command, texts), surroundings)
    return shell.declaration(payload, now, _options(kind, texts))


def _variable(key: str) -> str:
    return f"PROKERJA_{'JOB_ID' if key == 'id' else key.upper()}"


def _text(fact: Any) -> str:
    text = "" if fact is None else str(fact).replace("\0", "")
    return text[:MAX_FACT_CHARACTERS]


def _filled(command: Sequence[str], texts: Mapping[str, str]) -> list[str]:
    """The words with the facts in them, but for code, in which they could mean anything."""

    def fact(match: re.Match[str]) -> str:
        return texts.get(match[1], match[0])

    return [
        word
        if place and CODE_FOLLOWS.fullmatch(command[place - 1])
        else re.sub(r"\{(\w+)\}", fact, word)
        for place, word in enumerate(command)
    ]


def _data(facts: dict[str, Any], events: Sequence[Mapping[str, Any]]) -> bytes:
    """The facts as JSON, with as much as there is room for."""
    listed = list(events[:MAX_LISTED]) if facts["count"] > 1 else []
    data = _encoded(facts, listed)
    if len(data) > shell.MAX_STDIN_BYTES:
        listed = [_without_payload(event) for event in listed]
        data = _encoded(_without_payload(facts), listed)
    while len(data) > shell.MAX_STDIN_BYTES:
        listed = listed[: len(listed) // 2]
        data = _encoded(_without_payload(facts), listed)
    return data


def _without_payload(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fact for key, fact in facts.items() if key != "payload"}


def _encoded(facts: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps({**facts, "list": listed} if listed else facts).encode() + b"\n"


def _options(kind: str, texts: Mapping[str, str]) -> Options:
    about = f"job {texts['id']}" if texts["id"] else texts["queue"] or f"worker {texts['worker']}"
    if texts["count"] != "1":
        about = f"{texts['count']} times"
    return Options(
        queue=NOTIFY, retries=RETRIES, retry_after=RETRY_AFTER_SECONDS, timeout=TIMEOUT_SECONDS,
        label=brief(f"{kind}: {about}"),
    )  # fmt: skip


def rules_from(table: Mapping[str, Any], file: str) -> tuple[tuple[str, str], ...]:
    """The rules of `[notify]` in a settings file, each with its kind; raises BadOption."""
    for kind in table:
        if kind not in KINDS:
            raise BadOption(f"{file}: [notify] has no {quoted(kind)}; there are {', '.join(KINDS)}")
    return tuple((kind, _rule(kind, table[kind], file).to_json()) for kind in table)


def _rule(kind: str, given: Any, file: str) -> Rule:
    what = f"{file}: [notify] {kind}"
    given = given if isinstance(given, dict) else {"command": given}
    for key in given:
        if key not in KEYS:
            raise BadOption(f"{what} has no {quoted(key)}; there are {', '.join(KEYS)}")
    if ("command" in given) == ("url" in given):
        raise BadOption(f"{what} needs either a command or a url")
    if ("after" in given) != (kind == "queue_stuck"):
        needs = "needs after, such as" if kind == "queue_stuck" else "takes no after; leave out"
        raise BadOption(f'{what} {needs} after = "10m"')
    if not isinstance(given.get("payload", False), bool):
        raise BadOption(f"{what}: payload: {shown(given['payload'])} is neither true nor false")
    command = words_of(given.get("command", ()))
    if "command" in given and not is_command(command):
        raise BadOption(f"{what}: {shown(given['command'])} does not fit; give {ALLOWED}")
    return Rule(
        command,
        _address(given["url"], what) if "url" in given else "",
        os.path.dirname(file) or "/",
        _seconds(given, "every", what),
        given.get("payload", False),
        _seconds(given, "after", what),
    )


def _seconds(given: Mapping[str, Any], key: str, what: str) -> float:
    value = given.get(key)
    return 0.0 if value is None else duration(str(value), f"{what}: {key}")


def _address(url: Any, what: str) -> str:
    from prokerja.webhook import is_address

    if not is_address(url):
        raise BadOption(
            f"{what}: {shown(url)} is no address; give one with http:// or https://,"
            " and without a user's name"
        )
    return str(url)
