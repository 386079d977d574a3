"""Every dialogue of section 14, in both encodings, with a server that is a process of its own."""

import asyncio

import pytest

from tests.e2e.alone.client import Closed, Conversation, Frame, Refused, Verdict, crc32, units
from tests.e2e.alone.place import Person, ask, fresh, hear, patient, script, settle, together

SLOW = script(tokens=40, text="wörd😀 ", every_ms=15)
STALLED = script(tokens=5, text="ab ", fail="stall", at=3)


@patient
async def test_1_a_first_message(ada: Person) -> None:
    """Dialogue 1: frames come in the order that the document shows, without holes."""
    wire = await ada.dial()
    hello = {"type": "hello", "token": ada.token()}
    await wire.send(hello | {"client": {"name": "demo", "version": "1"}})
    welcome = await wire.recv()
    assert (welcome["type"], welcome["user"], welcome["tenant"]) == ("welcome", ada.user, "default")
    assert isinstance(welcome["heartbeat_s"], int | float)

    id = fresh()
    await wire.send({"type": "chat", "id": id, "content": script(tokens=4, text="Häl😀")})
    ack = await wire.recv()
    assert (ack["type"], ack["ref"], ack["duplicate"], ack["queued"]) == ("ack", id, False, 0)

    logged: list[Frame] = []
    while not logged or logged[-1]["type"] != "complete":
        frame = await wire.recv()
        if "seq" in frame:
            logged.append(frame)
    position = ack["seq"]
    for frame in logged:
        assert frame.get("from", frame["seq"]) == position + 1
        position = frame["seq"]
    asked, empty, *rest = logged
    assert (asked["type"], asked["message"]["id"]) == ("message", ack["message"])
    assert (asked["message"]["role"], asked["message"]["parent"]) == ("user", None)
    assert (empty["type"], empty["message"]["id"]) == ("message", ack["answer"])
    assert (empty["message"]["role"], empty["message"]["parent"]) == ("assistant", ack["message"])
    assert empty["message"]["content"] == ""
    text = "".join(frame["text"] for frame in rest if frame["type"] == "chunk")
    assert text == "Häl😀" * 4
    end = rest[-1]
    assert (end["outcome"], end["finish_reason"], end["attempt"]) == ("complete", "stop", 1)
    assert (end["length"], end["crc32"]) == (units(text), crc32(text))
    assert end["usage"]["completion_tokens"] == 4


@patient
async def test_2_cut_in_the_middle_and_resumed(ada: Person) -> None:
    """Dialogue 2: cuts in the middle of an answer leave its text as it would have been."""
    async with ada.client() as client:
        ack = await client.request(type="chat", id=fresh(), content=SLOW)
        mine = client.conversations[ack["conversation"]]
        for cut in (1, 2, 3):
            done = 7 * 8 * cut

            def far(done: int = done) -> bool:
                return ack["answer"] in mine.messages and units(mine.text(ack["answer"])) >= done

            await client.until(far)
            client.cut()
            await client.until(lambda cut=cut: _attached(client.heard) == cut)  # type: ignore[misc]
        ended = await client.ended(ack)
        assert ended["content"] == "wörd😀 " * 40
        attached = [frame for frame in client.heard if frame["type"] == "attached"]
        assert all(frame["recovered"] and "messages" not in frame for frame in attached)
        assert all("text" not in told for frame in attached for told in frame["answers"])


def _attached(frames: list[Frame]) -> int:
    return sum(frame["type"] == "attached" for frame in frames)


@patient
async def test_2_what_was_missed_follows_at_once(ada: Person) -> None:
    """Dialogue 2: after `attached` come the missed frames, adjacent chunks folded."""
    first = await ada.wire()
    ack = await ask(
        first, type="chat", id=fresh(), content=script(tokens=9, text="ab ", every_ms=5)
    )
    held = await hear(first, "chunk")
    first.abort()
    watcher = await ada.wire(attach=[{"conversation": ack["conversation"]}])
    while not _has_ended(await watcher.recv(), ack["answer"]):
        pass
    position = {"conversation": ack["conversation"], "epoch": ack["epoch"], "seq": held["seq"]}
    again = await ada.wire(attach=[position])
    attached = await again.recv()
    assert (attached["type"], attached["recovered"]) == ("attached", True)
    assert (attached["epoch"], attached["seq"]) == (ack["epoch"], held["seq"])
    text = held["text"]
    frames = [frame for frame in await settle(again) if "seq" in frame]
    at = held["seq"]
    for frame in frames:
        assert frame.get("from", frame["seq"]) == at + 1
        at = frame["seq"]
        text += frame.get("text", "")
    assert text == "ab " * 9
    assert [frame["type"] for frame in frames] == ["chunk", "complete"]


