"""One process of several that send the same messages to the same database at the same time.

    python -m tests.support.racer URL TENANT COUNT

says `ready`, waits for a line, sends messages 0 … COUNT-1, and prints what became of each.
"""

import asyncio
import sys

import msgspec
from msgspec import Raw

from storage.ids import Ids
from storage.records import Send, Sent
from storage.sql import Options, open_database
from storage.sql.store import SqlStore
from storage.values import Once, Owner


async def main(url: str, tenant: str, count: int) -> None:
    db = await open_database(url, Options(waiting=5000, turn=120.0, statement=60.0))
    sending, owner = SqlStore(db, Ids()).sending, Owner(tenant, "ann")

    async def send(number: int) -> Sent:
        once = Once(f"id-{number}", "body")
        return await sending.send(
            owner, Send(once=once, request=Raw(b"{}"), max_queued=3, content="hello")
        )

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    sent = await asyncio.gather(*(send(number) for number in range(count)))
    sys.stdout.write(msgspec.json.encode(sent).decode() + "\n")
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
