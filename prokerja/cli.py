"""The command line: finds a command's module when it is called, and not before."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import closing
from functools import partial
from typing import Annotated, Any

from prokerja.commandline import (
    REQUIRED,
    Argument,
    Command,
    Option,
    Parameter,
    call,
    parameters,
    parse,
    parse_int,
)
from prokerja.commands import COMMANDS, EXIT_CODES, load
from prokerja.errors import ProkerjaError, TryAgain
from prokerja.streams import insist_on_utf8, let_go_of_broken_streams, open_standard_streams

FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
GARBAGE = 50_000
"""Objects made, less those freed, before cycles are looked for: more than imports make."""
TRACEBACK = "PROKERJA_TRACEBACK"
"""Set it to see where an unforeseen error comes from."""
WORKER = "realization:start"
"""The command that is sent signals which would end any other, and may be before it is there."""
MAX_ERROR_CHARACTERS, MAX_USAGE_CHARACTERS = 1000, 300
"""Characters of a complaint, and of what Typer says of a command line."""


def main() -> None:
    """The `prokerja` program."""
    gc.set_threshold(GARBAGE)
    insist_on_utf8()
    open_standard_streams()
    code = run(sys.argv[1:])
    if tracing := sys.modules.get("prokerja.tracing.provider"):
        tracing.close()
    os._exit(code)  # all is closed and flushed: taking the interpreter apart would take a while


def run(words: list[str]) -> int:
    """Do what the words ask for, or say in one line why not; returns the exit code."""
    try:
        code = run_safely(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:  # a full disk behind stdout, or no descriptor left
        code = _of_the_system(error)
    let_go_of_broken_streams()
    return code


def _of_the_system(error: OSError) -> int:
    """A disk that is full behind stdout, or a system that is short of something."""
    from prokerja import shortage

    if missing := shortage.in_words(error):
        return print_error(missing, TryAgain.exit_code, [])
    where = f" ({error.filename})" if error.filename else ""
    return print_error(
        f"{error.strerror or error}{where}; check the disk and the output", FAILED, []
    )


def run_safely(words: list[str]) -> int:
    """Run what the words ask for; every error becomes a line and an exit code, but OSError."""
    try:
        return dispatch(words)
    except ProkerjaError as error:
        return print_error(str(error), error.exit_code, words)
    except OSError:
        raise
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        what = f"unforeseen {type(error).__name__}: {error}"
        why = f"the file may be damaged, or prokerja is at fault: {TRACEBACK}=1 tells where"
        return print_error(f"{what}; {why}", FAILED, words)


def dispatch(words: list[str]) -> int:
    """Run what the words ask for; returns the exit code."""
    return _start_worker(words) if words[:1] == [WORKER] else _dispatch(words)


def _start_worker(words: list[str]) -> int:
    """Have signals wait until the worker is there; end what it has started if it never is."""
    from prokerja import signal_masks

    signal_masks.hold(signal_masks.EARLY)
    from prokerja.worker.restart import of_this_process

    with closing(of_this_process()):
        return _dispatch(words)


def _dispatch(words: list[str]) -> int:
    if words and words[0] in COMMANDS:
        command = load(words[0])
        given = parse(command, words[1:])
        if given is not None:
            return call(command, **given)
    return run_with_typer(words)


def print_error(message: str, code: int, words: list[str]) -> int:
    """One line on stderr; with --json, the same as JSON on stdout. Returns the exit code."""
    from prokerja.text import escaped, shortened

    line = shortened(escaped(" ".join(message.split())), MAX_ERROR_CHARACTERS)
    print(f"{_error_mark()}prokerja: {line}", file=sys.stderr)
    if "--json" in words:
        import json

        print(json.dumps({"error": line, "exit_code": code}))
    return code


def _error_mark() -> str:
    """What makes it an error to systemd's journal, where stderr goes there."""
    if "JOURNAL_STREAM" not in os.environ:
        return ""
    from prokerja.console.journal import ERROR, mark, on_journal

    return mark(ERROR) if on_journal() else ""