def _has_ended(frame: Frame, answer: str) -> bool:
    if frame["type"] == "attached":
        return any(message["id"] == answer for message in frame["messages"])
    return str(frame["type"]) == "complete"


@patient
async def test_3_the_answer_to_a_chat_was_lost(ada: Person) -> None:
    """Dialogue 3: the same id after a lost `ack` is a duplicate, and nothing is started again."""
    witness = await ada.wire()
    first = await ada.wire()
    chat = {"type": "chat", "id": fresh(), "content": script(tokens=2, text="x")}
    await first.send(chat)
    told = await hear(witness, "conversations", change="created")
    first.abort()
    second = await ada.wire()
    ack = await ask(second, **chat)
    assert ack["duplicate"] is True
    assert ack["conversation"] == told["conversation"]["id"]
    messages = [(await hear(second, "message"))["message"]["id"] for _ in range(2)]
    assert messages == [ack["message"], ack["answer"]]
    await hear(second, "complete", answer=ack["answer"])
    assert not [f for f in await settle(second) if f["type"] == "message"]
    assert (await ask(second, **chat | {"content": "other"}))["code"] == "id_conflict"


@patient
async def test_3_a_client_sends_again_what_has_no_answer(ada: Person) -> None:
    """Dialogue 3: a client that is cut before the `ack` gets one answer for one id."""
    async with ada.client() as client:
        asked = asyncio.create_task(
            client.request(type="chat", id=fresh(), content=script(tokens=3, text="once "))
        )
        await asyncio.sleep(0)
        client.cut()
        ack = await asked
        assert (await client.ended(ack))["content"] == "once " * 3
        assert len(client.conversations) == 1


@patient
async def test_4_the_position_is_lost(ada: Person) -> None:
    """Dialogue 4: an epoch that nobody knows gives a snapshot, with the text so far."""
    first = await ada.wire()
    ack = await ask(first, type="chat", id=fresh(), content=STALLED)
    await hear(first, "chunk")
    second = await ada.wire()
    lost = {"conversation": ack["conversation"], "epoch": "never", "seq": 4}
    await second.send({"type": "attach", **lost})
    attached = await hear(second, "attached")
    assert attached["recovered"] is False
    assert attached["leaf"] == ack["answer"]
    assert [message["id"] for message in attached["messages"]] == [ack["message"]]
    assert attached["more"] is False
    (told,) = attached["answers"]
    assert (told["answer"], told["parent"], told["attempt"]) == (ack["answer"], ack["message"], 1)
    assert told["text"] + "".join(
        f["text"] for f in await settle(second) if f["type"] == "chunk"
    ) == ("ab " * 3)
    await ask(second, type="stop", answer=ack["answer"])
    end = await hear(second, "complete")
    assert end["seq"] > attached["seq"]


@patient
async def test_4_a_position_that_the_log_no_longer_has(hurried: list[Person]) -> None:
    """Dialogue 4: a client whose position has left the log merges the snapshot, mid-answer."""
    await together(a_position_that_the_log_no_longer_has, hurried)


async def a_position_that_the_log_no_longer_has(hurried: Person) -> None:
    """Of one of them."""
    async with hurried.client() as slow, hurried.client() as fast:
        content = script(tokens=300, text="wörd😀 ", every_ms=10)
        ack = await slow.request(type="chat", id=fresh(), content=content)
        old = {"epoch": ack["epoch"], "seq": ack["seq"]}
        mine = slow.conversations[ack["conversation"]]
        await slow.until(lambda: mine.seq > 30)
        theirs = Conversation(ack["conversation"], **old)
        fast.conversations[ack["conversation"]] = theirs
        await fast.follow(ack["conversation"])
        attached = await fast.hear("attached")
        assert attached["recovered"] is False
        assert attached["answers"][0]["answer"] == ack["answer"]
        ends = [await client.ended(ack) for client in (slow, fast)]
        assert [end["content"] for end in ends] == ["wörd😀 " * 300] * 2


def test_5_another_attempt_replaces_the_text() -> None:
    """Dialogue 5, by its frames alone: no model of this version is replaced by another."""
    mine = Conversation("c_1", "e1", 1)
    answer = {"id": "m_2", "role": "assistant", "parent": "m_1", "siblings": ["m_2"], "content": ""}
    frames: list[Frame] = [
        {"type": "message", "seq": 2, "conversation": "c_1", "message": answer},
        {"type": "status", "seq": 3, "answer": "m_2", "attempt": 1, "state": "generating"},
        {"type": "chunk", "seq": 4, "answer": "m_2", "offset": 0, "text": "Hel"},
        {"type": "reset", "seq": 5, "answer": "m_2", "attempt": 2, "reason": "fallback"},
        {"type": "chunk", "seq": 6, "answer": "m_2", "offset": 0, "text": "Good day."},
    ]
    assert {mine.take(frame) for frame in frames} == {Verdict.TAKEN}
    assert (mine.text("m_2"), mine.running["m_2"].attempt) == ("Good day.", 2)


