"""The command line of a realizer's process."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from prokerja.worker.wire.messages import Launch

BOOT = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
def load(name, file):
    spec = spec_from_file_location(name, sys.argv[1] + file)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
own = list(map(int, sys.argv[3].split(",")))
load("prokerja_reaper", "/worker/realizer/reaper.py").divide(own, int(sys.argv[4]))
load("prokerja", "/__init__.py")
from prokerja.worker.realizer.start import start
start(sys.argv[2])
"""
"""With this very package, wherever it was imported from. The reaper stays as large as it is when it
forks, so it is loaded by itself before that."""


def command(launch: Launch) -> list[str]:
    """The command line of a realizer and its reaper."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    message = msgspec.json.encode(launch).decode()
    own = ",".join(map(str, launch.own))
    # Whatever the locale, a name in a payload means the bytes that were declared.
    return [sys.executable, "-X", "utf8", "-P", "-c", BOOT, package, message, own, str(launch.lock)]
