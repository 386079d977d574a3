"""What a client can see of the rules of sections 2 to 8, in both encodings."""

import asyncio
import os
import signal
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.frames import Opcode

from tests.e2e.alone.client import Closed, Conversation, Frame, Refused, Wire
from tests.e2e.alone.place import (
    House,
    Person,
    ask,
    fresh,
    hear,
    patient,
    script,
    settle,
    together,
    token,
)

ONE = script(tokens=1, text="one")
STALLED = script(tokens=5, text="ab ", fail="stall", at=3)
MINE = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}


async def closed_with(wire: Wire) -> int:
    """Read to the end; the close code."""
    with pytest.raises(Closed) as closed:
        await hear(wire, "nothing that there is")
    return closed.value.code


# Section 2: connection.


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["parley.v9", "parley.v1.msgpack", "parley.v1.json"], "parley.v1.msgpack"),
        (["parley.v1.json", "parley.v1.msgpack"], "parley.v1.json"),
    ],
)
@patient
async def test_the_first_known_subprotocol_is_taken(
    house: House, offered: list[Any], chosen: str | None
) -> None:
    """Section 2: the first offered encoding that the server knows; none offered means JSON."""
    async with connect(house.ws, subprotocols=offered or None, compression=None) as socket:
        assert socket.subprotocol == chosen
        wire = Wire(socket, "msgpack" if chosen == "parley.v1.msgpack" else "json")
        await wire.send({"type": "hello", "token": token(fresh())})
        assert (await wire.recv())["type"] == "welcome"
        assert "permessage-deflate" not in (socket.response.headers if socket.response else {})


@patient
async def test_unknown_subprotocols_are_closed_after_the_upgrade(house: House) -> None:
    """Section 2: only unknown ones offered means accepted, and closed with 4506."""
    assert await closed_with(await Wire.dial(house.ws, "xml")) == 4506


@patient
async def test_the_wrong_kind_of_message(ada: Person) -> None:
    """Section 2: text on MessagePack, or binary on JSON, closes with 1003."""
    wire = await ada.wire()
    await wire.raw(b"{}" if ada.encoding == "json" else "{}")
    assert await closed_with(wire) == 1003


@patient
async def test_a_token_in_the_url(ada: Person) -> None:
    """Section 2: a token in the URL is refused before the upgrade, which means 4500 to a client."""
    with pytest.raises(Closed) as closed:
        await ada.dial(f"?token={ada.token()}")
    assert closed.value.code == 4500
    async with httpx.AsyncClient(base_url=ada.house.http) as http:
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        upgrade |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        answer = await http.get("/ws", params={"token": ada.token()}, headers=upgrade)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "token_in_query")


@patient
async def test_the_authorization_header(ada: Person) -> None:
    """Section 2: with a token in the handshake's header, `hello` needs none."""
    wire = await ada.dial(Authorization=f"Bearer {ada.token()}")
    await wire.send({"type": "hello"})
    assert (await hear(wire, "welcome"))["user"] == ada.user


@patient
async def test_bad_credentials(ada: Person) -> None:
    """Section 6: no, bad and strangers' credentials close with 4501, expired ones with 4002."""
    forged = ada.token()[:-4] + "AAAA"
    for hello, code in (
        ({}, 4501),
        ({"token": "nonsense"}, 4501),
        ({"token": forged}, 4501),
        ({"token": ada.token(-3600)}, 4002),
    ):
        wire = await ada.dial()
        await wire.send({"type": "hello", **hello})
        assert await closed_with(wire) == code


@patient
async def test_tickets(ada: Person) -> None:
    """Section 2: a ticket over HTTP lets one socket in, once."""
    bearer = {"Authorization": f"Bearer {ada.token()}"}
    async with httpx.AsyncClient(base_url=ada.house.http) as http:
        assert (await http.post("/api/v1/tickets")).status_code == 401
        made = await http.post("/api/v1/tickets", headers=bearer)
    ticket = made.json()["ticket"]
    wire = await ada.dial(f"?ticket={ticket}")
    await wire.send({"type": "hello"})
    assert (await hear(wire, "welcome"))["user"] == ada.user
    again = await ada.dial(f"?ticket={ticket}")
    await again.send({"type": "hello"})
    assert await closed_with(again) == 4501


@patient
async def test_visitors(ada: Person) -> None:
    """HTTP: a visitor talks, comes back by the secret, and becomes a user of the host's."""
    async with httpx.AsyncClient(base_url=ada.house.http) as http:
        made = await http.post("/api/v1/visitors", json={})
        again = await http.post("/api/v1/visitors", json={"renewal": made.json()["renewal"]})
    assert (made.status_code, again.status_code) == (201, 201)
    assert made.json()["visitor"] == again.json()["visitor"]
    wire = await ada.dial()
    await wire.send({"type": "hello", "token": again.json()["token"]})
    assert (await hear(wire, "welcome"))["user"] == made.json()["visitor"]
    ack = await ask(wire, type="chat", id=fresh(), content=ONE)
    await hear(wire, "complete", answer=ack["answer"])
    await wire.send({"type": "auth", "token": ada.token()})
    assert (await hear(wire, "ok", ref="auth"))["expires_at"]