@patient
async def test_6_refused_and_the_socket_lives_on(ada: Person, eve: Person) -> None:
    """Dialogue 6: an unknown field and a stranger's conversation are refused by name."""
    stranger = await eve.wire()
    theirs = await ask(stranger, type="chat", id=fresh(), content=script(tokens=1))
    wire = await ada.wire()
    id = fresh()
    error = await ask(wire, type="chat", id=id, content="Hi", role="system")
    assert (error["type"], error["code"], error["retryable"]) == ("error", "invalid_frame", False)
    assert error["trace"]
    answers = []
    for conversation in (theirs["conversation"], "c_that_nobody_has"):
        error = await ask(wire, type="attach", conversation=conversation)
        answers.append((error["code"], error["message"], error["retryable"]))
    assert answers == [("not_found", answers[0][1], False)] * 2
    ack = await ask(wire, type="chat", id=id, content=script(tokens=1))
    assert (ack["type"], ack["duplicate"]) == ("ack", False)


@patient
async def test_7_before_hello(ada: Person) -> None:
    """Dialogue 7: whoever speaks before `hello` is closed with 4501."""
    wire = await ada.dial()
    await wire.send({"type": "chat", "id": fresh(), "content": "Hello"})
    with pytest.raises(Closed) as closed:
        await wire.recv()
    assert closed.value.code == 4501


@patient
async def test_8_the_token_ends(ada: Person) -> None:
    """Dialogue 8: `expiring` comes 60 seconds before the end, and `auth` renews the open socket."""
    renewed = [ada.token(3600)]

    async def renew() -> str | None:
        return renewed.pop() if renewed else None

    async with ada.client(token=ada.token(61), renew=renew) as client:
        expiring = await client.hear("expiring")
        assert 58 <= expiring["in_s"] <= 60
        ok = await client.hear("ok", ref="auth")
        assert ok["expires_at"].endswith(".000Z")
        assert ok["expires_at"] > client.welcome["expires_at"]


@patient
async def test_8_without_a_new_token(hurried: list[Person]) -> None:
    """Dialogue 8: without `auth` the socket is closed with 4002, after some grace."""
    await together(without_a_new_token, hurried)


async def without_a_new_token(hurried: Person) -> None:
    """Of one of them."""
    wire = await hurried.wire(ttl_s=2)  # whole seconds: the end of 1 might come at once
    assert (await hear(wire, "expiring"))["in_s"] <= 2
    with pytest.raises(Closed) as closed:
        await wire.recv()
    assert closed.value.code == 4002


@patient
async def test_8_a_client_reconnects_with_a_new_token_or_stops(hurried: list[Person]) -> None:
    """Section 9: after 4002 a client comes back with a new token, and stops if there is none."""
    await together(a_client_reconnects_with_a_new_token_or_stops, hurried)


async def a_client_reconnects_with_a_new_token_or_stops(hurried: Person) -> None:
    """Of one of them."""
    spare = [hurried.token(3)]

    async def renew() -> str | None:
        return spare.pop() if client.closes and spare else None

    client = hurried.client(token=hurried.token(1), renew=renew)
    async with client:
        await client.until(lambda: len(client.closes) == 1)
        with pytest.raises(Closed, match="4002"):
            await client.until(lambda: False)
        assert client.closes == [4002, 4002]


@patient
async def test_9_stop_from_another_device(ada: Person) -> None:
    """Dialogue 9: the stop is final and equal on every device, and may be said twice."""
    async with ada.client() as phone, ada.client() as laptop:
        ack = await phone.request(type="chat", id=fresh(), content=STALLED)
        mine = phone.conversations[ack["conversation"]]
        await phone.until(
            lambda: ack["answer"] in mine.running and mine.text(ack["answer"]) == "ab " * 3
        )
        await laptop.follow(ack["conversation"])
        await laptop.request(type="stop", answer=ack["answer"])
        await laptop.request(type="stop", answer=ack["answer"])
        for client in (phone, laptop):
            end = await client.ended(ack)
            assert (end["outcome"], end["finish_reason"]) == ("stopped", "stopped")
            assert end["content"] == "ab " * 3
            await client.request(type="ping", id=fresh())
            assert sum(frame["type"] == "complete" for frame in client.heard) == 1


