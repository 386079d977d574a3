"""Rows that take a story, above all that of credentials which end while they are used."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from storage.accounts import User
from storage.sql.store import SqlStore
from storage.values import Owner
from tests.support.hostile import visitors
from tests.support.hostile.credentials import arrival, shown, ticket_of
from tests.support.hostile.deaf import never_pongs, never_reads
from tests.support.hostile.judging import Wrong, demand
from tests.support.hostile.peer import Ended, Frame, Peer, http
from tests.support.hostile.server import Person, Server, with_store
from tests.support.vectors import Row

LONG_SCRIPT = '{"tokens": 2000, "every_ms": 50}'
REVOKED_WITHIN_S = 5.0


async def life(server: Server, row: Row) -> None:
    """Live it."""
    await _LIVES[row["behaviour"]](server, row)


async def _streaming(peer: Peer) -> Frame:
    """The `ack` of an answer that has begun to stream."""
    chat = {"type": "chat", "id": "m1", "content": LONG_SCRIPT, "model": "scripted"}
    ack = await peer.ask(chat)
    demand(ack["type"] == "ack", ack)
    await peer.of_type("chunk")
    return ack


async def _closed(peer: Peer, row: Row, within_s: float) -> list[Frame]:
    """What came until the close that the row expects."""
    told: list[Frame] = []
    began = time.monotonic()
    try:
        async with asyncio.timeout(within_s + 5):
            while True:
                told.append(await peer.frame())
    except TimeoutError:
        raise Wrong("not closed in time") from None
    except Ended as ended:
        demand(ended.code == row["expect"]["close"], f"closed with {ended.code}: {told[-3:]}")
    took = time.monotonic() - began
    demand(took <= within_s, f"closed only after {took:.1f} s")
    return told


# Revoked


async def _sessions_ended(server: Server, row: Row) -> None:
    """The sockets end, the answer does not: it is the conversation's."""
    await _voided(server, row, _end_sessions, "complete")


async def _user_disabled(server: Server, row: Row) -> None:
    """The sockets end, and so does the answer."""
    await _voided(server, row, _disable, "stopped")


async def _voided(
    server: Server,
    row: Row,
    void: Callable[[SqlStore, Person], Awaitable[object]],
    outcome: str,
) -> None:
    person = server.person()
    # So that the token is from before the second in which the sessions end.
    person.token = server.forge.token({"claims": {"iat": {"now": -5}}}, person.user)
    async with await server.connect(person) as peer, await server.connect(person) as second:
        ack = await _streaming(peer)
        await _touch(server, lambda store: void(store, person))
        await asyncio.gather(*[_closed(each, row, REVOKED_WITHIN_S) for each in (peer, second)])
    again = await shown(server, person.token)
    demand(again == row["expect"]["close"], f"the token is taken again: {again}")
    newer = Person(person.user, person.tenant, "")
    newer.token = server.forge.token({"claims": {"iat": {"now": 2}}}, person.user)
    if outcome == "stopped":
        demand(await shown(server, newer.token) == row["expect"]["close"], "let in by a new one")
        await _touch(server, lambda store: _stopped(store, person, ack))
    else:
        async with await server.connect(newer) as third:
            attached = await third.ask({"type": "attach", "conversation": ack["conversation"]})
            running = [each["answer"] for each in attached["answers"]]
            demand(running == [ack["answer"]], attached)
            await third.ask({"type": "stop", "answer": ack["answer"]})


async def _stopped(store: SqlStore, person: Person, ack: Frame) -> None:
    """The answer has ended as if the person had stopped it."""
    deadline = time.monotonic() + REVOKED_WITHIN_S
    owner = Owner(person.tenant, person.user)
    while (answered := (await store.history.message(owner, ack["answer"])).answered) is None or (
        answered.outcome is None
    ):
        demand(time.monotonic() < deadline, "the answer still runs")
        await asyncio.sleep(0.05)
    demand(answered.outcome.value == "stopped", answered.outcome)


async def _end_sessions(store: SqlStore, person: Person) -> None:
    await store.internal.accounts.put_user(User(tenant=person.tenant, id=person.user))
    await store.internal.accounts.end_sessions(person.tenant, person.user)


async def _disable(store: SqlStore, person: Person) -> None:
    await store.internal.accounts.put_user(User(tenant=person.tenant, id=person.user))
    await store.internal.accounts.disable_user(person.tenant, person.user, disabled=True)


async def _token_from_before(server: Server, row: Row) -> None:
    """It was never shown before the sessions ended."""
    person = server.person()
    person.token = server.forge.token({"claims": {"iat": {"now": -5}}}, person.user)
    await _touch(server, lambda store: _end_sessions(store, person))
    await _refused_soon(lambda: shown(server, person.token), row)


