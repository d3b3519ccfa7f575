"""What `ps` and `top` show of this process, where setproctitle is installed."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KEEP_ENVIRONMENT = "SPT_NOENV"
"""With this variable, setproctitle leaves the memory alone where others read our environment."""
OWN = "prokerja: "


def title_setter() -> Callable[[str], None] | None:
    """A function that sets the title, from any thread; None without setproctitle."""
    before = os.environ.get(KEEP_ENVIRONMENT)
    os.environ[KEEP_ENVIRONMENT] = "1"
    try:
        from setproctitle import setproctitle

        setproctitle(OWN)  # the first call reads the variable
    except ImportError:
        return None
    finally:
        if before is None:
            del os.environ[KEEP_ENVIRONMENT]

    def set_title(title: str) -> None:
        setproctitle(f"{OWN}{title}")
        if sys.platform == "linux":  # or the name would be that of the thread that has called it
            with contextlib.suppress(OSError), open(f"/proc/{os.getpid()}/comm", "w") as name:
                name.write(f"{OWN}{title}")

    return set_title
