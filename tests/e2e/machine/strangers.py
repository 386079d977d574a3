"""Who is not the owner learns nothing, not even that there is something."""

from tests.e2e.machine.device import Device
from tests.e2e.machine.ledger import Frame
from tests.e2e.machine.tree import Conversation
from tests.e2e.machine.world import World


async def pry(world: World, device: Device, there: Conversation) -> None:
    """Every frame that names something of somebody else's gets what a missing id gets."""
    assert device.person != there.owner
    question = next(node.id for node in there.nodes.values() if node.role == "user")
    answer = there.asked[-1].id
    call = world.ledger.calls.get(answer, {}).get("call", "k_none")
    real = attempts(world, there.id, question, answer, call)
    missing = attempts(world, "c_none", "m_none", "m_none", "k_none")
    for frame, nothing in zip(real, missing, strict=True):
        refused, unknown = await device.ask(frame), await device.ask(nothing)
        assert (refused["type"], refused.get("code")) == ("error", "not_found"), (frame, refused)
        assert _words(refused) == _words(unknown), (refused, unknown)
    assert there.id not in device.views


def attempts(world: World, home: str, question: str, answer: str, call: str) -> list[Frame]:
    """All that can name a conversation, a message, an answer or a call."""
    named = world.named
    words: Frame = {"content": "hello"}
    return [
        {"type": "attach", "conversation": home},
        {"type": "attach", "conversation": home, "epoch": "e", "seq": 0},
        named("history", conversation=home),
        named("history", conversation=home, before=answer),
        named("chat", conversation=home, **words),
        named("chat", conversation=home, on_busy="interrupt", **words),
        named("chat", parent=answer, **words),
        {"type": "stop", "answer": answer},
        named("regenerate", answer=answer),
        named("edit", message=question, **words),
        named("select", conversation=home, leaf=answer),
        named("feedback", message=answer, rating="up"),
        named("approve", call=call, args_hash="h", allow=True),
        named("tool_result", call=call, content=""),
    ]


def _words(refused: Frame) -> Frame:
    return {name: refused[name] for name in ("type", "code", "message", "retryable")}