@patient
async def test_auth(ada: Person, eve: Person) -> None:
    """Section 6: a bad token and another's are refused, and the old one stays valid."""
    wire = await ada.wire()
    for bad, code in (("nonsense", "unauthenticated"), (eve.token(), "forbidden")):
        await wire.send({"type": "auth", "token": bad})
        assert (await hear(wire, "error", ref="auth"))["code"] == code
    assert (await ask(wire, type="chat", id=fresh(), content=ONE))["type"] == "ack"


@patient
async def test_hello_comes_in_time_once_and_again_if_malformed(hurried: list[Person]) -> None:
    """Section 2: silence closes with 4001; only after a malformed `hello` may another follow."""
    await together(hello_comes_in_time_once_and_again_if_malformed, hurried)


async def hello_comes_in_time_once_and_again_if_malformed(hurried: Person) -> None:
    """Of one of them."""
    silent = await hurried.dial()
    wire = await hurried.dial()
    await wire.send({"type": "hello", "colour": "red"})
    error = await wire.recv()
    assert (error["type"], error["code"], "ref" in error) == ("error", "invalid_frame", False)
    await wire.send({"type": "hello", "token": hurried.token()})
    await hear(wire, "welcome")
    await wire.send({"type": "hello", "token": hurried.token()})
    assert (await hear(wire, "error"))["code"] == "invalid_frame"
    assert await closed_with(silent) == 4001


@patient
async def test_frames_behind_hello(ada: Person) -> None:
    """Section 2: frames sent behind `hello` are answered after `welcome`."""
    wire = await ada.dial()
    chat = {"type": "chat", "id": fresh(), "content": ONE}
    pings = [{"type": "ping", "id": fresh("ping")} for _ in range(3)]
    await in_one_piece(wire, {"type": "hello", "token": ada.token()}, chat, *pings)
    frames = [await wire.recv()]
    while not {"ack", "complete"} <= {frame["type"] for frame in frames}:
        frames.append(await wire.recv())
    assert frames[0]["type"] == "welcome"
    pongs = [frame["id"] for frame in frames if frame["type"] == "pong"]
    assert pongs == [ping["id"] for ping in pings]
    assert (await ask(wire, **chat))["duplicate"] is True


@patient
async def test_more_frames_behind_hello_than_the_server_holds(ada: Person) -> None:
    """Section 2: 20 frames behind `hello` are answered; those over 16 may be `overloaded`."""
    wire = await ada.dial()
    pings = [{"type": "detach", "conversation": f"c_{n}"} for n in range(20)]
    await in_one_piece(wire, {"type": "hello", "token": ada.token()}, *pings)
    frames = [await wire.recv() for _ in range(21)]
    refused = {frame["ref"] for frame in frames if frame["type"] == "error"}
    assert {frame["code"] for frame in frames if frame["type"] == "error"} <= {"overloaded"}
    assert refused <= {f"c_{n}" for n in range(16, 20)}
    assert {frame["ref"] for frame in frames if frame["type"] == "ok"} == {
        f"c_{n}" for n in range(20)
    } - refused
    assert sum(frame["type"] == "welcome" for frame in frames) == 1


@patient
async def test_tools_of_the_client_behind_hello(ada: Person) -> None:
    """Section 2: before `welcome` nobody knows whether they are offered: `invalid_field`."""
    wire = await ada.dial()
    chat = {"type": "chat", "id": fresh(), "content": ONE, "tools": [MINE]}
    await in_one_piece(wire, {"type": "hello", "token": ada.token()}, chat)
    frames = [await wire.recv(), await wire.recv()]
    assert {frame.get("code") or frame["type"] for frame in frames} == {"invalid_field", "welcome"}
    assert (await ask(wire, **chat))["type"] == "ack"


async def in_one_piece(wire: Wire, *frames: Frame) -> None:
    """Send frames in one piece of TCP, so that none waits for the answer to another."""
    protocol, transport = wire.socket.protocol, wire.socket.transport
    for frame in frames:
        message = wire.pack(frame)
        if isinstance(message, str):
            protocol.send_text(message.encode())
        else:
            protocol.send_binary(message)
    transport.write(b"".join(protocol.data_to_send()))


@patient
async def test_the_servers_heartbeat(hurried: list[Person]) -> None:
    """Section 2: a peer that sends no pong is closed with 4008, whatever frames it sends."""
    await together(the_servers_heartbeat, hurried)


