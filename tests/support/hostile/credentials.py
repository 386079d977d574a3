"""Rows of credentials: who may speak at all, and as whom."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from tests.support import issuer
from tests.support.forging import flipped
from tests.support.hostile.frames import filled
from tests.support.hostile.judging import demand
from tests.support.hostile.peer import Ended, Frame, Peer, http
from tests.support.hostile.server import Person, Server
from tests.support.rawsocket import HungUp, RawSocket, request
from tests.support.vectors import Row, spell

Outcome = Frame | int  # what answered `hello`, or the code of the close


async def credential(server: Server, row: Row) -> None:
    """Show it, and see whether it is taken."""
    for kind, play in _KINDS.items():
        if kind in row:
            await play(server, row)
            return


async def _token(server: Server, row: Row) -> None:
    person = server.person()
    values = await server.values(person, set())
    token = server.forge.token(filled(row["token"], values, server), person.user)
    if "each" in row["token"]:
        parts = token.split(".")
        for part, text in enumerate(parts):
            for index in range(len(text)):
                changed = [*parts[:part], flipped(text, index), *parts[part + 1 :]]
                judge(row, await shown(server, ".".join(changed)))
        return
    if row.get("via") != "authorization":
        judge(row, await shown(server, token))
        return
    headers = [f"Authorization: Bearer {token}"]
    if "status" in row["expect"]:
        async with await RawSocket.connect(server.port) as raw:
            await raw.send(request(headers=headers))
            response = await raw.response()
            demand(response.status == row["expect"]["status"], response)
        return
    judge(row, await shown(server, None, headers=headers))


async def shown(server: Server, token: str | None, **how: Any) -> Outcome:
    """What comes of a `hello` with this token."""
    async with await Peer.connect(server.port, **how) as peer:
        hello = {"type": "hello"} | ({"token": token} if token is not None else {})
        try:
            await peer.send(spell(hello, peer.codec))
            answer = await peer.answer()
            if answer["type"] == "welcome":
                pong = await peer.ask({"type": "ping", "id": "lives-on"})
                demand(pong.get("id") == "lives-on", pong)
            return answer
        except Ended as ended:
            return ended.code
        except (HungUp, ConnectionError):
            return await peer.ending()


# Tickets


async def ticket_of(server: Server, person: Person, headers: Sequence[str] = ()) -> str:
    """A ticket for somebody."""
    bearer = f"Authorization: Bearer {person.token}"
    status, body = await http(server.port, "POST", "/api/v1/tickets", headers=[bearer, *headers])
    demand(status == 201, body)
    server.forge.made.append(body["ticket"])
    return str(body["ticket"])


async def _ticket(server: Server, row: Row) -> None:
    spec = row["ticket"]
    issuing = server.others[spec["of"]] if "of" in spec else server
    ticket = await ticket_of(issuing, issuing.person(), _origin(spec.get("issued")))
    text = str(spec["text"]).replace("$ticket", ticket) if "text" in spec else ticket
    if "case" in spec:
        text = ticket.swapcase()
    if "after_s" in spec:
        await asyncio.sleep(spec["after_s"])
    headers = _origin(spec.get("shown"))
    if spec.get("via") == "hello":
        judge(row, await shown(server, ticket))
        return
    if spec.get("via") == "authorization":
        judge(row, await shown(server, None, headers=[f"Authorization: Bearer {ticket}"]))
        return
    path = f"/ws?ticket={text}"
    if spec.get("at_once"):
        both = await asyncio.gather(*[shown(server, None, path=path) for _ in range(spec["uses"])])
        taken = [one for one in both if not isinstance(one, int)]
        demand(len(taken) == 1, both)
        judge(row, next(one for one in both if isinstance(one, int)))
        return
    for _ in range(spec.get("uses", 1) - 1):
        demand(not isinstance(await shown(server, None, path=path), int), "not even once")
    judge(row, await shown(server, None, path=path, headers=headers))


# Visitors


async def arrival(server: Server, origin: str | None = None, **body: Any) -> Any:
    """A visitor's token and what comes with it."""
    status, arrived = await http(
        server.port, "POST", "/api/v1/visitors", headers=_origin(origin), body=body
    )
    demand(status == 201, arrived)
    server.forge.made += [arrived["token"], arrived["renewal"]]
    return arrived


async def _visitor(server: Server, row: Row) -> None:
    spec = row["visitor"]
    token = (await arrival(server, spec["from"]))["token"]
    parts = token.split(".")
    for index, changes in ((0, spec.get("header")), (1, spec.get("claims"))):
        if changes:
            said = json.loads(issuer.raw(parts[index])) | changes
            parts[index] = issuer.text(json.dumps(said).encode())
    judge(row, await shown(server, ".".join(parts), headers=_origin(spec["shown"])))


# Renewal on the open socket


async def _auth(server: Server, row: Row) -> None:
    person = server.person()
    recipe = row["auth"]
    if recipe.get("visitor"):
        token = (await arrival(server))["token"]
    else:
        token = server.forge.token(recipe, person.user)
    async with await server.connect(person) as peer:
        judge(row, await peer.ask({"type": "auth", "token": token}))
        mine = await peer.ask({"type": "chat", "id": "m1", "content": "x"})
        demand(mine["type"] == "ack", mine)
    async with await server.connect(person) as peer:
        again = await peer.ask({"type": "attach", "conversation": mine["conversation"]})
        demand(again["type"] == "attached", "the socket became another's")


def judge(row: Row, outcome: Outcome) -> None:
    """Whether it is what the row expects."""
    expect = row["expect"]
    if isinstance(outcome, int):
        demand(outcome == expect.get("close"), f"closed with {outcome}")
        return
    if "error" in expect:
        demand(outcome.get("code") == expect["error"], outcome)
        demand("ref" not in expect or outcome.get("ref") == expect["ref"], outcome)
        return
    demand("ok" in expect and outcome["type"] != "error", outcome)


def _origin(origin: str | None) -> list[str]:
    return [f"Origin: {origin}"] if origin else []


_KINDS = {"token": _token, "ticket": _ticket, "visitor": _visitor, "auth": _auth}
