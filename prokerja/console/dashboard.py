"""A queue on one screen: counts, rates, what runs, what has failed, and who works."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from prokerja.console import STYLES, plural
from prokerja.console.bars import bar
from prokerja.flow.pauses import sentence_with_end
from prokerja.model.declaration import Status
from prokerja.report import notes_of, progress_of, what_of
from prokerja.text import escaped
from prokerja.times import human

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prokerja.model.record import Record, Running
    from prokerja.model.worker import WorkerRow
    from prokerja.watching import Snapshot

MIN_WIDTH = 60
"""Columns, below which there is no room for what matters."""
WIDE, BAR_WIDTH = 72, 12
"""Columns for which bars are that long; with fewer they are half as long."""
MAX_QUEUES, MAX_WORKERS, MAX_PAUSES = 6, 4, 3
"""Lines for each, at the most."""


class Dashboard:
    """Draws snapshots; the bars are as long as the highest rate so far wants them."""

    def __init__(self, path: str, *, ascii_only: bool) -> None:
        self._path = path
        self._ascii = ascii_only
        self._peak = 1.0

    def draw(self, snapshot: Snapshot, width: int, height: int) -> Group:
        """The lines for a terminal of this size."""
        if width < MIN_WIDTH:
            return Group(Text(f"Too narrow: {MIN_WIDTH} columns are needed. q quits."))
        self._peak = max(self._peak, snapshot.last_second, snapshot.last_minute)
        longest = BAR_WIDTH if width >= WIDE else BAR_WIDTH // 2
        top = [
            _spread(Text(escaped(self._path), "bold"), Text("q quits", "dim"), width),
            *_troubles(snapshot, width),
            _counts(snapshot, width),
            self._rates(snapshot, longest),
            *_queues(snapshot, width),
        ]
        workers = [_worker(one, snapshot, width) for one in snapshot.summary.workers]
        failed = [_failure(one, snapshot.summary.now, width) for one in snapshot.failures]
        bottom = [
            *_section("last failures", failed),
            *_section("workers", _fitting(workers, MAX_WORKERS)),
        ]
        running = [
            self._running(one, snapshot.summary.now, width, longest) for one in snapshot.running
        ]
        room = max(height - len(top) - len(bottom) - 3, 1)
        return Group(*top, *_section("running", _fitting(running, room)), *bottom)

    def _rates(self, snapshot: Snapshot, longest: int) -> Text:
        line = Text("ended  ")
        for name, rate in (("1 s", snapshot.last_second), ("1 min", snapshot.last_minute)):
            line.append(f"{name} ").append(
                bar(rate / self._peak, longest, ascii_only=self._ascii), "green"
            )
            line.append(f" {rate:>8,.{0 if rate >= 100 else 1}f}/s     ")
        return line

    def _running(self, running: Running, now: float, width: int, longest: int) -> Text:
        record, worker = running
        since = record.started_at or now
        line = _title(record)
        if record.progress is not None:
            part = record.progress.part
            if part is not None:
                line.append("  ").append(bar(part, longest, ascii_only=self._ascii), "green")
            line.append(f"  {escaped(progress_of(record))}")
        right = Text("suspended  " if record.suspended_at is not None else "", "yellow")
        right.append(f"worker {worker}  ", "dim").append(f"{_whole(now - since):>8}", "cyan")
        return _spread(line, right, width)


def _troubles(snapshot: Snapshot, width: int) -> Sequence[Text]:
    pauses = snapshot.summary.paused
    sentences = [*map(sentence_with_end, pauses), *notes_of(snapshot.summary)]
    lines = [Text(escaped(sentence), "yellow") for sentence in sentences]
    return [_spread(line, Text(), width) for line in _fitting(lines, MAX_PAUSES)]


def _counts(snapshot: Snapshot, width: int) -> Text:
    line, waiting = Text(), Text()
    total = snapshot.summary.total
    for status, count in total.counts().items():
        line.append(f"{status} ", "dim").append(f"{count:,}", STYLES[status]).append("  ")
        if status == Status.PROCESSING and total.awaiting:
            line.append(f"({total.awaiting:,} awaiting)  ", "dim")
    if (since := snapshot.summary.waiting_since) is not None:
        waiting.append("waiting ", "dim").append(_whole(snapshot.summary.now - since))
    return _spread(line, waiting, width)


def _queues(snapshot: Snapshot, width: int) -> Iterable[Text]:
    """A line for each queue, the longest first, if there are several."""
    tallies = snapshot.summary.queues
    if len(tallies) < 2:
        return
    yield Text()
    names = "".join(f"{status:>12}" for status in tallies[0].counts())
    yield _spread(Text("queues", "bold"), Text(names, "dim"), width)
    for tally in sorted(tallies, key=lambda one: -one.pending)[:MAX_QUEUES]:
        counts = "".join(f"{count:>12,}" for count in tally.counts().values())
        yield _spread(Text(f"  {escaped(tally.queue)}"), Text(counts), width)
    if len(tallies) > MAX_QUEUES:
        yield Text(f"  and {len(tallies) - MAX_QUEUES:,} more", "dim")


def _section(title: str, rows: Sequence[Text]) -> list[Text]:
    return [Text(), Text(title, "bold"), *(rows or [Text("  none", "dim")])]


def _fitting(rows: Sequence[Text], room: int) -> Sequence[Text]:
    if len(rows) <= room:
        return rows
    return [*rows[: room - 1], Text(f"  and {len(rows) - room + 1:,} more", "dim")]


def _failure(record: Record, now: float, width: int) -> Text:
    error = (record.error or "").partition("\n")[0]
    line = _title(record).append(f"  {escaped(error)}", "red")
    ago = _whole(now - (record.finished_at or now)).split()[0]
    return _spread(line, Text(f"{ago} ago", "dim"), width)


def _title(record: Record) -> Text:
    what = what_of(record)
    line = Text(f"  {record.id}  {escaped(record.lane.name)}")
    return line.append(f"  {escaped(what)}", "dim") if what else line


def _worker(worker: WorkerRow, snapshot: Snapshot, width: int) -> Text:
    busy = Counter(running.worker for running in snapshot.running)[worker.id]
    queues = ", ".join(worker.taking.queues) or "all"
    line = Text(f"  {worker.id}  process {worker.pid}, {plural(worker.realizers, 'realizer')}")
    line.append(f", queues: {escaped(queues)}", "dim")
    return _spread(line, Text(f"{busy} running" if busy else "", "dim"), width)


def _whole(seconds: float) -> str:
    """A duration in whole seconds and more."""
    return human(seconds) if seconds >= 10 else f"{max(int(seconds), 0)}s"


def _spread(left: Text, right: Text, width: int) -> Text:
    """Both on one line, the left one cut off where it would meet the right one."""
    left = left.copy()
    left.truncate(max(width - cell_len(right.plain) - 2, 1), overflow="ellipsis")
    gap = width - cell_len(left.plain) - cell_len(right.plain)
    return left.append(" " * max(gap, 1)).append_text(right)
