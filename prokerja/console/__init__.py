"""The whole look: what is data goes to stdout, what is talk goes to stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from prokerja.errors import RequestError
from prokerja.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
STYLES = {
    "pending": "yellow", "processing": "cyan", "completed": "green", "failed": "red",
    "ok": "green", "warning": "yellow",
}  # fmt: skip


def on_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def hint(sentence: str | Callable[[], str]) -> None:
    """A friendly sentence, or what makes one, if stderr is a terminal."""
    if sys.stderr.isatty():
        print(sentence if isinstance(sentence, str) else sentence(), file=sys.stderr)


def say(sentence: str) -> None:
    """A sentence on stderr, whoever reads it."""
    print(f"prokerja: {sentence}", file=sys.stderr)


def plural(count: int, noun: str) -> str:
    """`1 job`, `2,000 jobs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def print_json(answer: Any) -> None:
    """The answer as JSON, in ASCII, so that every reader takes it."""
    import json

    print(json.dumps(answer))


def print_fields(rows: Iterable[Sequence[str]]) -> None:
    """Rows for programs: a line each, tabs between the cells, which hold none themselves."""
    for row in rows:
        print("\t".join(map(escaped, row)))


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
    long: Sequence[str] = (),
) -> None:
    """Rows for people: a table with rules only where they help, statuses in colour.

    A column that has nothing to say is left out. Of `long` ones, what finds no room is cut off; if
    there are any, no other is broken into lines.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows = list(rows)
    speaking = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    for place in speaking:
        justify: Any = "right" if columns[place] in right else "left"
        is_whole = bool(long) and columns[place] not in long
        header = Text(columns[place], no_wrap=True, overflow="ellipsis")
        widest = max(cell_len(escaped(row[place])) for row in rows) if is_whole else None
        table.add_column(
            header, justify=justify, overflow="fold", no_wrap=is_whole, min_width=widest
        )
    for row in rows:
        cells = []
        for place in speaking:
            cell = Text(escaped(row[place]), style=STYLES.get(row[place], ""))
            if columns[place] in long:
                cell.no_wrap, cell.overflow = True, "ellipsis"
            cells.append(cell)
        table.add_row(*cells)
    Console().print(table)


def print_findings(rows: Iterable[Sequence[str]]) -> None:
    """A line for people of each state, name, and sentence with what to do, if there is anything."""
    from rich.console import Console
    from rich.text import Text

    rows = list(rows)
    widths = [max(len(row[place]) for row in rows) + 2 for place in range(2)]
    for state, name, *sentence in rows:
        line = Text(state.ljust(widths[0]), style=STYLES.get(state, ""))
        line.append(
            name.ljust(widths[1]) + escaped("; ".join(filter(None, sentence))), style="default"
        )
        Console().print(line, soft_wrap=True)


def confirm(question: str) -> bool:
    """Ask at the terminal; without one, the command itself is the answer.

    Raises RequestError if stdin is a terminal and the question could not be seen.
    """
    if not sys.stdin.isatty():
        return True
    if not sys.stderr.isatty():
        raise RequestError(f"cannot ask on stderr: {question} Say so with --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def with_progress(items: Iterable[T], what: str) -> Iterable[T]:
    """The same items, with a running count on the terminal."""
    return _counting(items, what) if sys.stderr.isatty() else items


def _counting(items: Iterable[T], what: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    look = (TextColumn(what), BarColumn(), MofNCompleteColumn())
    with Progress(*look, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        for number, item in enumerate(items, 1):
            yield item
            if number % 1000 == 0:
                progress.update(task, completed=number)
