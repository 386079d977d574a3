"""kill -9 while answers are made, wait or are parked, and a start right after it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.device import Device
from tests.faults.house import House, house_in
from tests.faults.plans import TOOL, script
from tests.faults.view import Frame, Shown

pytestmark = pytest.mark.row(2)

TOKENS = 10


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A server at work; what was told and what is stored must fit at the end."""
    async with house_in(tmp_path) as house:
        await house.start()
        yield house
        assert await house.stop() == 0
        assert house.judged() == []


async def killed(house: House, *devices: Device) -> None:
    """kill -9, a start at once, and the devices come back with their positions."""
    await house.kill()
    await house.start()
    await asyncio.gather(*map(house.reconnect, devices))


async def asked(device: Device, content: str, **more: object) -> str:
    """Send a message; the answer's id."""
    return str((await device.ask({"type": "chat", "content": content, **more}))["answer"])


def shown(device: Device, answer: str) -> Shown:
    """An answer on a device that shows it."""
    found = device.view.answer(answer)
    assert found is not None
    return found


async def until_shown(device: Device, answer: str, text: str) -> None:
    """Until the device shows so much of it."""

    def shows() -> bool:
        found = device.view.answer(answer)
        return found is not None and found.text.startswith(text)

    await device.until(shows)


async def until_ended(device: Device, answer: str) -> None:
    """Until the device shows its end."""
    await device.until(lambda: answer in device.view.ended)


async def until_parked(device: Device, answer: str) -> Frame:
    """Until a person or a client has to do something; the call."""

    def waits() -> bool:
        assert answer not in device.view.ended, device.view.ended[answer]
        found = device.view.answer(answer)
        return found is not None and bool(found.tools) and found.state == "parked"

    await device.until(waits)
    [call] = shown(device, answer).tools.values()
    return call