async def the_servers_heartbeat(hurried: Person) -> None:
    """Of one of them."""
    wire = await hurried.wire()
    pinged = pings(wire, answered=False)
    await pinged.wait()
    await ask(wire, type="detach", conversation="c_1")
    assert await closed_with(wire) == 4008


def pings(wire: Wire, answered: bool) -> asyncio.Event:
    """Set at the server's next ping, which gets its pong or not."""
    came = asyncio.Event()
    protocol = wire.socket.protocol
    send_frame = protocol.send_frame

    def sent(frame: Any) -> None:
        if frame.opcode is Opcode.PONG:
            came.set()
        if answered or frame.opcode is not Opcode.PONG:
            send_frame(frame)

    protocol.send_frame = sent  # type: ignore[method-assign]
    return came


@patient
async def test_the_clients_heartbeat(hurried: list[Person]) -> None:
    """Section 2: a client asks after silence, drops a mute socket, and comes back."""
    serving = hurried[0].house.serving
    assert serving is not None
    one, two = (person.client(pong_s=0.5) for person in hurried)
    async with one, two:
        for client in (one, two):
            await client.hear("pong")
            await client.ended(await client.request(type="chat", id=fresh(), content=ONE))
        os.kill(serving.pid, signal.SIGSTOP)
        try:
            for client in (one, two):
                await client.until(lambda client=client: bool(client.closes))  # type: ignore[misc]
        finally:
            os.kill(serving.pid, signal.SIGCONT)
        for client in (one, two):
            assert client.closes[0] == 4008
            assert (await client.hear("attached"))["recovered"] is True


# Section 3: common rules.


@patient
async def test_limits_and_features_are_told(ada: Person) -> None:
    """Sections 3 and 7: `welcome` spells out limits, and features of the document's list."""
    async with ada.client() as client:
        limits = client.welcome["limits"]
        told = {name: limits[name] for name in ("client_frame_bytes", "server_frame_bytes")}
        assert told == {"client_frame_bytes": 65536, "server_frame_bytes": 262144}
        assert (limits["content_bytes"], limits["system_prompt_bytes"]) == (32768, 8192)
        assert (limits["attached_conversations"], limits["metadata_bytes"]) == (50, 2048)
        assert (limits["message_attachments"], limits["tools"]) == (5, 64)
        assert 0 < limits["history_messages"] <= 100
        assert {"queued_answers", "max_tokens", "messages_per_minute"} < set(limits)
        assert {"typing_per_minute", "sockets"} < set(limits)
        known = {"retrieval", "attachments", "tools", "client_tools", "approvals"}
        assert set(client.welcome["features"]) <= known


@patient
async def test_texts_at_and_over_their_limits(ada: Person) -> None:
    """Section 3: limits count bytes of UTF-8; one more is `message_too_long`."""
    wire = await ada.wire()
    fits = "ä" * 16384
    assert (await ask(wire, type="chat", id=fresh(), content=fits, model="offline"))[
        "type"
    ] == "ack"
    for over in ({"content": fits + "x"}, {"content": ONE, "system_prompt": "x" * 8193}):
        error = await ask(wire, type="chat", id=fresh(), **over)
        assert error["code"] == "message_too_long"


@patient
async def test_frames_over_their_limits(ada: Person) -> None:
    """Section 3: a frame over 64 KiB closes with 1009, and over 4 KiB before `welcome`."""
    wire = await ada.wire()
    await wire.send({"type": "chat", "id": fresh(), "content": "x" * 65536})
    assert await closed_with(wire) == 1009
    early = await ada.dial()
    await early.send({"type": "hello", "token": "x" * 4096})
    assert await closed_with(early) == 1009


@patient
async def test_ids_are_recognised_on_every_socket_and_before_any_limit(
    hurried: list[Person],
) -> None:
    """Section 3: an id that was used is answered as before, also where a limit forbids new ones."""
    await together(ids_are_recognised_on_every_socket_and_before_any_limit, hurried)


async def ids_are_recognised_on_every_socket_and_before_any_limit(hurried: Person) -> None:
    """Of one of them."""
    wire = await hurried.wire()
    first = {"type": "chat", "id": fresh(), "content": ONE}
    ack = await ask(wire, **first)
    while True:
        answer = await ask(wire, type="chat", id=fresh(), content=ONE)
        if answer["type"] == "error":
            break
    assert (answer["code"], answer["retryable"]) == ("rate_limited", True)
    assert answer["retry_after_ms"] > 0
    other = await hurried.wire()
    again = await ask(other, **first)
    assert again == ack | {"duplicate": True, "queued": again["queued"]}
    assert (await ask(other, **first | {"content": "x"}))["code"] == "id_conflict"