def run_with_typer(words: list[str]) -> int:
    """Leave it to Typer: help, what is wrong with a command line, and what else it may mean."""
    import typer

    from prokerja.suggestions import suggest
    from prokerja.text import shortened

    usage_error: Any = typer.BadParameter.__base__
    try:
        asked = app()(words or ["--help"], prog_name="prokerja", standalone_mode=False)
    except usage_error as error:
        where = error.ctx.command_path if error.ctx else "prokerja"
        message = error.format_message()
        unknown_option = type(error).__name__ == "NoSuchOption"
        hint = suggest(words, COMMANDS, unknown_option=unknown_option)
        if hint:  # which is better than Typer's
            message = message.partition(". Did you mean")[0]
        what = shortened(message.rstrip("."), MAX_USAGE_CHARACTERS)
        return print_error(f"{what}; {hint or f'see `{where} --help`'}", USAGE, words)
    except typer.Exit as leave:
        return leave.exit_code
    return (asked() or 0) if callable(asked) else int(asked or 0)


def app() -> Any:
    """Every command as a Typer application, which returns a call that is still to be made."""
    import typer

    typer_app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        help="A declaration-first job queue over one SQLite file.",
        epilog=f"Exit codes: {', '.join(f'{code} {what}' for code, what in EXIT_CODES.items())}.",
    )
    typer_app.callback(invoke_without_command=True)(_for_typer(_version, _version, typer))
    for name in COMMANDS:
        command = load(name)
        is_rest = [isinstance(p.marker, Argument) and p.marker.rest for p in parameters(command)]
        settings = {"allow_interspersed_args": not any(is_rest)}
        guise = _for_typer(command, partial(partial, call, command), typer)
        typer_app.command(name, context_settings=settings, epilog=_epilog(name))(guise)
    return typer.main.get_command(typer_app)


def _epilog(name: str) -> str | None:
    """What the help of a command ends with: a worker has exit codes of its own."""
    if name != WORKER:
        return None
    from prokerja.exit_codes import WORKER_CODES

    rows = (f"  {code:>2}  {meaning}" for code, meaning in WORKER_CODES.items())
    return "\n".join(("\b", "Exit codes:", *rows))


def _version(
    *, version: Annotated[bool, Option("Print the version and leave.", ("--version",))] = False
) -> None:
    """A declaration-first job queue over one SQLite file."""
    if version:
        from importlib.metadata import version as installed

        import typer

        print(installed("prokerja"))
        raise typer.Exit


def _for_typer(command: Command, action: Any, typer: Any) -> Any:
    """`action` in the guise of a function that takes, in Typer's words, what `command` takes."""
    import inspect

    def guise(**given: Any) -> Any:
        return action(**given)

    guise.__doc__ = command.__doc__
    guise.__annotations__ = {}
    takes = []
    for parameter in parameters(command):
        default = inspect.Parameter.empty if parameter.default is REQUIRED else parameter.default
        hint = guise.__annotations__[parameter.name] = _hint(parameter, default, typer)
        kind = inspect.Parameter.KEYWORD_ONLY
        takes.append(inspect.Parameter(parameter.name, kind, default=default, annotation=hint))
    guise.__signature__ = inspect.Signature(takes)  # type: ignore[attr-defined]
    return guise


def _hint(parameter: Parameter, default: Any, typer: Any) -> Any:
    kind = list[parameter.type] if parameter.many else parameter.type  # type: ignore[name-defined]
    return Annotated[kind | None if default is None else kind, _marker(parameter, typer)]


def _marker(parameter: Parameter, typer: Any) -> Any:
    marker = parameter.marker
    shared: dict[str, Any] = {"help": marker.help, "show_default": False}
    shared["metavar"] = marker.metavar or None
    if parameter.type is int:
        shared["parser"] = partial(_parse_int, typer)
    if isinstance(marker, Argument):
        return typer.Argument(**shared)
    return typer.Option(*parameter.flags, **shared)


def _parse_int(typer: Any, text: str | int) -> int:
    try:
        return parse_int(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
