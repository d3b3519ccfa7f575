"""What is to change of a pending declaration; times are seconds since the epoch, in UTC."""

from typing import Any, NamedTuple


class Change(NamedTuple):
    """`columns` are retries, retry_after, timeout, label and batch, as far as they change."""

    queue: str | None = None
    """None for what it is, here and below."""
    priority: int | None = None
    due_at: float | None = None
    expires_at: float | None = None
    columns: dict[str, Any] = {}  # noqa: RUF012  nobody changes it