@patient
async def test_limits_run_into_again_and_again(hurried: list[Person]) -> None:
    """Section 8: limits run into in three different seconds close with 4007."""
    await together(limits_run_into_again_and_again, hurried)


async def limits_run_into_again_and_again(hurried: Person) -> None:
    """Of one of them."""
    wire, witness = await hurried.wire(), await hurried.wire()
    with pytest.raises(Closed) as closed:
        await provoke(wire, witness)
    assert closed.value.code == 4007


async def provoke(wire: Wire, witness: Wire) -> None:
    """Say too much, again at every ping that the server sends to the other."""
    while True:
        answer = await ask(wire, type="chat", id=fresh(), content=ONE)
        if answer["type"] == "error":
            assert answer["code"] == "rate_limited"
            await pings(witness, answered=True).wait()


@patient
async def test_fifty_conversations_and_one_more(ada: Person) -> None:
    """Section 3: the 51st is `quota_exceeded`, by attaching and by sending, and stores nothing."""
    wire, other = await ada.wire(), await ada.wire()
    acks = [await ask(wire, type="chat", id=fresh(), content=ONE) for _ in range(50)]
    one_more = {"type": "chat", "id": fresh(), "content": ONE}
    assert (await ask(wire, **one_more))["code"] == "quota_exceeded"
    ack = await ask(other, **one_more)
    assert ack["duplicate"] is False
    attach = {"type": "attach", "conversation": ack["conversation"]}
    await wire.send(attach)
    error = await hear(wire, "error", ref=ack["conversation"])
    assert error["code"] == "quota_exceeded"
    await ask(wire, type="detach", conversation=acks[0]["conversation"])
    await wire.send(attach)
    await hear(wire, "attached", conversation=ack["conversation"])


@patient
async def test_a_client_that_follows_fifty_conversations_resumes_all(ada: Person) -> None:
    """Sections 2 and 6: what does not fit into the 4 KiB of `hello` is attached afterwards."""
    async with ada.client() as client:
        for _ in range(50):
            await client.request(type="chat", id=fresh(), content=ONE)
        await client.until(lambda: not any(c.running or not c.seq for c in followed(client)))
        client.cut()
        await client.until(lambda: sum(f["type"] == "attached" for f in client.heard) == 50)
        assert all(f["recovered"] for f in client.heard if f["type"] == "attached")
        assert client.closes == [1006]


def followed(client: Any) -> list[Conversation]:
    """All conversations of a client."""
    return list(client.conversations.values())


# Sections 4 and 5: following, and answers.


@patient
async def test_several_devices_follow_one_answer(ada: Person) -> None:
    """Section 4: devices of either encoding that came at different times end with equal text."""
    other = {"json": "msgpack", "msgpack": "json"}[ada.encoding]
    async with ada.client() as one, ada.client(encoding=other) as two, ada.client() as three:
        content = script(tokens=30, text="gleich😀 ", every_ms=8, thought="denkt")
        ack = await one.request(type="chat", id=fresh(), content=content)
        await one.hear("chunk")
        await two.follow(ack["conversation"])
        mine = two.conversations[ack["conversation"]]
        await two.until(lambda: len(mine.text(ack["answer"])) > 80)
        await three.follow(ack["conversation"])
        texts = {(await each.ended(ack))["content"] for each in (one, two, three)}
        assert texts == {"gleich😀 " * 30}
        leaves = {c.leaf for each in (one, two, three) for c in followed(each)}
        assert leaves == {ack["answer"]}


@patient
async def test_attaching_twice_is_as_attaching_once(ada: Person) -> None:
    """Section 4: attaching again replaces the following; no frame comes twice."""
    wire, other = await ada.wire(), await ada.wire()
    ack = await ask(wire, type="chat", id=fresh(), content=ONE)
    end = await hear(wire, "complete")
    here = {"conversation": ack["conversation"]}
    for position in ({}, {"epoch": ack["epoch"]}, {"epoch": ack["epoch"], "seq": end["seq"]}):
        await wire.send({"type": "attach", **here, **position})
        attached = await hear(wire, "attached")
        assert attached["recovered"] is (len(position) == 2)
        assert attached["seq"] >= end["seq"]
    more = await ask(other, type="chat", id=fresh(), content=ONE, **here)
    while (await wire.recv())["type"] != "complete":
        pass
    assert not [frame for frame in await settle(wire) if "seq" in frame]
    assert more["conversation"] == ack["conversation"]


