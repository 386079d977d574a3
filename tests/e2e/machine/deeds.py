"""What people do beside asking for answers, and what must come of it."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.e2e.machine.device import Device
from tests.e2e.machine.ledger import Frame
from tests.e2e.machine.tree import Asked, Conversation
from tests.e2e.machine.view import View
from tests.e2e.machine.world import Request, World


async def command(world: World, device: Device, frame: Frame) -> None:
    """Send what `ok` answers."""
    ok = await device.ask(frame)
    assert ok["type"] == "ok", ok
    if "id" in frame:
        world.requests.append(Request(device.person, frame, ok))


async def select(world: World, device: Device, there: Conversation, message: str) -> None:
    """The branch with this message is the active one, on every device."""
    frame = world.named("select", conversation=there.id, leaf=message)
    await command(world, device, frame)
    there.leaf = leaf = there.newest_below(message)
    for follower in world.followers(there):
        view = follower.views[there.id]
        await follower.until(lambda v=view: v.leaf == leaf)  # type: ignore[misc]


async def rate(
    world: World, device: Device, there: Conversation, message: str, **word: Any
) -> None:
    """What a person thinks of a message."""
    await command(world, device, world.named("feedback", message=message, **word))
    there.nodes[message].rating = word


async def called(world: World, there: Conversation, asked: Asked, state: str) -> Frame:
    """The answer's call once it is told to be in that state."""
    witness = await world.witness(there)

    def told() -> bool:
        return world.ledger.calls.get(asked.id, {}).get("state") == state

    await witness.until(told)
    return world.ledger.calls[asked.id]


async def decide(
    world: World, device: Device, there: Conversation, asked: Asked, *, allow: bool
) -> None:
    """Allow a call, or deny it."""
    call = await called(world, there, asked, "awaiting_approval")
    await command(
        world,
        device,
        world.named("approve", call=call["call"], args_hash=call["args_hash"], allow=allow),
    )
    asked.allowed = allow
    asked.settled = asked.settled + 1 if allow else len(asked.script.waits)
    both = asked.script.tool == "both"
    await called(world, there, asked, ("requested" if both else "done") if allow else "denied")


async def decide_again(
    world: World, device: Device, asked: Asked, *, allow: bool, forged: bool
) -> None:
    """What was decided stays so, and what was not in time is not any more."""
    call = world.ledger.calls[asked.id]
    hash = "0" * 64 if forged else call["args_hash"]
    frame = world.named("approve", call=call["call"], args_hash=hash, allow=allow)
    answer = await device.ask(frame)
    if forged or asked.allowed is (not allow):
        assert answer.get("code") == "approval_conflict", answer
    elif asked.allowed is None:
        assert answer.get("code") == "approval_expired", answer
    else:
        assert answer["type"] == "ok", answer


async def run_tool(
    world: World, device: Device, there: Conversation, asked: Asked, **outcome: str
) -> None:
    """The client ran its tool."""
    call = await called(world, there, asked, "requested")
    await command(world, device, world.named("tool_result", call=call["call"], **outcome))
    asked.settled += 1
    await called(world, there, asked, "done" if "content" in outcome else "failed")


async def attach(
    world: World, device: Device, there: Conversation, *, resume: bool, times: int
) -> None:
    """Follow from a position or from a snapshot; again and again, it is as once."""
    view = device.views.get(there.id) or device.left.get(there.id)
    wanted = view if resume and view is not None else there.id
    attached = await asyncio.gather(*[device.attach(wanted) for _ in range(times)])
    assert all(answer["type"] == "attached" for answer in attached), attached


async def detach(world: World, device: Device, there: Conversation) -> None:
    """Follow no more; also where it did not."""
    ok = await device.ask({"type": "detach", "conversation": there.id})
    assert ok["type"] == "ok", ok
    assert there.id not in device.views


async def type_something(world: World, device: Device, there: Conversation) -> None:
    """The other devices that follow hear of it, if this one does."""
    others = [each for each in world.followers(there) if each is not device]
    heard = [_of_typing(each, each.views[there.id]) for each in others]
    await device.hint({"type": "typing", "conversation": there.id})
    pong = await device.ask(world.named("ping"))
    assert pong["type"] == "pong"
    for other, once_more in zip(others, heard, strict=True) if there.id in device.views else ():
        await other.until(once_more)


def _of_typing(device: Device, view: View) -> Callable[[], bool]:
    """Whether it has heard of it once more than by now.

    It is told at most once: not to whom it would come while a lost log is lost again, as where its
    next epoch lacks the text of an answer that has just ended.
    """
    before, epoch = _typed(device), view.epoch
    return lambda: _typed(device) == before + 1 or view.epoch != epoch


def _typed(device: Device) -> int:
    return sum(frame["type"] == "typing" for frame in device.aside)


async def lose_log(world: World, there: Conversation) -> None:
    """The conversation's log is gone: whoever follows is brought level unasked."""
    epochs = {each: each.views[there.id].epoch for each in world.followers(there)}
    await world.lives.lose_log(there.id)
    for device, epoch in epochs.items():
        view = device.views[there.id]
        await device.until(lambda v=view, e=epoch: v.epoch != e)  # type: ignore[misc]
