"""What is kept of a job's result."""

from typing import NamedTuple

MAX_RESULT_BYTES = 2**16
"""Of JSON text; of a longer one, only the beginning is kept."""
MAX_GIVEN_BYTES = 16 * 2**20
"""Of the results of all its parents, as much as a job is given."""


class CutResult(NamedTuple):
    """A result that was too long to be kept whole."""

    bytes: int
    """Of its JSON text."""
    beginning: str
    """Of that text, which is no JSON by itself."""
