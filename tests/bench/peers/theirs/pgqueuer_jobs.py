"""pgqueuer on postgres, claiming in batches of 100, its fastest setting."""

# mypy: disable-error-code=import-not-found
# It runs in the environment of its peer.

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import counting
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver

CHUNK = 1000


@asynccontextmanager
async def main() -> AsyncIterator[PgQueuer]:
    """What `pgq run` starts."""
    connection = await asyncpg.connect()
    manager = PgQueuer(AsyncpgDriver(connection))

    async def noop(job: object) -> None:
        counting.count()

    manager.entrypoint("noop")(noop)
    yield manager


def declare() -> None:
    """CHUNK jobs in each statement."""
    asyncio.run(_declare())


async def _declare() -> None:
    connection = await asyncpg.connect()
    queries = Queries(AsyncpgDriver(connection))
    for begin in range(0, counting.JOBS, CHUNK):
        numbers = range(begin, min(begin + CHUNK, counting.JOBS))
        payloads = [b'{"n":%d}' % n for n in numbers]
        await queries.enqueue(["noop"] * len(numbers), payloads, [0] * len(numbers))
