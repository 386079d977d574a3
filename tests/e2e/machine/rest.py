"""When everything has ended: every device, every row and every bill tell the same story."""

from storage.values import Spent
from tests.e2e.machine.device import Device
from tests.e2e.machine.tree import Conversation, Node
from tests.e2e.machine.view import View
from tests.e2e.machine.world import World


async def close(world: World) -> None:
    """Everything ends, everybody comes back and goes, and what is left is what should be."""
    for there in list(world.tree.conversations.values()):
        await world.finish(there)
    for old in list(world.dropped):
        await world.resume(old, binary=old.binary)
    for device in list(world.devices):
        for id, view in device.views.items():
            there = world.tree.conversations[id]
            await _level(world, device, there)
            device.demand()
            _compare_view(view, there)
            await world.history(device, there, 7)
    for device in [*world.devices, *world.dropped]:
        await device.bury()
    await world.lives.at_rest()
    await world.lives.end()
    _compare_rows(world)


async def _level(world: World, device: Device, there: Conversation) -> None:
    """It stands where a device stands that attaches anew."""
    view = device.views[there.id]
    fresh = await world.connect(device.person, there.id)
    head = fresh.views[there.id]
    assert head.leaf == there.leaf
    await device.until(lambda: (view.epoch, view.seq) == (head.epoch, head.seq))
    await world.drop(fresh, "fin")
    await world.forget(fresh)


def _compare_view(view: View, there: Conversation) -> None:
    if view.whole:
        assert view.leaf == there.leaf, f"{view.leaf}, not {there.leaf}"
    for id, said in view.answers.items():
        end = there.answer(id).end
        assert end is not None
        assert said.ended or not view.whole, f"no complete of {id}"
        if said.text is not None and said.ended:
            assert len(said.text.encode("utf-16-le")) == 2 * end.length


def _compare_rows(world: World) -> None:
    """Invariants 2, 3, 4 and 17."""
    rows = world.lives.rows("SELECT id, conversation, parent, role, content FROM messages")
    stored = {row["id"]: (row["conversation"], row["parent"], row["role"]) for row in rows}
    conversations = world.tree.conversations.values()
    assert stored == {
        node.id: (there.id, node.parent, node.role)
        for there in conversations
        for node in there.nodes.values()
    }
    contents = {row["id"]: row["content"] for row in rows}
    world.census()
    for there in conversations:
        for node in there.nodes.values():
            if node.role == "user":
                assert contents[node.id] == node.content
                _compare_usage(world, there, node)
        for asked in there.asked:
            assert asked.end is not None
            assert len(contents[asked.id].encode("utf-16-le")) == 2 * asked.end.length


def _compare_usage(world: World, there: Conversation, question: Node) -> None:
    """What was paid for answers to this message is what they cost."""
    [row] = world.lives.rows(
        "SELECT COALESCE(SUM(u.prompt_tokens), 0) AS prompt_tokens,"
        " COALESCE(SUM(u.completion_tokens), 0) AS completion_tokens,"
        " COALESCE(SUM(u.cost_nano), 0) AS cost_nano"
        " FROM usage u JOIN messages m ON m.id = u.answer WHERE m.parent = ?",
        question.id,
    )
    assert question.content is not None
    paid, cost = Spent(**row), world.lives.tally.of(question.content)
    if any(asked.crashed for asked in there.asked if asked.question == question.id):
        assert paid.cost_nano <= cost.cost_nano, (question.content, paid, cost)
    else:
        assert paid == cost, (question.content, paid, cost)
