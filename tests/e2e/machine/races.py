"""Two things at once, or one thing and an end in the middle of it."""

import asyncio

from tests.e2e.machine.device import Device
from tests.e2e.machine.ledger import Frame
from tests.e2e.machine.scripts import Script
from tests.e2e.machine.tree import Asked, Conversation
from tests.e2e.machine.world import World


async def same_id(world: World, one: Device, other: Device, frame: Frame, script: Script) -> None:
    """The same request from two devices: one answer."""
    posted = [await one.post(frame), await other.post(frame)]
    acks = [await one.result(posted[0]), await other.result(posted[1])]
    if all(ack["type"] == "error" for ack in acks):
        there = world.home(frame)
        assert there is not None
        assert world.tree.may_be_busy(there.id, frame.get("on_busy", "queue")), acks
        return
    # Where the first was refused as busy, the way may have become free for the second.
    firsts = [
        (d, ack) for d, ack in zip((one, other), acks, strict=True) if not ack.get("duplicate")
    ]
    made = [(device, ack) for device, ack in firsts if ack["type"] == "ack"]
    assert len(made) == 1, acks
    [(device, first)] = made
    for ack in acks:
        if ack["type"] == "ack":
            assert (ack["message"], ack["answer"]) == (first["message"], first["answer"]), acks
    await world.acknowledged(device, frame, first, script)


async def two_messages(
    world: World, devices: tuple[Device, Device], frames: list[Frame], scripts: list[Script]
) -> None:
    """Two messages of one conversation: one after the other, whichever came first."""
    posted = [await d.post(frame) for d, frame in zip(devices, frames, strict=True)]
    acks = [await d.result(answer) for d, answer in zip(devices, posted, strict=True)]
    order = [row["id"] for row in world.lives.rows("SELECT id FROM messages ORDER BY number")]
    stories = sorted(
        (
            story
            for story in zip(devices, frames, acks, scripts, strict=True)
            if story[2]["type"] == "ack"
        ),
        key=lambda story: order.index(story[2]["answer"]),
    )
    for device, frame, ack, script in stories:
        await world.acknowledged(device, frame, ack, script)
    for frame, ack in zip(frames, acks, strict=True):
        if ack["type"] == "error":
            assert ack["code"] == "busy", ack
            there = world.home(frame)
            assert there is not None
            assert world.tree.may_be_busy(there.id, frame.get("on_busy", "queue")), ack


async def cut_off(
    world: World, device: Device, frame: Frame, script: Script, *, how: str, turns: int
) -> None:
    """The sender is gone, or the server is, so many turns after it sent; it asks again."""
    there = world.home(frame)
    before = there.ahead if there else range(1)
    posted = await device.post(frame)
    for _ in range(turns):
        await asyncio.sleep(0)
    if how == "crash":
        await world.restart("crash", asking=frame)
    else:
        await world.drop(device, how)
    again = await world.anyone(device.person)
    ack = await again.ask(frame)
    if ack["type"] == "error":
        assert ack["code"] == "busy", ack
        assert not (posted.done() and posted.result()["type"] == "ack"), "acknowledged, and lost"
        return
    if posted.done() and posted.result()["type"] == "ack":
        assert ack["duplicate"], "acknowledged, and lost"
    ahead = range(min(before.start, there.ahead.start), before.stop) if there else before
    asked = await world.acknowledged(again, frame, ack, script, ahead=ahead)
    if ack["duplicate"] and how == "crash":
        asked.fates, asked.crashed = {"natural", "crash"}, True
        world.census(asked.id)
        if asked.end is None:  # it had not begun
            asked.fates, asked.crashed = {"natural"}, False


async def stop_twice(
    world: World, one: Device, other: Device, there: Conversation, asked: Asked
) -> None:
    """Both are told that it stopped, and it ends once."""
    await world.witness(there)
    world.learn()
    surely = asked.end is None and there.surely_waits(asked)
    asked.meddle("stopped", surely=surely)
    stop = {"type": "stop", "answer": asked.id}
    posted = [await one.post(stop), await other.post(stop)]
    for device, answer in zip((one, other), posted, strict=True):
        assert (await device.result(answer))["type"] == "ok"
    await world.ends(there, asked)
