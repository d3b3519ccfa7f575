"""One job in many kinds, each of which says how it is to end."""

import os
import subprocess
import threading
import time
from dataclasses import dataclass

from prokerja import Await, GiveUp, Job, Later

from .soak_part import VERSION


@dataclass
class SoakJob(Job):
    """Do what `kind` says, as number `n` of the soak."""

    kind: str
    n: int
    retries = 10
    retry_after = 0.05
    timeout = 20

    def handle(self) -> object:
        """The result tells which version of the imported file was loaded."""
        getattr(self, f"_{self.kind}", lambda: None)()
        if self.kind == "later" and self._first():
            return Later(0.1)
        return Await() if self.kind == "awaits" else {"version": VERSION}

    def resolved(self, data: object) -> object:
        """It has waited for this."""
        return data

    def _fails(self) -> None:
        raise GiveUp("as asked")

    def _flaky(self) -> None:
        if self._first():
            raise RuntimeError("the first time")

    def _dies(self) -> None:
        if self._first():
            os._exit(3)

    def _slow(self) -> None:
        time.sleep(0.3)

    def _hangs(self) -> None:
        time.sleep(3600)

    def _steps(self) -> None:
        for name in "abc":
            self.step(name, time.monotonic_ns)
            self.progress(ord(name) - ord("a"), 3)

    def _prints(self) -> None:
        print("x" * 1000)

    def _leaves(self) -> None:
        threading.Thread(target=time.sleep, args=(1.0,), daemon=True).start()
        subprocess.Popen(["sleep", "1"])

    def _declares(self) -> None:
        self.declare(SoakJob("child", self.n))

    def _first(self) -> bool:
        """Whether no attempt at this number has got here before."""
        folder = os.environ["PROKERJA_SOAK"]
        try:
            os.close(os.open(f"{folder}/{self.n}", os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True
