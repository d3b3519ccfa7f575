"""Servers that peers need: in a temporary directory, on a unix socket, gone when it is over."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.bench.stage import LeftOut, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START = 20.0
"""Seconds that a server has to come up."""
POSTGRES = "postgres"
"""The user that postgres runs as where we are root, whom it refuses."""


@contextmanager
def NO_SERVER(environment: str) -> Iterator[dict[str, str]]:  # noqa: N802  a value like any other
    """For a peer that needs none."""
    yield {}


@contextmanager
def redis(environment: str) -> Iterator[dict[str, str]]:
    """redis with its built-in defaults (snapshots, no log), on a socket only."""
    program = _found("redis-server")
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as home:
        socket = f"{home}/redis.sock"
        command = [program, "--port", "0", "--unixsocket", socket, "--dir", home]
        with _running(command, home, socket):
            yield {"RQ_REDIS_URL": f"unix://{socket}"}


@contextmanager
def postgres(environment: str) -> Iterator[dict[str, str]]:
    """postgres as `initdb` sets it up (fsync on), on a socket only, with pgqueuer's tables."""
    server, initdb = _found("postgres"), _found("initdb")
    user = POSTGRES if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="bench-postgres-") as home:
        if user:
            shutil.chown(home, user)
        place = {"PGHOST": home, "PGUSER": POSTGRES, "PGDATABASE": POSTGRES}
        _run([initdb, "--username", POSTGRES, "--auth", "trust", f"{home}/data"], home, user)
        command = [server, "-D", f"{home}/data", "-k", home, "-c", "listen_addresses="]
        with _running(command, home, f"{home}/.s.PGSQL.5432", user):
            _run([f"{environment}/bin/pgq", "install"], home, None, place)
            yield place


@contextmanager
def _running(
    command: Sequence[str], home: str, socket: str, user: str | None = None
) -> Iterator[None]:
    with open(f"{home}/log", "wb") as log:
        server = subprocess.Popen(
            command, cwd=home, env=surroundings(), stdout=log, stderr=log, user=user, group=user
        )
    try:
        give_up = time.monotonic() + START
        while not os.path.exists(socket):
            if server.poll() is not None or time.monotonic() > give_up:
                raise LeftOut(f"{os.path.basename(command[0])} does not start here")
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait()


def _run(
    command: Sequence[str], home: str, user: str | None, more: dict[str, str] | None = None
) -> None:
    environment = {**surroundings(), **(more or {})}
    done = subprocess.run(
        command,
        cwd=home,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        user=user,
        group=user,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no word why"]
        raise LeftOut(f"{os.path.basename(command[0])} failed: {last[0]}")


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise LeftOut(f"there is no {program} on this machine")
    if program == POSTGRES and os.geteuid() == 0:
        try:
            pwd.getpwnam(POSTGRES)
        except KeyError:
            raise LeftOut("postgres refuses root, and there is no user postgres") from None
    return path
