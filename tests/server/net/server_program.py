"""Serves the echo with a drain that takes as long as it is told; for tests that send signals."""

import asyncio
import sys

from server.net.options import Options
from server.net.server import Server, listen, server_config
from tests.server.net.echo import echo


async def serve(drain_s: float) -> None:
    """Say the port, and when the drain begins and ends."""

    async def drain() -> None:
        say("draining")
        await asyncio.sleep(drain_s)
        say("drained")

    options = Options(close_s=1)
    listener = listen("127.0.0.1", 0, options)
    say(str(listener.getsockname()[1]))
    await Server(server_config(echo, options), drain).serve([listener])
    say("ended")


def say(word: str) -> None:
    """One line to whoever waits for it."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
