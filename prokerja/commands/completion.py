"""`prokerja completion`: what completes command lines in shells."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from prokerja.commandline import Argument, Option, parameters
from prokerja.commands import COMMANDS, Place, load
from prokerja.errors import ProkerjaError, RequestError
from prokerja.model.declaration import Status
from prokerja.model.record import Filter
from prokerja.queue import Queue
from prokerja.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prokerja.commandline import Parameter
    from prokerja.settings import Settings

RECENT = 50
"""How many of the latest ids, and labels, are offered."""
SCRIPTS = {
    "bash": """\
# eval "$(prokerja completion bash)"
_prokerja() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$'\\n'
    COMPREPLY=($(prokerja completion --line "$line" 2>/dev/null))
    # To bash, a colon or an equals sign ends a word.
    local word=${line##* }
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*[:=]}"}"}")
}
complete -o default -F _prokerja prokerja
""",
    "zsh": """\
# eval "$(prokerja completion zsh)", after compinit
_prokerja() {
    local -a found
    found=("${(@f)$(prokerja completion --line "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -Q -- $found; else _files; fi
}
compdef _prokerja prokerja
""",
    "fish": """\
# prokerja completion fish | source
complete -c prokerja -a '(prokerja completion --line (commandline -cp) 2>/dev/null)'
""",
}


def run(
    *,
    shell: Annotated[str, Argument("bash, zsh or fish.", "[SHELL]")] = "",
    line: Annotated[
        str | None, Option("Print the words that may end this line.", metavar="TEXT")
    ] = None,
    place: Place,
) -> None:
    """Print what makes a shell complete command lines; it begins with how to use it.

    Example: prokerja completion bash >> ~/.bashrc
    """
    if (line is None) == (shell not in SCRIPTS):
        raise RequestError(f"{quoted(shell)} is no shell of these; name bash, zsh or fish")
    if line is None:
        print(SCRIPTS[shell], end="")
        return
    _, *words, partial = ["", *line.split(" ")[1:]] if " " in line else ["", ""]
    for word in sorted(set(candidates(list(filter(None, words)), partial, place))):
        if word.startswith(partial) and word.isprintable() and " " not in word:
            print(word)


def candidates(words: list[str], partial: str, place: Settings) -> Iterable[str]:
    """What may stand after these words of a command line; may contain what does not fit."""
    if not words:
        return COMMANDS
    if words[0] not in COMMANDS:
        return ()
    takes = parameters(load(words[0]))
    options = {flag: one for one in takes for flag in one.flags}
    before = options.get(words[-1])
    if before is not None and before.type is not bool:
        return values(before.name, words, place)
    if partial.startswith("--") and "=" in partial:
        flag, _, _ = partial.partition("=")
        named = options.get(flag)
        return (f"{flag}={value}" for value in values(named.name, words, place)) if named else ()
    arguments = [one for one in takes if isinstance(one.marker, Argument)]
    if words[0] == "declare:shell" and argument_count(words, options):
        return ()  # they are the command's own
    if partial.startswith("-"):
        return options
    if not arguments:
        return ()
    place_of_next = min(argument_count(words, options), len(arguments) - 1)
    return values(arguments[place_of_next].name, words, place)


def argument_count(words: list[str], options: dict[str, Parameter]) -> int:
    """How many arguments have been given."""
    given, rest = 0, iter(words[1:])
    for word in rest:
        option = options.get(word)
        if option is None:
            given += not word.startswith("-")
        elif option.type is not bool:
            next(rest, None)
    return given


def values(name: str, words: list[str], place: Settings) -> Iterable[str]:
    """What a parameter of that name may be given."""
    from prokerja.commands import report_jobs
    from prokerja.commands.help import topics

    if name in ("name", "job", "pairs"):
        return _jobs(name, words, place)
    columns = (*report_jobs.USUAL, *report_jobs.MORE)
    fixed: dict[str, Iterable[str]] = {
        "status": Status, "topic": topics() if name == "topic" else (), "shell": SCRIPTS,
        "columns": columns, "sort": columns,
    }  # fmt: skip
    if name in fixed:
        return fixed[name]
    with suppress(ProkerjaError), Queue.of(place, create=False) as queue:
        if name == "queue":
            summary = queue.summary()
            return [
                *(tally.queue for tally in summary.queues),
                *(rule.name for rule in summary.rules if rule.name),
            ]
        if name == "ids" and words[0] == "cancel":
            return map(str, queue.open_ids()[-RECENT:])
        if name in ("id", "ids", "label"):
            wanted = Filter(Status.FAILED) if words[0] == "retry" else Filter()
            records = queue.newest(wanted, RECENT)
            return [str(one.label or "" if name == "label" else one.id) for one in records]
    return ()


def _jobs(name: str, words: list[str], place: Settings) -> list[str]:
    from prokerja.catalog.listing import read_jobs

    with suppress(ProkerjaError):
        specs, _ = read_jobs(place.jobs)
        if name != "pairs":
            return [spec.name for spec in specs]
        return [f"{field.name}=" for spec in specs if spec.name in words for field in spec.fields]
    return []
