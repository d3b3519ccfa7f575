"""What a job is called with, beside its payload."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prokerja.model.claim import Extra


def perform(job: Any, extra: Extra) -> Any:
    """Run a job, or go on with one that was resolved: its answer is its result by default."""
    if extra.answer is None:
        return job.handle()
    data = json.loads(extra.answer)
    resolved = getattr(type(job), "resolved", None)
    return resolved(job, data) if callable(resolved) else data
