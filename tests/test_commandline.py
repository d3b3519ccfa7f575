"""How a command line is read: quickly where it can be, by Typer where it must, both alike."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prokerja import cli
from prokerja.commandline import REQUIRED, Argument, Parameter, parameters, parse, parse_int
from prokerja.commands import COMMANDS, load

NAMES = sorted(COMMANDS)
FLAGS = {name: [f for p in parameters(load(name)) for f in p.flags] for name in NAMES}
EVERY_FLAG = sorted({flag for flags in FLAGS.values() for flag in flags})
VALUES = [
    "",
    "1",
    "-1",
    "+7",
    "007",
    "x",
    "a=b",
    "n:=1",
    "-",
    "--",
    "---",
    "-5",
    "--5",
    "=",
    "é",
    "٣",
]
VALUES += ["1_0", " 1", "1e3", "9" * 18, "9" * 19, "--help", "-h", "--nonsense", "-0y", "-00"]


@cache
def typer_app() -> Any:
    return cli.app()


def thoroughly(name: str, words: list[str]) -> dict[str, Any]:
    """The keyword arguments as Typer reads them."""
    call = typer_app()([name, *words], prog_name="prokerja", standalone_mode=False)
    keywords: dict[str, Any] = call.keywords
    return keywords


def filled(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The same with the defaults of what is not given."""
    takes = parameters(load(name))
    return {**{p.name: p.default for p in takes if p.default is not REQUIRED}, **given}


def values_of(parameter: Parameter) -> st.SearchStrategy[str]:
    """Mostly what it takes."""
    if parameter.type is int:
        return st.one_of(st.integers(-5, 10**18).map(str), st.sampled_from(VALUES))
    return st.one_of(st.sampled_from(VALUES), st.text(max_size=4))


def pieces_of(parameter: Parameter) -> st.SearchStrategy[list[str]]:
    """Words that give a value to a parameter."""
    values = values_of(parameter)
    if not parameter.flags:
        return values.map(lambda value: [value])
    flags = st.sampled_from(parameter.flags)
    if parameter.type is bool:
        return flags.map(lambda flag: [flag])
    return st.one_of(
        st.tuples(flags, values).map(list),
        st.builds("{}={}".format, flags, values).map(lambda w: [w]),
    )


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A command and words: what it takes, in any order, and now and then something else."""
    name = draw(st.sampled_from(NAMES))
    takes = parameters(load(name))
    needed = [p for p in takes if p.default is REQUIRED]
    some = draw(st.lists(st.sampled_from(takes), max_size=4))
    pieces = [draw(pieces_of(parameter)) for parameter in [*needed, *some]]
    noise = draw(st.lists(st.sampled_from([*VALUES, *EVERY_FLAG]), max_size=1))
    pieces = draw(st.permutations([*pieces, noise]))
    return name, [word for piece in pieces for word in piece]


@settings(max_examples=300, deadline=None)
@given(command_lines())
@example(("report:jobs", ["--limit", "--5"]))
@example(("report:jobs", ["--limit=" + "9" * 5000]))
@example(("declare:job", ["noop", "--", "--queue", "--"]))
@example(("declare:job", ["--queue", "--json", "noop"]))
@example(("declare:job", ["noop", "--queue", "a", "--queue=b", "-0", "--null"]))
@example(("realization:start", ["--queue", "a", "--queue=", "--realizers", "+2"]))
@example(("wait", ["--timeout", "1", "3", "--", "-4"]))
def test_what_is_read_quickly_typer_reads_alike(line: tuple[str, list[str]]) -> None:
    name, words = line
    quick = parse(load(name), words)
    if quick is not None:
        assert filled(name, quick) == thoroughly(name, words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("declare:job", ["noop", "n=1", "--in", "5m", "--json"]),
        ("declare:job", ["noop", "-0", "--each=n"]),
        ("declare:batch", []),
        ("declare:batch", ["-", "--ids"]),
        (
            "realization:start",
            ["--until-empty", "--queue", "a", "--queue", "b", "--realizers", "2"],
        ),
        ("report", []),
        ("report:jobs", ["--limit", "5", "--status", "failed"]),
        ("report:job", ["7"]),
        ("retry", ["7", "8"]),
        ("retry", ["--failed"]),
        ("purge", ["-y"]),
        ("wait", ["7", "--timeout", "1m"]),
        ("jobs", ["--jobs", "here"]),
    ],
)
def test_a_plain_command_line_needs_no_typer(name: str, words: list[str]) -> None:
    assert parse(load(name), words) is not None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("declare:job", []),
        ("declare:job", ["noop", "--queue"]),
        ("declare:job", ["noop", "--help"]),
        ("declare:job", ["noop", "--priority", "high"]),
        ("declare:job", ["noop", "--json=yes"]),
        ("declare:batch", ["one", "two"]),
        ("report", ["surplus"]),
        ("report:job", ["seven"]),
        ("wait", ["-1"]),
    ],
)
def test_what_needs_an_explanation_is_left_to_typer(name: str, words: list[str]) -> None:
    assert parse(load(name), words) is None


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("-5", -5), ("+5", 5), ("9" * 18, 10**18 - 1)]
)
def test_a_whole_number_is_read(text: str, number: int) -> None:
    assert parse_int(text) == number


@pytest.mark.parametrize(
    "text", ["", "-", "--5", "5.0", " 5", "1_0", "٣", "9" * 19, "9" * 5000, "0x10"]
)
def test_what_the_store_could_not_hold_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a whole number") as caught:
        parse_int(text)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_says_what_it_is_for(name: str) -> None:
    for parameter in parameters(load(name)):
        assert parameter.marker.help.endswith("."), parameter.name
        assert bool(parameter.flags) != isinstance(parameter.marker, Argument)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_given_by_name_and_all_but_what_must_be_said_have_defaults(
    name: str,
) -> None:
    signature = inspect.signature(load(name))
    for parameter in signature.parameters.values():
        assert parameter.kind is parameter.KEYWORD_ONLY
    needed = [p.name for p in parameters(load(name)) if p.default is REQUIRED]
    ids = ["ids"]
    must_be_said = {
        "declare:job": ["name"], "report:job": ["id"], "result": ["id"], "resolve": ["id"],
        "hold": ids, "release": ids, "change": ids, "suspend": ids, "resume": ids,
        "queue:limit": ["queue"], "queue:rate": ["queue"], "notify:test": ["kind"],
        "schedule:next": ["when"],
    }  # fmt: skip
    assert needed == must_be_said.get(name, [])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "help"])
def test_every_command_takes_the_database_and_the_jobs_directory(name: str) -> None:
    assert {"--db", "--jobs"} <= set(FLAGS[name])
