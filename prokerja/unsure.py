"""Options of a class that its file does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prokerja.errors import CatalogError

if TYPE_CHECKING:
    from prokerja.options import Options
    from prokerja.spec import JobSpec


def refuse_unsure(spec: JobSpec, options: Options) -> None:
    """Raise CatalogError unless the declaration says all that the class leaves open."""
    missing = [key for key in spec.unsure if not _is_said(key, options)]
    if missing:
        from prokerja.text import escaped

        raise CatalogError(
            f"{spec.name}: {' and '.join(missing)} of this job in {escaped(spec.file)}"
            f" {'is' if len(missing) == 1 else 'are'} computed; write it out, or start a worker"
            " once, which imports the file"
        )


def _is_said(key: str, options: Options) -> bool:
    """Whether a declaration leaves nothing of an option to the class."""
    if key == "lock":
        return options.limit_key is not None and options.limit is not None
    is_locked = key in ("limit_key", "limit") and options.lock is not None
    return is_locked or getattr(options, key, None) is not None