@patient
async def test_sending_into_an_older_conversation_attaches(ada: Person) -> None:
    """Section 4: who sends follows from the `ack`'s position, or better takes a snapshot."""
    async with ada.client() as author, ada.client() as later:
        ack = await author.request(type="chat", id=fresh(), content=ONE)
        await author.ended(ack)
        here = {"type": "chat", "conversation": ack["conversation"]}
        bare = await ada.wire()
        second = await ask(bare, id=fresh(), content=ONE, **here)
        first = await bare.recv()
        while "seq" not in first:
            first = await bare.recv()
        assert first["seq"] == second["seq"] + 1
        third = await later.request(id=fresh(), content=ONE, **here)
        assert (await later.ended(third))["content"] == "one"
        mine = later.conversations[ack["conversation"]]
        assert {ack["answer"], second["answer"], third["answer"]} < set(mine.messages)


@patient
async def test_detach(ada: Person) -> None:
    """Sections 6 and 12: after the `ok` of `detach` nothing of the conversation comes."""
    wire, other = await ada.wire(), await ada.wire()
    ack = await ask(wire, type="chat", id=fresh(), content=ONE)
    await hear(wire, "complete")
    for _ in range(2):
        ok = await ask(wire, type="detach", conversation=ack["conversation"])
        assert ok["type"] == "ok"
    here = {"type": "chat", "conversation": ack["conversation"]}
    await ask(other, id=fresh(), content=ONE, **here)
    await hear(other, "complete")
    heard = {frame["type"] for frame in await settle(wire)}
    assert heard <= {"conversations"}


@patient
async def test_an_answer_outlives_its_socket(ada: Person) -> None:
    """Section 5: a closed socket never stops an answer."""
    wire = await ada.wire()
    content = script(tokens=20, text="on ", every_ms=10)
    ack = await ask(wire, type="chat", id=fresh(), content=content)
    wire.abort()
    async with ada.client() as client:
        await client.follow(ack["conversation"])
        assert (await client.ended(ack))["content"] == "on " * 20


@patient
async def test_queue_reject_and_interrupt(ada: Person) -> None:
    """Section 5: messages wait, are refused or supersede what their conversation answers."""
    async with ada.client() as client:
        running = await client.request(type="chat", id=fresh(), content=STALLED)
        here = {"type": "chat", "conversation": running["conversation"]}
        queued = [await client.request(id=fresh(), content=ONE, **here) for _ in range(3)]
        assert [ack["queued"] for ack in queued] == [1, 2, 3]
        with pytest.raises(Refused, match="busy"):
            await client.request(id=fresh(), content=ONE, **here)
        with pytest.raises(Refused, match="busy"):
            await client.request(id=fresh(), content=ONE, on_busy="reject", **here)
        await client.request(type="stop", answer=queued[1]["answer"])
        stopped = await client.ended(queued[1])
        assert (stopped["outcome"], stopped["content"]) == ("stopped", "")
        last = await client.request(id=fresh(), content=ONE, on_busy="interrupt", **here)
        for ack in (running, queued[0], queued[2]):
            ended = await client.ended(ack)
            assert (ended["outcome"], ended["finish_reason"]) == ("stopped", "superseded")
        assert (await client.ended(last))["content"] == "one"
        kinds = [
            (f["type"], f.get("answer") or f["message"]["id"])
            for f in client.heard
            if f["type"] == "complete" or f["type"] == "message"
        ]
        assert kinds.index(("message", last["message"])) > max(
            kinds.index(("complete", ack["answer"])) for ack in (running, queued[0], queued[2])
        )


@patient
async def test_a_queued_answer_follows(ada: Person) -> None:
    """Section 5: what waits is answered in its order once the answer before it has ended."""
    async with ada.client() as client:
        running = await client.request(type="chat", id=fresh(), content=STALLED)
        here = {"type": "chat", "conversation": running["conversation"]}
        queued = [await client.request(id=fresh(), content=ONE, **here) for _ in range(2)]
        await client.request(type="stop", answer=running["answer"])
        assert [(await client.ended(ack))["content"] for ack in queued] == ["one", "one"]
        completes = [f["answer"] for f in client.heard if f["type"] == "complete"]
        assert completes == [ack["answer"] for ack in (running, *queued)]


@pytest.mark.parametrize("fail", ["error", "cut"])
@patient
async def test_an_answer_that_fails_keeps_its_text(ada: Person, fail: str) -> None:
    """Section 7: a failed answer ends with an error, and what was shown is its text."""
    async with ada.client() as client:
        content = script(tokens=9, text="ab ", fail=fail, at=3)
        ended = await client.ended(
            ack := await client.request(type="chat", id=fresh(), content=content)
        )
        complete = await client.hear("complete", answer=ack["answer"])
        assert (ended["outcome"], ended["finish_reason"]) == ("failed", "error")
        assert (ended["content"], complete["error"]["code"]) == ("ab ab ab ", "provider_error")