async def test_a_killed_answer_is_interrupted_and_equal_on_all_devices(house: House) -> None:
    """After no chunk, one, half and all of them; the log died, so nobody's position holds."""
    asker, other = await house.connected("ada"), await house.connected("ada")
    acks = []
    for at in (0, 1, TOKENS // 2, TOKENS):
        content = script(" word", TOKENS, fail="stall", at=at)
        ack = await asker.ask({"type": "chat", "content": content})
        await other.ask({"type": "attach", "conversation": ack["conversation"]})
        for device in asker, other:
            await until_shown(device, ack["answer"], " word" * at)
        acks.append((at, ack))
    await killed(house, asker, other)
    assert asker.view.lost_positions == len(acks)
    assert other.view.lost_positions == 2 * len(acks)
    for at, ack in acks:
        answer = ack["answer"]
        await asyncio.gather(until_ended(asker, answer), until_ended(other, answer))
        text, outcome, reason = asker.view.ended[answer]
        assert (outcome, reason) == ("interrupted", "crash")
        assert (" word" * at).startswith(text)
        again = await asked(asker, script(" more", 3), conversation=ack["conversation"])
        await asyncio.gather(until_ended(asker, again), until_ended(other, again))
        assert asker.view.ended[again] == (" more" * 3, "complete", "stop")
    assert asker.view.ended == other.view.ended


async def test_a_crash_loses_no_more_text_than_a_second_of_it(house: House) -> None:
    """What was shown earlier than the last checkpoint is there again, and nothing in its place."""
    ada = await house.connected("ada")
    answer = await asked(ada, script(" word", 400, every_ms=20))
    await until_shown(ada, answer, " word" * 120)  # 2.4 s of it
    await killed(house, ada)
    await house.at_rest(ada)
    text, outcome, _ = ada.view.ended[answer]
    assert outcome == "interrupted"
    assert len(text) >= len(" word" * 40)


async def test_what_waited_behind_a_killed_answer_runs(house: House) -> None:
    """Queued answers come next, in their order, without anybody asking again."""
    ada = await house.connected("ada")
    first = await ada.ask({"type": "chat", "content": script(" a", 9, fail="stall", at=5)})
    queued = [
        await ada.ask(
            {"type": "chat", "conversation": first["conversation"], "content": script(word, 3)}
        )
        for word in (" b", " c")
    ]
    assert [ack["queued"] for ack in queued] == [1, 2]
    await killed(house, ada)
    await house.at_rest(ada)
    assert [ada.view.ended[ack["answer"]][1] for ack in (first, *queued)] == [
        "interrupted",
        "complete",
        "complete",
    ]


async def test_a_stop_before_the_crash_is_honoured_after_it(house: House) -> None:
    """Its answer ends as stopped, not as interrupted; what waited is not run."""
    ada = await house.connected("ada")
    first = await ada.ask({"type": "chat", "content": script(" a", 9, fail="stall", at=5)})
    chat = {"type": "chat", "conversation": first["conversation"], "content": script(" b", 3)}
    queued = await ada.ask(chat)
    for ack in queued, first:
        ada.send({"type": "stop", "answer": ack["answer"]})
    await ada.until(lambda: not ada.in_flight)
    await killed(house, ada)
    await house.at_rest(ada)
    assert {ada.view.ended[ack["answer"]][1] for ack in (first, queued)} == {"stopped"}


async def test_a_call_that_awaits_approval_survives_and_runs_once(house: House) -> None:
    """Any device of the user decides, after the crash; the same decision again is `ok`."""
    ada = await house.connected("ada")
    answer = await asked(ada, script(" word", 4, at=2, tool=TOOL))
    call = await until_parked(ada, answer)
    await house.idle()
    await killed(house, ada)
    again = await until_parked(ada, answer)
    assert (again["call"], again["args_hash"]) == (call["call"], call["args_hash"])
    assert shown(ada, answer).text == " word" * 2
    other = await house.connected("ada")
    approve = {"type": "approve", "call": call["call"], "args_hash": call["args_hash"]}
    assert (await other.ask({**approve, "allow": True}))["type"] == "ok"
    assert (await ada.ask({**approve, "allow": True}))["type"] == "ok"
    assert (await ada.ask({**approve, "allow": False}))["code"] == "approval_conflict"
    await house.at_rest(ada)
    assert ada.view.ended[answer] == (" word" * 4, "complete", "stop")
    assert shown(ada, answer).tools[call["call"]]["state"] == "done"


async def test_what_is_told_as_parked_survives_a_crash(house: House) -> None:
    """Killed as soon as a device was told: what is told was stored before."""
    ada = await house.connected("ada")
    for number in range(3):
        answer = await asked(ada, script(f" {number}", 4, at=2, tool=TOOL))
        await until_parked(ada, answer)
        await killed(house, ada)
        call = await until_parked(ada, answer)
        approve = {"type": "approve", "call": call["call"], "args_hash": call["args_hash"]}
        assert (await ada.ask({**approve, "allow": True}))["type"] == "ok"
        await house.at_rest(ada)
        assert ada.view.ended[answer] == (f" {number}" * 4, "complete", "stop")


@pytest.mark.parametrize(("allow", "state"), [(True, "done"), (False, "denied")])
async def test_a_decision_that_was_acknowledged_is_carried_out_after_a_crash(
    house: House, allow: bool, state: str
) -> None:
    """Killed the moment after `ok`: nobody has to decide again, and nothing denied runs.

    What was gone on with already breaks off like any answer that was shown in part: then its call
    ran, may have run, or never will.
    """
    ada = await house.connected("ada")
    answer = await asked(ada, script(" word", 4, at=2, tool=TOOL))
    call = await until_parked(ada, answer)
    approve = {"type": "approve", "call": call["call"], "args_hash": call["args_hash"]}
    await house.idle()
    ok = await ada.ask({**approve, "allow": allow})
    assert ok["type"] == "ok"
    await killed(house, ada)
    await house.at_rest(ada)
    outcome = ada.view.ended[answer][1]
    attached = await ada.ask({"type": "attach", "conversation": ada.acks[0]["conversation"]})
    [stored] = attached["messages"][-1]["tools"]
    broken_off = {"done", "unknown", "expired"} if allow else {state}
    assert stored["state"] in {"complete": {state}, "interrupted": broken_off}[outcome]


async def test_a_call_expires_on_time_though_the_server_died(tmp_path: Path) -> None:
    """The row knows when; the answer goes on without it, and a late word comes too late."""
    async with house_in(tmp_path, PARLEY_ANSWERS_APPROVAL_S="3") as house:
        await house.start()
        ada = await house.connected("ada")
        answer = await asked(ada, script(" word", 4, at=2, tool=TOOL))
        call = await until_parked(ada, answer)
        await house.idle()
        await killed(house, ada)
        await house.at_rest(ada)
        assert ada.view.ended[answer] == (" word" * 4, "complete", "stop")
        attached = await ada.ask({"type": "attach", "conversation": ada.acks[0]["conversation"]})
        assert attached["messages"][-1]["tools"][0]["state"] == "expired"
        approve = {"type": "approve", "call": call["call"], "args_hash": call["args_hash"]}
        assert (await ada.ask({**approve, "allow": True}))["code"] == "approval_expired"
        assert await house.stop() == 0
        assert house.judged() == []


async def test_a_tool_of_the_clients_own_waits_over_a_crash(house: House) -> None:
    """Its result is taken after the crash, and counted once."""
    ada = await house.connected("ada")
    offered = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    own = {"name": "look", "arguments": {}}
    answer = await asked(ada, script(" word", 4, at=2, tool=own), tools=[offered])
    call = await until_parked(ada, answer)
    await house.idle()
    await killed(house, ada)
    result = {"type": "tool_result", "call": call["call"], "content": "seen"}
    assert (await ada.ask(result))["type"] == "ok"
    await house.at_rest(ada)
    assert ada.view.ended[answer] == (" word" * 4, "complete", "stop")


@pytest.mark.row(1)
@pytest.mark.parametrize("place", ["received", "inserted", "committed", "appended", "acked"])
async def test_a_message_cut_off_on_its_way_is_stored_once(tmp_path: Path, place: str) -> None:
    """The same id again, to the next server: one message and one answer, wherever it was cut."""
    async with house_in(tmp_path) as house:
        await house.start(f"{place}:kill")
        ada = await house.connected("ada")
        request = ada.send({"type": "chat", "content": script(" word", 3)})
        await house.ended()
        await house.start()
        await house.at_rest(ada)
        assert request.answer is not None
        stored = place in ("committed", "appended", "acked")
        assert request.answer["duplicate"] is (stored and request.cuts > 0)
        text, outcome, _ = ada.view.ended[request.answer["answer"]]
        assert (text, outcome) == (("", "interrupted") if stored else (" word" * 3, "complete"))
        assert await house.stop() == 0
        assert house.judged() == []


@pytest.mark.parametrize("place", ["ending", "ended"])
async def test_an_answer_cut_off_at_its_end_ends_once(tmp_path: Path, place: str) -> None:
    """Before its end was stored it is interrupted, after that it is complete: never both."""
    async with house_in(tmp_path) as house:
        await house.start(f"{place}:kill")
        ada = await house.connected("ada")
        answer = await asked(ada, script(" word", 3))
        await house.ended()
        await house.start()
        await house.at_rest(ada)
        text, outcome, _ = ada.view.ended[answer]
        assert outcome == {"ending": "interrupted", "ended": "complete"}[place]
        assert (" word" * 3).startswith(text)
        assert place != "ended" or text == " word" * 3
        assert await house.stop() == 0
        assert house.judged() == []


async def test_a_crash_while_recovering_is_recovered_from(house: House) -> None:
    """The third process ends what the second one was about to end."""
    ada = await house.connected("ada")
    answers = [await asked(ada, script(f" {number}", 9, fail="stall", at=5)) for number in range(5)]
    await house.kill()
    await house.start("ending:kill:3")
    assert house.died_starting == 1
    await house.reconnect(ada)
    await house.at_rest(ada)
    assert {ada.view.ended[answer][1] for answer in answers} == {"interrupted"}


async def test_what_was_edited_and_chosen_is_there_after_a_crash(house: House) -> None:
    """The active branch, feedback and all: whatever was answered by `ok` or `ack`."""
    ada = await house.connected("ada")
    first = await ada.ask({"type": "chat", "content": script(" a", 3)})
    await ada.until(lambda: ada.at_rest)
    edit = {"type": "edit", "message": first["message"], "content": script(" b", 3)}
    edited = await ada.ask(edit)
    await ada.until(lambda: ada.at_rest)
    select = {"type": "select", "conversation": first["conversation"], "leaf": first["answer"]}
    assert (await ada.ask(select))["type"] == "ok"
    rate = {"type": "feedback", "message": edited["answer"], "rating": "up"}
    assert (await ada.ask(rate))["type"] == "ok"
    await killed(house, ada)
    assert ada.view.conversations[first["conversation"]].leaf == first["answer"]
    page = await ada.ask(
        {
            "type": "history",
            "conversation": first["conversation"],
            "before": (await asked_below(ada, edited))["message"],
        }
    )
    assert page["messages"][-1]["feedback"]["rating"] == "up"
    assert json.loads(page["messages"][-2]["content"])["text"] == " b"


async def asked_below(device: Device, ack: Frame) -> Frame:
    """A message below an answer."""
    below = {"conversation": ack["conversation"], "parent": ack["answer"]}
    found = await device.ask({"type": "chat", "content": script(" c", 1), **below})
    await device.until(lambda: device.at_rest)
    return found