async def _ticket_from_before(server: Server, row: Row) -> None:
    """It speaks for a token that is void by now."""
    person = server.person()
    person.token = server.forge.token({"claims": {"iat": {"now": -5}}}, person.user)
    tickets = [await ticket_of(server, person) for _ in range(15)]
    await _touch(server, lambda store: _end_sessions(store, person))
    await _refused_soon(lambda: shown(server, None, path=f"/ws?ticket={tickets.pop()}"), row)


async def _ticket_replayed(server: Server, row: Row) -> None:
    """Somebody has got hold of what was another's, and that is written down."""
    person = server.person()
    path = f"/ws?ticket={await ticket_of(server, person)}"
    await shown(server, None, path=path)
    outcome = await shown(server, None, path=path)
    demand(outcome == row["expect"]["close"], outcome)

    async def written(store: SqlStore) -> list[str]:
        entries = await store.internal.audit.entries(person.tenant)
        return [entry.action for entry in entries if entry.person == person.user]

    demand(await with_store(server.database_url, written) == ["ticket.replayed"], "not audited")


async def _refused_soon(show: Callable[[], Awaitable[Any]], row: Row) -> None:
    deadline = time.monotonic() + REVOKED_WITHIN_S
    while (outcome := await show()) != row["expect"]["close"]:
        demand(time.monotonic() < deadline, f"still taken: {outcome}")
        await asyncio.sleep(0.5)


async def _renewal_replayed(server: Server, row: Row) -> None:
    """Somebody has a copy of the secret, so nobody is trusted with it any more."""
    arrived = await arrival(server)
    visitor = Person(arrived["visitor"], "default", arrived["token"])
    async with await server.connect(visitor) as peer:
        await _streaming(peer)
        await arrival(server, renewal=arrived["renewal"])
        path, body = "/api/v1/visitors", {"renewal": arrived["renewal"]}
        status, _ = await http(server.port, "POST", path, body=body)
        demand(status == 401, f"the used secret is good for {status}")
        await _closed(peer, row, REVOKED_WITHIN_S)


async def _touch(server: Server, work: Callable[[SqlStore], Any]) -> None:
    await with_store(server.database_url, work)


# Expired


async def _expires(server: Server, row: Row) -> None:
    """It is told first; then there is some grace; the answer goes on without the socket."""
    person = server.person()
    person.token = server.forge.token({"claims": {"exp": {"now": 3}}}, person.user)
    async with await server.connect(person) as peer:
        ack = await _streaming(peer)
        expiring = await peer.of_type("expiring")
        demand(expiring["in_s"] <= 1, expiring)
        await _closed(peer, row, 3.5)
    async with await server.connect(server.person(person.user)) as again:
        attached = await again.ask({"type": "attach", "conversation": ack["conversation"]})
        demand(len(attached["answers"]) == 1, attached)
        await again.ask({"type": "stop", "answer": ack["answer"]})


async def _renewed(server: Server, row: Row) -> None:
    """By a new token of the same user."""
    person = server.person()
    person.token = server.forge.token({"claims": {"exp": {"now": 3}}}, person.user)
    async with await server.connect(person) as peer:
        ack = await _streaming(peer)
        await peer.of_type("expiring")
        newer = server.forge.token({"claims": {"exp": {"now": 60}}}, person.user)
        ok = await peer.ask({"type": "auth", "token": newer})
        demand(ok["type"] == "ok" and ok["ref"] == "auth" and ok["expires_at"], ok)
        for _ in range(60):  # three seconds' worth of an answer: the old token's end and grace
            await peer.of_type("chunk")
        await peer.ask({"type": "stop", "answer": ack["answer"]})


async def _renewed_badly(server: Server, row: Row) -> None:
    """What was tried changes nothing."""
    person = server.person()
    person.token = server.forge.token({"claims": {"exp": {"now": 3}}}, person.user)
    async with await server.connect(person) as peer:
        await peer.of_type("expiring")
        bad = server.forge.token({"key": "guess"}, person.user)
        error = await peer.ask({"type": "auth", "token": bad})
        demand(error.get("code") == "unauthenticated" and error.get("ref") == "auth", error)
        await _closed(peer, row, 3.5)


_LIVES: dict[str, Callable[[Server, Row], Awaitable[None]]] = {
    "sessions_ended": _sessions_ended,
    "user_disabled": _user_disabled,
    "token_from_before": _token_from_before,
    "ticket_from_before": _ticket_from_before,
    "ticket_replayed": _ticket_replayed,
    "renewal_replayed": _renewal_replayed,
    "expires": _expires,
    "renewed": _renewed,
    "renewed_badly": _renewed_badly,
    "visitor_states_identity": visitors.states_identity,
    "visitor_forges_identity": visitors.forges_identity,
    "visitor_is_named": visitors.is_named,
    "visitor_in_public": visitors.in_public,
    "never_reads": never_reads,
    "never_pongs": never_pongs,
}