@patient
async def test_thoughts_and_citations(ada: Person) -> None:
    """Section 7: thoughts have offsets of their own, and citations name spans of the answer."""
    async with ada.client() as client:
        cited = [{"start": 0, "end": 2, "sources": [{"document": "d_1", "title": "D"}]}]
        content = script(tokens=3, text="ab ", thought="hmm", citations=cited)
        ack = await client.request(type="chat", id=fresh(), content=content)
        ended = await client.ended(ack)
        thought = await client.hear("thought")
        assert (thought["offset"], thought["text"], ended["content"]) == (0, "hmm", "ab " * 3)
        citation = await client.hear("citation")
        assert (citation["start"], citation["end"]) == (0, 2)
        wire = await ada.wire()
        page = await ask(
            wire, type="history", id=fresh(), conversation=ack["conversation"], limit=1
        )
        assert page["messages"][0]["citations"][0]["sources"][0]["document"] == "d_1"


# Section 6: what else a client may say.


@patient
async def test_a_tool_that_the_client_runs(ada: Person) -> None:
    """Section 6: a tool of the client's own is `requested`; its result counts once."""
    async with ada.client() as client, ada.client() as other:
        content = script(tokens=2, text="ok ", tool={"name": "look", "arguments": {"at": "sky"}})
        ack = await client.request(type="chat", id=fresh(), content=content, tools=[MINE])
        call = await client.hear("tool", state="requested")
        assert (call["name"], call["arguments"]) == ("look", {"at": "sky"})
        await client.hear("status", state="parked")
        await other.follow(ack["conversation"])
        answer = {"type": "tool_result", "id": fresh(), "call": call["call"], "content": "blue"}
        await client.request(**answer)
        await client.request(**answer)
        with pytest.raises(Refused, match="id_conflict"):
            await other.request(**answer | {"content": "green"})
        with pytest.raises(Refused, match="not_found"):
            await client.request(**answer | {"id": fresh(), "call": "k_nobody"})
        for each in (client, other):
            end = await each.ended(ack)
            assert (end["outcome"], end["content"]) == ("complete", "ok ok ")
            assert [(tool["state"], tool["result"]) for tool in end["tools"]] == [("done", "blue")]


@patient
async def test_a_tool_of_the_client_that_fails(ada: Person) -> None:
    """Section 6: `error` instead of `content` says that the tool failed; not both."""
    async with ada.client() as client:
        content = script(tokens=1, text="ok", tool={"name": "look", "arguments": {}})
        ack = await client.request(type="chat", id=fresh(), content=content, tools=[MINE])
        call = await client.hear("tool", state="requested")
        answer = {"type": "tool_result", "call": call["call"], "error": "It is dark."}
        with pytest.raises(Refused, match="invalid_f"):
            await client.request(id=fresh(), content="blue", **answer)
        await client.request(id=fresh(), **answer)
        (tool,) = (await client.ended(ack))["tools"]
        assert tool["state"] == "failed"


@patient
async def test_regenerate_and_select(ada: Person) -> None:
    """Section 6: another answer stands beside the first, and the branch can be chosen again."""
    async with ada.client() as client, ada.client() as other:
        first = await client.request(type="chat", id=fresh(), content=ONE)
        await client.ended(first)
        mine = client.conversations[first["conversation"]]
        theirs = await other.follow(first["conversation"])
        second = await client.request(type="regenerate", id=fresh(), answer=first["answer"])
        assert second["message"] == first["message"]
        await client.ended(second)
        both = [first["answer"], second["answer"]]
        assert all(mine.messages[id]["siblings"] == both for id in both)
        assert mine.leaf == second["answer"]
        here = {"conversation": first["conversation"]}
        await other.request(type="select", id=fresh(), leaf=first["answer"], **here)
        await client.until(lambda: mine.leaf == first["answer"])
        await other.until(lambda: theirs.leaf == first["answer"])
        third = await client.request(type="chat", id=fresh(), content=ONE, **here)
        await client.ended(third)
        assert mine.messages[third["message"]]["parent"] == first["answer"]
        with pytest.raises(Refused, match="not_found"):
            await client.request(type="select", id=fresh(), leaf="m_nobody", **here)


@patient
async def test_edit(ada: Person) -> None:
    """Section 6: an edited message is a sibling with an answer of its own."""
    async with ada.client() as client:
        first = await client.request(type="chat", id=fresh(), content=ONE)
        await client.ended(first)
        mine = client.conversations[first["conversation"]]
        again = script(tokens=1, text="two")
        edited = await client.request(
            type="edit", id=fresh(), message=first["message"], content=again
        )
        assert (await client.ended(edited))["content"] == "two"
        siblings = [first["message"], edited["message"]]
        assert mine.messages[edited["message"]]["siblings"] == siblings
        assert mine.messages[edited["message"]]["parent"] is None
        assert mine.messages[edited["answer"]]["parent"] == edited["message"]


