"""What a job changes in its process, and the next one does not find."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.harness.home import Home

CHANGES = {
    "a timer": ("signal.setitimer(signal.ITIMER_REAL, 600)", "signal.getitimer(0)[0] > 0"),
    "a virtual timer": ("signal.setitimer(signal.ITIMER_PROF, 600)", "signal.getitimer(2)[0] > 0"),
    "a handler": ("signal.signal(signal.SIGUSR1, print)", "signal.getsignal(signal.SIGUSR1)"),
    "an ignored signal": (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGCHLD)",
    ),
    "the signal mask": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [])",
    ),
    "the directory": ("os.chdir('/')", "os.getcwd()"),
    "the directory by its descriptor": (
        "os.fchdir(os.open('/', os.O_RDONLY))",
        "os.getcwd()",
    ),
    "the umask": ("os.umask(0o177)", "os.umask(0o022)"),
    "a variable": ("os.environ['HOME'] = '/nowhere'", "os.environ.get('HOME')"),
    "a new variable": ("os.environ['LEAK'] = 'x'", "os.environ.get('LEAK')"),
    "a removed variable": ("del os.environ['PATH']", "os.environ.get('PATH')"),
    "a variable of C": (
        "os.putenv('LEAK', 'x')",
        "subprocess.run(['sh', '-c', 'echo $LEAK'], stdout=subprocess.PIPE).stdout.decode()",
    ),
    "the time zone": (
        "os.environ['TZ'] = 'Asia/Jakarta'; time.tzset()",
        "time.timezone",
    ),
    "a limit": (
        "import resource; resource.setrlimit(7, (99, resource.getrlimit(7)[1]))",
        "__import__('resource').getrlimit(7)[0]",
    ),
    "the time-out of sockets": (
        "import socket; socket.setdefaulttimeout(1)",
        "__import__('socket').getdefaulttimeout()",
    ),
    "the locale": (
        "import locale; locale.setlocale(locale.LC_ALL, 'C')",
        "__import__('locale').setlocale(__import__('locale').LC_ALL)",
    ),
    "sys.path": ("sys.path.insert(0, HOME)", "sys.path[0]"),
    "another sys.path": ("sys.path = sys.path[1:]; import colorsys", "len(sys.path)"),
    "logging": (
        "import logging; logging.basicConfig(level=logging.DEBUG)",
        "str(__import__('logging').root) + str(__import__('logging').root.handlers)",
    ),
    "disabled logging": (
        "import logging; logging.disable(logging.CRITICAL)",
        "__import__('logging').root.manager.disable",
    ),
    "the recursion limit": ("sys.setrecursionlimit(500)", "sys.getrecursionlimit()"),
    "the garbage collector": ("import gc; gc.disable()", "__import__('gc').isenabled()"),
    "the filters of warnings": (
        "import warnings; warnings.simplefilter('error')",
        "str(__import__('warnings').filters[0])",
    ),
}
"""What a job does, and what another one sees of it."""
UNHEARD = {
    "all variables": ("os.environ = {}", "len(os.environ)"),
    "the umask": ("__import__('ctypes').CDLL(None).umask(0o177)", "os.umask(0o022)"),
    "the directory": ("__import__('ctypes').CDLL(None).chdir(b'/')", "os.getcwd()"),
    "a timer": ("__import__('ctypes').CDLL(None).alarm(600)", "signal.getitimer(0)[0] > 0"),
}
"""The same, done without a function of Python's that does such things."""


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_job_changes_in_its_process_the_next_one_does_not_find(
    home: Home, what: str
) -> None:
    change, seen = CHANGES[what]
    look = f"return [os.getpid(), str({seen})]"
    before, changed, after = home.run_each([look, f"{change}\n{look}", look])
    home.work()
    pids, values = zip(*(home.job(id)["result"] for id in (before, changed, after)), strict=True)
    assert len(set(pids)) == 1
    assert values[0] == values[2] != values[1]


@pytest.mark.parametrize("what", UNHEARD)
def test_what_a_job_changes_in_other_ways_does_not_outlast_the_turn(home: Home, what: str) -> None:
    change, seen = UNHEARD[what]
    look = f"return [os.getpid(), str({seen})]"
    home.worker()
    codes = ["import ctypes", look, f"{change}\n{look}", look]
    found = [home.wait(home.run(code))["result"] for code in codes][1:]
    pids, values = zip(*found, strict=True)
    assert len(set(pids)) == 1
    assert values[0] == values[2] != values[1]


def test_an_alarm_that_a_job_has_set_kills_nobody_after_it(home: Home) -> None:
    home.run("signal.alarm(1)")
    home.run("import faulthandler; faulthandler.dump_traceback_later(1, exit=True)")
    innocent = home.run("end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass")
    home.work()
    assert home.job(innocent)["error"] is None
    assert home.statuses([innocent]) == ["completed"]


def test_what_the_job_files_have_set_up_stays(home: Home) -> None:
    home.write(
        "settled.py",
        """
        import logging, os, signal
        from dataclasses import dataclass
        from prokerja import Job

        os.environ["SETTLED"] = "yes"
        logging.basicConfig(level=logging.ERROR)
        handler = signal.signal(signal.SIGUSR1, signal.SIG_IGN)

        @dataclass
        class Settled(Job):
            def handle(self):
                level = logging.root.level
                os.environ["SETTLED"] += "!"
                logging.root.setLevel(logging.DEBUG)
                return [os.environ["SETTLED"], level, len(logging.root.handlers),
                        signal.getsignal(signal.SIGUSR1)]
        """,
    )
    ids = [home.declare_job("settled") for _ in range(2)]
    home.work()
    assert [home.job(id)["result"] for id in ids] == [["yes!", 40, 1, 1]] * 2


@pytest.mark.parametrize(
    "for_good", ["os.setuid(12345)", "os.chroot('/proc')", "os.setgroups([7])"]
)
def test_a_realizer_that_a_job_has_changed_for_good_is_replaced_and_that_is_said_once(
    home: Home, for_good: str
) -> None:
    look = "return [os.getpid(), os.getuid(), os.stat('/').st_ino, os.getgroups()]"
    first = home.run(look)
    home.run_each([for_good] * 3)
    last = home.run(look)
    worker = home.work()
    assert home.counts()["completed"] == 5
    pid, *state = home.job(first)["result"]
    other, *after = home.job(last)["result"]
    assert (state, pid != other) == (after, True)
    assert worker.said().count("changed its process for good") == 1
    assert [home.job(id)["attempts"] for id in range(first, last + 1)] == [1] * 5


HELD = """
import gc, weakref
from prokerja import Job

seen = []

class Fails(Job):
    def payload(self): return {}
    def handle(self):
        gc.collect()
        gc.disable()
        seen.append(weakref.ref(self))
        raise ValueError

class Looks(Job):
    def payload(self): return {}
    def handle(self):
        return [one() is None for one in seen]
"""


def test_a_job_that_has_failed_is_gone_at_once_with_all_that_it_held(home: Home) -> None:
    home.write("held.py", HELD)
    home.declare_job("fails")
    id = home.declare_job("looks")
    home.work()
    assert home.job(id)["result"] == [True]