@patient
async def test_10_the_process_that_generates_dies(owners: list[Person]) -> None:
    """Dialogue 10: the answer is interrupted, nothing not shown stays, and the talk goes on."""
    house = owners[0].house
    shown = asyncio.Barrier(len(owners) + 1)

    async def story(owner: Person) -> None:
        async with owner.client() as client:
            ack = await client.request(type="chat", id=fresh(), content=STALLED)
            here = {"type": "chat", "conversation": ack["conversation"]}
            queued = await client.request(id=fresh(), content=script(tokens=2), **here)
            assert queued["queued"] == 1
            await client.hear("chunk")
            text = client.conversations[ack["conversation"]].text(ack["answer"])
            await shown.wait()
            end = await client.ended(ack)
            assert (end["outcome"], end["finish_reason"]) == ("interrupted", "crash")
            assert (await client.ended(queued))["outcome"] == "complete"
            more = await client.request(id=fresh(), content=script(tokens=1), **here)
            assert (await client.ended(more))["outcome"] == "complete"
            assert client.closes[0] == 1006
            assert text.startswith(end["content"])

    async def dying() -> None:
        await shown.wait()
        await asyncio.to_thread(house.kill)
        await asyncio.to_thread(house.open)

    async with asyncio.TaskGroup() as group:
        group.create_task(dying())
        group.create_task(together(story, owners))


@patient
async def test_11_the_server_restarts(owners: list[Person]) -> None:
    """Dialogue 11: a draining server ends what runs, takes nothing new and closes with 1012."""
    house = owners[0].house
    running, over, back = (asyncio.Barrier(len(owners) + 1) for _ in range(3))

    async def story(owner: Person) -> None:
        wire = await owner.wire()
        ack = await ask(wire, type="chat", id=fresh(), content=script(tokens=100, every_ms=40))
        await hear(wire, "chunk")
        async with owner.client() as client:
            await running.wait()
            goaway = await hear(wire, "goaway")
            assert (goaway["reason"], goaway["reconnect_after_ms"] > 0) == ("shutdown", True)
            one_more = {"type": "chat", "id": fresh(), "content": script(tokens=1)}
            error = await ask(wire, **one_more)
            assert (error["code"], error["retryable"]) == ("unavailable", True)
            late = asyncio.create_task(
                client.request(type="chat", id=fresh(), content=script(tokens=2, text="late "))
            )
            end = await hear(wire, "complete")
            assert (end["answer"], end["outcome"]) == (ack["answer"], "complete")
            with pytest.raises(Closed) as closed:
                await hear(wire, "chunk")
            assert closed.value.code == 1012
            await over.wait()
            await back.wait()
            again = await owner.wire()
            assert (await ask(again, **one_more))["duplicate"] is False
            assert (await client.ended(await late))["content"] == "late late "

    async def restart() -> None:
        await running.wait()
        assert await asyncio.to_thread(house.stop) == 0
        await over.wait()
        await asyncio.to_thread(house.open)
        await back.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(restart())
        group.create_task(together(story, owners))


@pytest.mark.parametrize("allow", [True, False])
@patient
async def test_12_a_tool_awaits_approval(ada: Person, allow: bool) -> None:
    """Dialogue 12: one decision from any device, bound to the arguments; then it goes on."""
    async with ada.client() as phone, ada.client() as laptop:
        tool = {"name": "send_mail", "arguments": {"to": "bob"}, "approval": True, "result": "sent"}
        content = script(tokens=2, text="ok ", tool=tool)
        ack = await phone.request(type="chat", id=fresh(), content=content)
        call = await phone.hear("tool", state="awaiting_approval")
        assert (call["name"], call["arguments"]) == ("send_mail", {"to": "bob"})
        assert call["expires_at"].endswith("Z")
        await phone.hear("status", state="parked")
        mine = await laptop.follow(ack["conversation"])
        (known,) = mine.running[ack["answer"]].tools.values()
        assert (known["state"], known["args_hash"]) == ("awaiting_approval", call["args_hash"])

        decision = {"type": "approve", "call": call["call"], "args_hash": call["args_hash"]}
        wrong = decision | {"args_hash": "0" * 64}
        with pytest.raises(Refused, match="approval_conflict"):
            await laptop.request(id=fresh(), allow=allow, **wrong)
        with pytest.raises(Refused, match="not_found"):
            await laptop.request(id=fresh(), allow=allow, **decision | {"call": "k_nobody"})
        await laptop.request(id=fresh(), allow=allow, **decision)
        await phone.request(id=fresh(), allow=allow, **decision)
        with pytest.raises(Refused, match="approval_conflict"):
            await phone.request(id=fresh(), allow=not allow, **decision)

        for client in (phone, laptop):
            end = await client.ended(ack)
            assert (end["outcome"], end["content"]) == ("complete", "ok ok ")
            (kept,) = end["tools"]
            assert kept["state"] == ("done" if allow else "denied")
            assert not allow or kept["result"] == "sent"