@patient
async def test_an_answer_cannot_be_edited(ada: Person) -> None:
    """Section 6: `edit` of a message that is not a user's is `invalid_field`."""
    async with ada.client() as client:
        first = await client.request(type="chat", id=fresh(), content=ONE)
        await client.ended(first)
        with pytest.raises(Refused, match="invalid_field"):
            await client.request(type="edit", id=fresh(), message=first["answer"], content=ONE)


@patient
async def test_history_in_pages(ada: Person) -> None:
    """Section 6: pages of the active branch, oldest first, back to its beginning."""
    async with ada.client() as client:
        acks = [await client.request(type="chat", id=fresh(), content=ONE)]
        here = {"conversation": acks[0]["conversation"]}
        await client.ended(acks[0])
        for _ in range(2):
            acks.append(await client.request(type="chat", id=fresh(), content=ONE, **here))
            await client.ended(acks[-1])
        branch = [ack[name] for ack in acks for name in ("message", "answer")]
        pages: list[list[str]] = []
        before: dict[str, str] = {}
        more = True
        while more:
            page = await client.request(type="history", id=fresh(), limit=4, **here, **before)
            pages.append([message["id"] for message in page["messages"]])
            before, more = {"before": pages[-1][0]}, page["more"]
        assert pages == [branch[2:], branch[:2]]
        wire = await ada.wire()
        await wire.send({"type": "attach", "history": 3, **here})
        attached = await hear(wire, "attached")
        assert [message["id"] for message in attached["messages"]] == branch[3:]
        assert attached["more"] is True


@patient
async def test_feedback(ada: Person, eve: Person) -> None:
    """Section 6: a later rating replaces an earlier one, and followers hear of it."""
    async with ada.client() as client, ada.client() as other:
        ack = await client.request(type="chat", id=fresh(), content=ONE)
        await client.ended(ack)
        theirs = await other.follow(ack["conversation"])
        rate = {"type": "feedback", "message": ack["answer"]}
        await client.request(id=fresh(), rating="down", comment="No.", **rate)
        await client.request(id=fresh(), rating=5, **rate)
        await other.hear("feedback", rating="down", comment="No.")
        await other.hear("feedback", rating=5)
        assert theirs.messages[ack["answer"]]["feedback"]["rating"] == 5
        for bad in (0, 6, "good", True):
            with pytest.raises(Refused, match="invalid_f"):
                await client.request(id=fresh(), rating=bad, **rate)
        with pytest.raises(Refused, match="not_found"):
            async with eve.client() as stranger:
                await stranger.request(id=fresh(), rating="up", **rate)
        page = await client.request(
            type="history", id=fresh(), conversation=ack["conversation"], limit=1
        )
        assert page["messages"][0]["feedback"]["rating"] == 5


@patient
async def test_typing_and_presence(ada: Person) -> None:
    """Section 6: devices of a conversation hear of each other, but not of themselves."""
    one, two = await ada.wire(), await ada.wire()
    ack = await ask(one, type="chat", id=fresh(), content=ONE)
    here = {"conversation": ack["conversation"]}
    await two.send({"type": "attach", **here})
    await hear(one, "presence", sockets=2, **here)
    await two.send({"type": "typing", **here}, {"type": "typing", "conversation": "c_nobody"})
    assert (await hear(one, "typing", **here))["user"] == ada.user
    assert not {"typing", "error"} & {frame["type"] for frame in await settle(two)}
    await two.send({"type": "typing"})
    assert (await hear(two, "error"))["code"] == "invalid_frame"
    await ask(two, type="detach", **here)
    await hear(one, "presence", sockets=1, **here)


@patient
async def test_conversations_are_told_to_all_sockets_of_the_user(ada: Person, eve: Person) -> None:
    """Section 7: lists stay level on sockets that do not follow, and of this user alone."""
    one, two, stranger = await ada.wire(), await ada.wire(), await eve.wire()
    ack = await ask(one, type="chat", id=fresh(), content=ONE)
    for wire in (one, two):
        told = await hear(wire, "conversations")
        assert (told["change"], told["conversation"]["id"]) == ("created", ack["conversation"])
        assert told["conversation"]["status"] == "active"
    assert await settle(stranger) == []


