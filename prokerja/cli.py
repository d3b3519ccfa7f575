"""The command line: finds a command's module when it is called, and not before."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any

from prokerja.commandline import Argument, Command, Parameter, parameters, quickly
from prokerja.errors import ProkerjaError

COMMANDS = {
    "declare:job": "declare_job",
    "declare:batch": "declare_batch",
    "realization:start": "realization_start",
    "report": "report",
    "report:jobs": "report_jobs",
    "report:job": "report_job",
    "retry": "retry",
    "purge": "purge",
    "wait": "wait",
    "jobs": "jobs",
}
"""Every command, and the module in `prokerja.commands` whose `run` it is."""
USAGE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


def main() -> None:
    """The `prokerja` program."""
    words = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = dispatch(words)
        sys.stdout.flush()
    except ProkerjaError as error:
        code = complain(str(error), error.exit_code, words)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would complain at its exit
        code = BROKEN_PIPE
    sys.exit(code)


def dispatch(words: list[str]) -> int:
    """Run what the words ask for; returns the exit code."""
    if words and words[0] in COMMANDS:
        command = load(words[0])
        given = quickly(command, words[1:])
        if given is not None:
            return command(**given) or 0
    return explain(words)


def load(name: str) -> Command:
    """The function behind a command."""
    command: Command = import_module(f"prokerja.commands.{COMMANDS[name]}").run
    return command


def complain(message: str, code: int, words: list[str]) -> int:
    """One line on stderr; with --json, the same as JSON on stdout. Returns the exit code."""
    from prokerja.console import legible

    line = legible(" ".join(message.split()))
    print(f"prokerja: {line}", file=sys.stderr)
    if "--json" in words:
        import json

        print(json.dumps({"error": line, "exit_code": code}))
    return code


def explain(words: list[str]) -> int:
    """Leave it to Typer: help, and what is wrong with a command line."""
    import typer

    usage_error: Any = typer.BadParameter.__base__
    try:
        result = app()(words or ["--help"], prog_name="prokerja", standalone_mode=False)
    except usage_error as error:
        where = error.ctx.command_path if error.ctx else "prokerja"
        return complain(f"{error.format_message()} See `{where} --help`.", USAGE, words)
    except typer.Exit as leave:
        return leave.exit_code
    return int(result or 0)


def app() -> Any:
    """Every command as a Typer application."""
    import typer

    typer_app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        help="A declaration-first job queue over one SQLite file.",
        epilog="Exit codes: 0 done, 1 it did not work, 2 the request was wrong,"
        " 75 try again later, 124 a wait ran out of time.",
    )
    typer_app.callback(invoke_without_command=True)(_version)
    for name in COMMANDS:
        typer_app.command(name)(_for_typer(load(name), typer))
    return typer.main.get_command(typer_app)


def _version(*, version: bool = False) -> None:
    """A declaration-first job queue over one SQLite file."""
    if version:
        from importlib.metadata import version as installed

        print(installed("prokerja"))
        sys.exit(0)


def _for_typer(command: Command, typer: Any) -> Command:
    """The command with Typer's own markers in place of ours."""
    hints = command.__annotations__
    for parameter in parameters(command):
        kind = list[parameter.type] if parameter.many else parameter.type  # type: ignore[name-defined]
        optional = parameter.name in (command.__kwdefaults__ or {})
        hints[parameter.name] = Annotated[
            kind | None if optional and not parameter.many else kind, _marker(parameter, typer)
        ]
    return command


def _marker(parameter: Parameter, typer: Any) -> Any:
    marker = parameter.marker
    shared = {"help": marker.help, "metavar": marker.metavar or None, "show_default": False}
    if isinstance(marker, Argument):
        return typer.Argument(**shared)
    return typer.Option(*parameter.flags, **shared)
