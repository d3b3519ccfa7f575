"""Where a user's files belong, as platformdirs says it; it alone takes longer than a declaration.

On Linux, the common case of its rule (the XDG Base Directory Specification) is read here: an
absolute path in the variable, else below an absolute HOME.
"""

from __future__ import annotations

import os
import sys

APP = "prokerja"
XDG = {"config": ("XDG_CONFIG_HOME", "~/.config"), "data": ("XDG_DATA_HOME", "~/.local/share")}


def user_directory(kind: str) -> str:
    """The user's directory for `config` or `data`; empty for a user without a home directory."""
    if sys.platform == "linux" and (base := base_directory(kind)):
        return os.path.join(base, APP)
    return _ask_platformdirs(kind)


def base_directory(kind: str) -> str:
    """Where every program has its `config` or `data`, by that specification; empty if unknown."""
    variable, usual = XDG[kind]
    base = os.environ.get(variable, "")
    if os.path.isabs(base):
        return base
    return os.path.expanduser(usual) if os.path.isabs(os.environ.get("HOME", "")) else ""


def _ask_platformdirs(kind: str) -> str:
    import platformdirs

    find = platformdirs.user_config_dir if kind == "config" else platformdirs.user_data_dir
    try:
        found = find(APP, appauthor=False)
    except RuntimeError:
        return ""
    return found if os.path.isabs(found) else ""
