"""What instances have in common, and where it is kept."""

import secrets
from contextlib import AsyncExitStack

from server.commons import Commons, commons_of
from server.config import load
from storage.tickets import Found, TicketStore


async def put(tickets: TicketStore) -> None:
    """A ticket, by name."""
    await tickets.put(b"name", b"value", holder="ada", life_ms=60_000, most=9, most_of_holder=9)


async def opened(stack: AsyncExitStack, environ: dict[str, str]) -> Commons:
    """An instance's part."""
    return await stack.enter_async_context(commons_of(load(environ)))


async def test_a_process_of_its_own_shares_nothing_and_asks_nobody() -> None:
    """Its words need nothing to run, and nobody else counts."""
    async with AsyncExitStack() as stack:
        one, other = [await opened(stack, {}) for _ in range(2)]
        assert (one.counters, one.carry, one.ask) == (None, None, None)
        await put(one.tickets)
        assert await other.tickets.take(b"name") is None


async def test_over_redis_one_finds_what_the_other_has_put(redis_url: str) -> None:
    """And it is asked whether it can be reached."""
    environ = {"REDIS_URL": redis_url, "PARLEY_REDIS_PREFIX": f"commons-{secrets.token_hex(4)}"}
    async with AsyncExitStack() as stack:
        one, other = [await opened(stack, environ) for _ in range(2)]
        assert one.ask is not None
        await one.ask()
        await put(one.tickets)
        found = await other.tickets.take(b"name")
        assert isinstance(found, Found)
        assert found.value == b"value"