@patient
async def test_a_strangers_things_do_not_exist(ada: Person, eve: Person) -> None:
    """Section 3: every frame about what is a stranger's is `not_found`."""
    async with eve.client() as theirs:
        tool = {"name": "mail", "arguments": {}, "approval": True, "result": "sent"}
        ack = await theirs.request(type="chat", id=fresh(), content=script(tokens=1, tool=tool))
        call = await theirs.hear("tool", state="awaiting_approval")
        here = {"conversation": ack["conversation"]}
        frames: list[Frame] = [
            {"type": "attach", **here},
            {"type": "stop", "answer": ack["answer"]},
            {"type": "chat", "id": fresh(), "content": ONE, **here},
            {"type": "history", "id": fresh(), **here},
            {"type": "select", "id": fresh(), "leaf": ack["answer"], **here},
            {"type": "regenerate", "id": fresh(), "answer": ack["answer"]},
            {"type": "edit", "id": fresh(), "message": ack["message"], "content": ONE},
            {"type": "feedback", "id": fresh(), "message": ack["answer"], "rating": "up"},
            {"type": "tool_result", "id": fresh(), "call": call["call"], "content": "x"},
            {"type": "approve", "id": fresh(), "call": call["call"], "allow": True}
            | {"args_hash": call["args_hash"]},
        ]
        wire = await ada.wire()
        refusals = [await ask(wire, **frame) for frame in frames]
        assert [refusal.get("code") for refusal in refusals] == ["not_found"] * len(frames)


@pytest.mark.parametrize("feature", ["retrieval", "attachments", "tools"])
@patient
async def test_what_is_not_offered(ada: Person, feature: str) -> None:
    """Section 6: what `welcome.features` does not list is `invalid_field`."""
    fields = {"retrieval": {"limit": 1}, "attachments": ["a_1"], "tools": ["clock"]}
    async with ada.client() as client:
        assert feature not in client.welcome["features"]
        with pytest.raises(Refused, match="invalid_field"):
            await client.request(type="chat", id=fresh(), content=ONE, **{feature: fields[feature]})


# Section 8: misuse.


@patient
async def test_refusals_by_name(ada: Person) -> None:
    """Section 8: each kind of wrong frame has its code, its `ref`, and changes nothing."""
    wire = await ada.wire()
    await wire.send(
        {"type": "teleport", "id": "r-1"},
        {"id": "r-2"},
        {"type": 5, "id": "r-3"},
        {"type": "chat", "id": "r-4"},
        {"type": "chat", "id": "r-5", "content": 5},
        {"type": "chat", "id": "r-6", "content": "x", "colour": "red"},
        {"type": "chat", "id": "r-7", "content": "x", "temperature": 3},
        {"type": "chat", "id": "r-8", "content": "x\0y"},
        {"type": "chat", "id": "r-9", "content": " \n"},
        {"type": "chat", "id": "r-10", "content": "x", "on_busy": "panic"},
        {"type": "chat", "id": "r-11", "content": "x", "model": "nobody/nothing"},
        {"type": "chat", "id": "not an id", "content": "x"},
        {"type": "attach", "conversation": "c_1", "seq": -1},
        {"type": "chat", "id": "r-12", "content": "x", "metadata": {"k": "v" * 2048}},
        {"type": "chat", "id": "r-13", "content": "x", "system_prompt": None, "seq": 1},
    )
    heard = [await hear(wire, "error") for _ in range(15)]
    assert {frame.get("ref"): frame["code"] for frame in heard} == {
        "r-1": "unknown_type",
        "r-2": "invalid_frame",
        "r-3": "invalid_frame",
        "r-4": "invalid_frame",
        "r-5": "invalid_frame",
        "r-6": "invalid_frame",
        "r-7": "invalid_field",
        "r-8": "invalid_field",
        "r-9": "invalid_field",
        "r-10": "invalid_field",
        "r-11": "invalid_field",
        None: "invalid_field",
        "c_1": "invalid_field",
        "r-12": "invalid_field",
        "r-13": "invalid_frame",
    }
    null = await ask(wire, type="chat", id="r-14", content=ONE, conversation=None, parent=None)
    assert null["type"] == "ack"


@patient
async def test_bytes_that_are_no_object(ada: Person) -> None:
    """Section 8: what is no object is `bad_json`; the fifth within a minute closes with 4500."""
    wire = await ada.wire()
    for _ in range(4):
        await wire.raw("[1" if ada.encoding == "json" else b"\xc1")
        assert (await wire.recv())["code"] == "bad_json"
    assert (await ask(wire, type="detach", conversation="c_1"))["type"] == "ok"
    await wire.raw("{} {}" if ada.encoding == "json" else b"\x80\x80")
    assert await closed_with(wire) == 4500


@patient
async def test_pings_are_answered_while_an_answer_streams(ada: Person) -> None:
    """Section 6: `pong` comes at once, with the id that `ping` had, or none."""
    wire = await ada.wire()
    await ask(wire, type="chat", id=fresh(), content=script(tokens=50, every_ms=10))
    await hear(wire, "chunk")
    await wire.send({"type": "ping", "id": "p-1"})
    frames = [await wire.recv()]
    while frames[-1]["type"] not in ("pong", "complete"):
        frames.append(await wire.recv())
    assert frames[-1] == {"type": "pong", "id": "p-1"}
    await wire.send({"type": "ping"})
    assert await hear(wire, "pong") == {"type": "pong"}
