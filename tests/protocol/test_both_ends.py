"""Both machines against each other, through both encodings, over a link that breaks."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.test_replica import assert_equal
from tests.protocol.world import World

STEPS, PATIENCE = 400, 20_000


def lived(seed: int) -> World:
    """A world after some trouble, and after the calm that follows it."""
    world = World(seed)
    for _ in range(STEPS):
        world.step()
    world.calm = True
    for _ in range(PATIENCE):
        if world.quiet:
            break
        world.step()
    assert world.quiet, f"never at rest: {world.client}"
    return world


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_every_request_is_answered_once_and_both_ends_show_the_same(seed: int) -> None:
    """Cuts, drains, lost logs, refusals and lost answers, in any order (invariants 3 and 11).

    No exception but what a test would show, no refusal by the codec, no message stored twice.
    """
    world = lived(seed)
    assert world.answered == world.asked
    stored = sum(
        row.role == "user" for room in world.rooms.values() for row in room.now.rows.values()
    )
    assert stored == len(world.accepted)
    for name, replica in world.client.replicas.items():
        assert_equal(replica, world.rooms[name])


def test_the_worlds_of_this_test_are_troubled_ones() -> None:
    """Else the test above would prove little: what its seeds bring about is counted."""
    worlds = [lived(seed) for seed in range(10)]
    assert sum(world.cuts for world in worlds) > 50
    assert sum(sum(world.asked.values()) for world in worlds) > 100
    assert sum(len(world.accepted) for world in worlds) > 50
    assert {world.codec.binary for world in worlds} == {True, False}
    assert any(room.epoch != "e1" for world in worlds for room in world.rooms.values())
