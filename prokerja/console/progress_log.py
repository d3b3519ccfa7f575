"""A worker's log at a terminal, with a bar below, where there is an end to reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.console.worker_log import WorkerLog
from prokerja.text import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from prokerja.console.log_line import Line


class ProgressLog(WorkerLog):
    """`total` is how many jobs there are to begin with."""

    def __init__(self, total: int) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        look = (TextColumn("realizing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Bar(*look, console=Console(stderr=True))
        self._task = self._bar.add_task("realizing", total=total)

    def __enter__(self) -> WorkerLog:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, said: Line, fields: Mapping[str, Any], at: float) -> None:
        """One line, above the bar."""
        for text in said.texts:
            self._bar.console.print(f"prokerja: {escaped(text)}", markup=False, highlight=False)

    def settled(self, completed: int, failed: int) -> None:
        """Some jobs have ended: the bar counts them."""
        self._bar.advance(self._task, completed + failed)
        task = self._bar.tasks[0]
        if task.total is not None and task.completed > task.total:
            self._bar.update(self._task, total=task.completed)
