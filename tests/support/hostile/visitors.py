"""Visitors who would be somebody."""

from typing import Any

from tests.support.hostile.credentials import arrival
from tests.support.hostile.judging import demand
from tests.support.hostile.peer import Peer, http
from tests.support.hostile.server import Person, Server
from tests.support.vectors import Row


async def states_identity(server: Server, row: Row) -> None:
    """Wherever they state it, they stay who they are."""
    arrived = await arrival(server)
    stated = {"user": "admin", "email": "admin@example.com", "sub": "admin"}
    for name, value in stated.items():
        path = "/api/v1/visitors"
        status, body = await http(server.port, "POST", path, body={name: value})
        demand(status in (400, 422), (name, status, body))
        async with await Peer.connect(server.port) as peer:
            hello = {"type": "hello", "token": arrived["token"], name: value}
            error = await peer.ask(hello)
            demand(error.get("code") == "invalid_frame", error)
    headers = ["X-User: admin\r\nX-Forwarded-User: admin\r\nCookie: user=admin"]
    async with await Peer.connect(server.port, headers=headers) as peer:
        welcome = await peer.hello(arrived["token"], client={"name": "admin", "version": "1"})
        demand(welcome["user"] == arrived["visitor"], welcome)
        metadata = {"user": "admin", "sub": "admin", "tenant": "t2", "email": "a@example.com"}
        chat = {"type": "chat", "id": "m1", "content": "x", "metadata": metadata}
        ack = await peer.ask(chat)
        demand(ack["type"] == "ack", ack)
    async with await server.connect(server.person("admin")) as admin:
        error = await admin.ask({"type": "attach", "conversation": ack["conversation"]})
        demand(error.get("code") == "not_found", error)


async def forges_identity(server: Server, row: Row) -> None:
    """By tokens that anybody can make."""
    arrived = await arrival(server)
    visitor = Person(arrived["visitor"], "default", arrived["token"])
    async with await server.connect(visitor) as peer:
        for recipe in ({"key": "nobody"}, {"key": "guess"}, {"key": "attacker rsa"}):
            forged = server.forge.token(recipe, "admin")
            error = await peer.ask({"type": "auth", "token": forged})
            demand(error.get("code") == row["expect"]["error"], error)
        chat = await peer.ask({"type": "chat", "id": "m1", "content": "x"})
        demand(chat["type"] == "ack", chat)
    async with await server.connect(visitor) as again:
        attached = await again.ask({"type": "attach", "conversation": chat["conversation"]})
        demand(attached["type"] == "attached", attached)


async def is_named(server: Server, row: Row) -> None:
    """What the visitor said goes along, and the visitor's token reaches it no more."""
    arrived = await arrival(server)
    visitor = Person(arrived["visitor"], "default", arrived["token"])
    user = server.person()
    async with await server.connect(visitor) as peer:
        ack = await peer.ask({"type": "chat", "id": "m1", "content": "x"})
        await peer.of_type("complete")
        ok = await peer.ask({"type": "auth", "token": user.token})
        demand(ok["type"] == "ok", ok)
    wanted = {"type": "attach", "conversation": ack["conversation"]}
    async with await server.connect(user) as again:
        attached = await again.ask(wanted)
        demand(attached["type"] == "attached", attached)
    path = f"/api/v1/conversations/{ack['conversation']}"
    # The visitor's token is void as soon as that is known here, and until then has nothing.
    for whose, good in ((user, (200,)), (visitor, (401, 404))):
        bearer = [f"Authorization: Bearer {whose.token}"]
        status, body = await http(server.port, "GET", path, headers=bearer)
        demand(status in good, (status, body))


async def in_public(server: Server, row: Row) -> None:
    """Without a site there are none, and a user's scopes are a user's."""
    path = "/api/v1/visitors"
    status, body = await http(server.port, "POST", path, body={})
    demand(status == 422, (status, body))
    status, body = await http(server.port, "POST", path, body={"site": "nobody's"})
    demand(status == 404, (status, body))
    narrow = server.person(scope="chat")
    async with await server.connect(narrow) as peer:
        fields: dict[str, Any] = {
            "model": "offline",
            "temperature": 0.5,
            "max_tokens": 5,
            "system_prompt": "x",
            "retrieval": False,
            "tools": [{"name": "t", "description": "", "parameters": {}}],
        }
        for name, value in fields.items():
            chat = {"type": "chat", "id": f"m-{name}", "content": "x", name: value}
            error = await peer.ask(chat)
            demand(error.get("code") == row["expect"]["error"], error)
    bearer = [f"Authorization: Bearer {narrow.token}"]
    for name, value in {"model": "offline", "system_prompt": "x", "collection": "c"}.items():
        path, body = "/api/v1/conversations", {name: value}
        status, said = await http(server.port, "POST", path, headers=bearer, body=body)
        demand((status, said["error"]["code"]) == (403, row["expect"]["error"]), said)
