"""What attempts are given beside their payloads, gathered from whoever has something for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.model.claim import Extra
from prokerja.repository.sqlite.steps import Steps
from prokerja.repository.sqlite.traces import traced

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from prokerja.repository.sqlite.awaiting import Awaiting
    from prokerja.repository.sqlite.blocks import Blocks
    from prokerja.repository.sqlite.database import Database
    from prokerja.repository.sqlite.hooks import Hooks

ANY = """
    SELECT EXISTS (SELECT 1 FROM dependency) OR EXISTS (SELECT 1 FROM successor)
        OR EXISTS (SELECT 1 FROM step WHERE result IS NOT NULL)
        OR EXISTS (SELECT 1 FROM answer)"""


class Extras:
    """Reads only, inside the transaction that claims."""

    def __init__(
        self, database: Database, blocks: Blocks, awaiting: Awaiting, hooks: Hooks
    ) -> None:
        self._database = database
        self._blocks = blocks
        self._steps = Steps(database)
        self._awaiting = awaiting
        self._hooks = hooks

    def of(
        self,
        token: int,
        held: Collection[int],
        hooked: Sequence[int] = (),
        *,
        with_traces: bool = False,
    ) -> dict[tuple[int, int], Extra]:
        """By token and id, those of what a claim holds; `hooked`: lanes whose jobs have hooks."""
        if not (hooked or with_traces or self._database.execute(ANY).fetchone()[0]):
            return {}
        found = self._blocks.extras(token)
        for id, results in self._steps.results(held).items():
            found[id] = found.get(id, Extra())._replace(steps=results)
        for id, answer, secret in self._awaiting.answers(token):
            found[id] = found.get(id, Extra())._replace(answer=answer, token=secret)
        for id, hooking in self._hooks.given(token, hooked).items() if hooked else ():
            found[id] = found.get(id, Extra())._replace(hooks=hooking)
        for id, one in traced(self._database, token) if with_traces else ():
            found[id] = found.get(id, Extra())._replace(traced=one)
        return {(token, id): extra for id, extra in found.items()}
