"""SIGTERM: clients are asked to go, answers may end, and what is left goes on elsewhere."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

import pytest

from tests.conftest import LONG
from tests.faults.device import Cut, Device
from tests.faults.going import goaways, kept, ready
from tests.faults.house import House, house_in
from tests.faults.plans import TOOL, script
from tests.faults.town import get
from tests.faults.view import Frame
from tests.support import tally
from tests.support.chaos import How
from tests.support.lateness import within

pytestmark = [pytest.mark.alone, pytest.mark.row(24)]

SOCKETS, STREAMING = 200, 20
EXIT_S = 45.0  # the promise
QUICK = {
    "PARLEY_SOCKET_DRAIN_PAUSE_S": "0.05",
    "PARLEY_SOCKET_DRAIN_GRACE_S": "3",
    "PARLEY_SOCKET_DRAIN_SPREAD_S": "5",
}
PACE = {} if LONG else QUICK
GRACE_S = 30.0 if LONG else 3.0
SPREAD_MS = 5_000


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A server that drains quickly, at work."""
    async with house_in(tmp_path, **QUICK) as house:
        await house.start()
        yield house


async def drained(house: House) -> tuple[int, float]:
    """SIGTERM to the end; the status and how long that took."""
    began = time.monotonic()
    status = await house.stop()
    return status, time.monotonic() - began


async def until_gone(device: Device) -> None:
    """Until the server has closed its socket."""
    with pytest.raises(Cut):
        await device.until(lambda: False)


async def first_word(device: Device, answer: str) -> None:
    """Until something of it is shown."""

    def shows() -> bool:
        shown = device.view.answer(answer)
        return shown is not None and shown.text != ""

    await device.until(shows)


async def ask(device: Device, content: str, **more: object) -> Frame:
    """A message that is acknowledged."""
    ack = await device.ask({"type": "chat", "content": content, **more})
    assert ack["type"] == "ack", ack
    return ack


async def test_a_drain_of_many_sockets_loses_nothing(tmp_path: Path) -> None:
    """Every client hears `goaway`; every answer ends with its text, or runs after a start."""
    async with house_in(tmp_path, PARLEY_ANSWERS_FIRST_TOKEN_S="60", **PACE) as house:
        await house.start()
        devices = await house.all_connected(SOCKETS)
        streaming = devices[:STREAMING]
        short, long, silent = streaming[:14], streaming[14:18], streaming[18:]
        quick, beyond = script(" word", 20, every_ms=50), script(" word", 900, every_ms=50)
        unshown = script(" word", 3, first_ms=(GRACE_S + 1.5) * 1000)
        asked = [
            *[(device, await ask(device, quick)) for device in short],
            *[(device, await ask(device, beyond)) for device in long],
            *[(device, await ask(device, unshown)) for device in silent],
        ]
        waits = await ask(long[0], script(" next", 3), conversation=asked[14][1]["conversation"])
        for device, ack in asked[:18]:
            await first_word(device, ack["answer"])
        status, took_s = await drained(house)
        await asyncio.gather(*map(until_gone, devices))

        said = f"{SOCKETS} sockets, {STREAMING} answers, exit after {took_s:.1f} s"
        tally.count(1, said=said)
        assert status == 0
        assert took_s >= GRACE_S
        assert [device.closes for device in devices] == [[1012]] * SOCKETS
        assert [len(goaways(device)) for device in devices] == [1] * SOCKETS
        told = [goaways(device)[0]["reconnect_after_ms"] for device in devices]
        assert {goaways(device)[0]["reason"] for device in devices} == {"shutdown"}
        assert 0 <= min(told) < max(told) <= SPREAD_MS
        assert len(set(told)) > SOCKETS / 2  # they do not all come back at once
        for device, ack in asked[:14]:
            assert device.view.ended[ack["answer"]] == (" word" * 20, "complete", "stop")
        for device, ack in asked[14:18]:
            text, outcome, reason = device.view.ended[ack["answer"]]
            assert (outcome, reason) == ("interrupted", "shutdown")
            assert 0 < len(text) < len(" word" * 900)
        for device, ack in (*asked[18:], (long[0], waits)):
            assert ack["answer"] not in device.view.ended

        await house.start()
        await asyncio.gather(*map(house.reconnect, devices))
        await asyncio.gather(*map(house.at_rest, devices))
        for device, ack in asked[18:]:
            assert device.view.ended[ack["answer"]] == (" word" * 3, "complete", "stop")
        assert long[0].view.ended[waits["answer"]] == (" next" * 3, "complete", "stop")
        assert await house.stop() == 0
        faults = house.judged()
    assert faults == []
    within(took_s, EXIT_S, "the exit")


