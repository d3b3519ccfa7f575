"""Why a worker takes no jobs just now, and what else it has to say of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.worker import WorkerNote
from prokerja.worker_events import ClaimingHeld, ClaimingResumed

if TYPE_CHECKING:
    from collections.abc import Callable

    from prokerja.worker_events import Event


class Holds:
    """Duties put reasons here, one of each kind; while there is any, nothing is claimed."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._notes: dict[str, WorkerNote] = {}
        self.changed = False
        """Whether the notes have changed since somebody has written them down."""
        self.is_holding = False
        """Whether no jobs are to be taken."""

    @property
    def notes(self) -> list[WorkerNote]:
        """All that there is to say, by kind."""
        return [self._notes[kind] for kind in sorted(self._notes)]

    def holds(self, kind: str) -> bool:
        """Whether no jobs are to be taken for a reason of this kind."""
        note = self._notes.get(kind)
        return note is not None and note.holds

    def hold(self, kind: str, why: str, now: float) -> None:
        """Take no jobs for this reason, from `now` on, in seconds since the epoch.

        A kind that holds already keeps its moment; its text changes without a word.
        """
        before = self._notes.get(kind)
        if before is None or not before.holds:
            self._tell(ClaimingHeld(kind, why))
        self._set(WorkerNote(kind, before.since if before else now, why, holds=True))

    def note(self, kind: str, text: str, now: float) -> None:
        """Say something that keeps no jobs from being taken."""
        before = self._notes.get(kind)
        self._set(WorkerNote(kind, before.since if before else now, text, holds=False))

    def lift(self, kind: str) -> None:
        """Take back what was said of this kind."""
        before = self._notes.pop(kind, None)
        if before is None:
            return
        self._update()
        if before.holds:
            self._tell(ClaimingResumed(kind, [note.kind for note in self.notes if note.holds]))

    def _set(self, note: WorkerNote) -> None:
        if self._notes.get(note.kind) != note:
            self._notes[note.kind] = note
            self._update()

    def _update(self) -> None:
        self.changed = True
        self.is_holding = any(note.holds for note in self._notes.values())