async def test_while_draining_nothing_new_is_taken_and_all_else_works(house: House) -> None:
    """`unavailable` is retryable: the same id is taken by the next server."""
    ada = await house.connected("ada")
    done = await ask(ada, script(" a", 2))
    await ada.until(lambda: ada.at_rest)
    ack = await ask(ada, script(" word", 900, every_ms=50))
    await first_word(ada, ack["answer"])
    asking = kept(house.url)
    assert await asyncio.to_thread(ready, asking) == (200, True)

    house.parley.send(signal.SIGTERM)
    await ada.until(lambda: goaways(ada) != [])
    refused = [
        ada.send({"type": "chat", "content": script(" b", 2)}),
        ada.send({"type": "regenerate", "answer": done["answer"]}),
        ada.send({"type": "edit", "message": done["message"], "content": script(" c", 2)}),
    ]
    await ada.until(lambda: ada.refusals["unavailable"] >= len(refused))
    assert all(frame["retryable"] for frame in ada.heard if frame["type"] == "error")
    ada.write({"type": "ping", "id": "still"})
    await ada.until(lambda: any(frame["type"] == "pong" for frame in ada.heard))
    page = await ada.ask({"type": "history", "conversation": done["conversation"]})
    assert len(page["messages"]) == 2
    assert await asyncio.to_thread(ready, asking) == (503, False)
    with pytest.raises(URLError):  # nobody new is let in
        await asyncio.to_thread(get, house.url, "/health/live")
    assert (await ada.ask({"type": "stop", "answer": ack["answer"]}))["type"] == "ok"
    await ada.until(lambda: ack["answer"] in ada.view.ended)
    assert await house.ended() == 0
    asking.close()
    await until_gone(ada)

    await house.start()
    await house.reconnect(ada)
    await house.at_rest(ada)
    assert {request.answer and request.answer["type"] for request in refused} == {"ack"}
    assert await house.stop() == 0
    assert house.judged() == []


async def test_a_second_sigterm_ends_it_at_once(house: House) -> None:
    """It dies of the signal; what ran is recovered as after any crash."""
    ada = await house.connected("ada")
    ack = await ask(ada, script(" word", 900, every_ms=50))
    await first_word(ada, ack["answer"])
    house.parley.send(signal.SIGTERM)
    await ada.until(lambda: goaways(ada) != [])
    assert ack["answer"] not in ada.view.ended
    status, took_s = await drained(house)
    assert status == -signal.SIGTERM
    await house.start()
    await house.reconnect(ada)
    await house.at_rest(ada)
    assert ada.view.ended[ack["answer"]][1] == "interrupted"
    assert await house.stop() == 0
    assert house.judged() == []
    within(took_s, 2.0, "the exit")


async def test_nothing_under_way_is_waited_for_by_nobody(house: House) -> None:
    """Only the batches of `goaway` take their time."""
    devices = [await house.connected("ada") for _ in range(5)]
    status, took_s = await drained(house)
    assert status == 0
    await asyncio.gather(*map(until_gone, devices))
    assert [device.closes for device in devices] == [[1012]] * 5
    within(took_s, 2.0, "the exit")


async def test_clients_that_do_not_go_hold_nobody_up(house: House) -> None:
    """Silent ones, one that did not greet, and half a head of HTTP."""
    silent, ungreeted = await house.connected("ada"), house.device("ada")
    silent.drop(How.SILENCE)
    await ungreeted.open(house.url)
    parts = urlsplit(house.url)
    _, half = await asyncio.open_connection(parts.hostname, parts.port)
    half.write(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    await half.drain()
    assert get(house.url, "/health")["sockets"] == 2
    status, took_s = await drained(house)
    assert status == 0
    half.close()
    within(took_s, 10.0, "the exit")


async def test_a_drain_without_grace_keeps_what_was_said(tmp_path: Path) -> None:
    """With 0 seconds answers are let go of at once, and told so."""
    async with house_in(tmp_path, **{**QUICK, "PARLEY_SOCKET_DRAIN_GRACE_S": "0"}) as house:
        await house.start()
        ada = await house.connected("ada")
        ack = await ask(ada, script(" word", 900, every_ms=20))
        await first_word(ada, ack["answer"])
        status, took_s = await drained(house)
        assert status == 0
        await until_gone(ada)
        assert ada.view.ended[ack["answer"]][1:] == ("interrupted", "shutdown")
        await house.start()
        await house.reconnect(ada)
        await house.at_rest(ada)
        assert await house.stop() == 0
        assert house.judged() == []
    within(took_s, 3.0, "the exit")


async def test_what_is_parked_is_left_as_it_is(house: House) -> None:
    """An approval may be given to the next server."""
    ada = await house.connected("ada")
    ack = await ask(ada, script(" word", 4, at=2, tool=TOOL))
    await ada.until(lambda: bool((shown := ada.view.answer(ack["answer"])) and shown.tools))
    status, took_s = await drained(house)
    assert status == 0
    await house.start()
    await house.reconnect(ada)
    shown = ada.view.answer(ack["answer"])
    assert shown is not None
    assert shown.end is None
    [call] = shown.tools.values()
    approve = {"type": "approve", "call": call["call"], "args_hash": call["args_hash"]}
    assert (await ada.ask({**approve, "allow": True}))["type"] == "ok"
    await house.at_rest(ada)
    assert ada.view.ended[ack["answer"]] == (" word" * 4, "complete", "stop")
    assert await house.stop() == 0
    assert house.judged() == []
    within(took_s, 3.0, "the exit")
