"""Who lives, and who may take an answer over: one winner, and never from the living."""

import asyncio

import pytest

from storage.errors import Fenced, NotFound
from storage.records import Answer, Checkpoint, RunState, Verdict
from storage.sql.ownership import FORGOTTEN_MS, STALE_MS, UNBROKEN_MS, UNCLAIMED_MS
from tests.support.rows import DONE, REQUEST, World

BEAT_MS = 3000


async def beat(world: World, incarnations: list[str], milliseconds: int) -> None:
    """Let so much time pass in which these, and only these, give signs of life."""
    for _ in range(milliseconds // BEAT_MS):
        world.clock.advance(BEAT_MS)
        for incarnation in incarnations:
            await world.store.internal.ownership.beat(incarnation)
    world.clock.advance(milliseconds % BEAT_MS)


async def orphans(world: World, taker: str, *, proof: bool = False) -> list[Answer]:
    found = await world.store.internal.ownership.orphans(taker, limit=1000, proof_of_death=proof)
    return [answer for answer in found if answer.tenant == world.tenant]


async def test_a_heartbeat_in_time_goes_on_unbroken(world: World) -> None:
    """A late one begins anew: in between it may have been taken for dead."""
    incarnation = await world.incarnation()
    begun = world.clock.now
    world.clock.advance(STALE_MS)
    on_time = await world.store.internal.ownership.beat(incarnation)
    assert (on_time.beat_at, on_time.unbroken_since) == (world.clock.now, begun)
    world.clock.advance(STALE_MS + 1)
    assert (
        await world.store.internal.ownership.beat(incarnation)
    ).unbroken_since == world.clock.now


async def test_a_heartbeat_says_which_one_was_the_last(world: World) -> None:
    """So whoever remembers a later one knows that the database has gone back."""
    incarnation = await world.incarnation()
    begun = world.clock.now
    found = []
    for _ in range(2):
        world.clock.advance(BEAT_MS)
        found.append((await world.store.internal.ownership.beat(incarnation)).before)
    assert found == [begun, begun + BEAT_MS]


async def test_who_was_forgotten_cannot_go_on(world: World) -> None:
    """It must begin anew under another id."""
    incarnation = await world.incarnation()
    await world.store.internal.ownership.leave(incarnation)
    with pytest.raises(NotFound):
        await world.store.internal.ownership.beat(incarnation)


async def test_only_the_living_are_listed(world: World) -> None:
    """Whoever missed three beats is not."""
    dead, alive = await world.incarnation(), await world.incarnation()
    await beat(world, [alive], 12_000)
    living = {one.incarnation for one in await world.store.internal.ownership.living()}
    assert (alive in living, dead in living) == (True, False)


async def test_who_was_silent_for_a_day_is_forgotten(world: World) -> None:
    """Every crash leaves a row, and they would only ever grow in number."""
    dead, quiet = await world.incarnation(), await world.incarnation()
    world.clock.advance(1)
    await world.store.internal.ownership.beat(quiet)
    world.clock.advance(FORGOTTEN_MS)
    await world.incarnation()
    known = {row["id"] for row in await world.rows("SELECT id FROM incarnations")}
    assert (dead in known, quiet in known) == (False, True)


async def test_a_clock_that_is_set_back_keeps_no_dead_owner_alive(world: World) -> None:
    """Nor a taker from judging for as long as it was set back; and the living lose nothing."""
    sent, held = await world.running()
    lost, _ = await world.running()
    owner, taker = (await world.answer(sent.answer)).incarnation, await world.incarnation()
    assert owner is not None
    await beat(world, [taker, owner], 12_000)
    seen = [await world.answer(id) for id in (held.answer, lost.answer)]
    world.clock.advance(-3_600_000)
    take_over = world.store.internal.ownership.take_over
    assert [await take_over(one, taker) for one in seen] == [None, None]
    await beat(world, [owner, taker], 3_000)
    assert [await take_over(one, taker) for one in seen] == [None, None]
    await beat(world, [owner, taker], 12_000)
    assert [answer.id for answer in await orphans(world, taker)] == [lost.answer]
    assert await take_over(seen[0], taker) is None
    assert await take_over(seen[1], taker) is not None
    living = {one.incarnation for one in await world.store.internal.ownership.living()}
    assert {owner, taker} <= living


async def test_what_was_taken_unawares_can_be_found(world: World) -> None:
    """A commit whose outcome was not heard made it one's own, and nobody else will run it."""
    held_by, answers = world.store.internal.ownership.held_by, world.store.internal.answers
    mine = await world.incarnation()
    sent = await world.send(incarnation=mine)
    world.clock.advance(1)
    claimed = await world.send()
    await answers.claim(world.tenant, claimed.answer, mine)
    world.clock.advance(1)
    ended = await world.send(incarnation=mine)
    await world.end(world.held(ended))
    await world.running()
    found = await held_by(mine)
    assert [(one.id, one.fence) for one in found] == [(sent.answer, 1), (claimed.answer, 1)]
    await answers.park(found[0].held, REQUEST)
    assert [one.id for one in await held_by(mine)] == [claimed.answer]


async def test_an_answer_is_taken_from_the_dead_by_one(world: World) -> None:
    """Twenty try at once; the fence rises by one."""
    sent, old = await world.running()
    taker = await world.incarnation()
    await beat(world, [taker], 12_000)
    (seen,) = await orphans(world, taker)
    assert (seen.id, seen.fence) == (sent.answer, 1)
    taken = await asyncio.gather(
        *(world.store.internal.ownership.take_over(seen, taker) for _ in range(20))
    )
    (won,) = [answer for answer in taken if answer is not None]
    assert (won.incarnation, won.fence, won.state) == (taker, 2, RunState.RUNNING)
    assert await orphans(world, taker) == []
    with pytest.raises(Fenced):
        await world.store.internal.answers.end(old, DONE)


async def test_many_takers_race_and_one_wins(world: World) -> None:
    """Each with a heartbeat of its own."""
    await world.running()
    takers = [await world.incarnation() for _ in range(10)]
    await beat(world, takers, 12_000)
    (seen,) = await orphans(world, takers[0])
    taken = await asyncio.gather(
        *(world.store.internal.ownership.take_over(seen, taker) for taker in takers)
    )
    assert sum(answer is not None for answer in taken) == 1


async def test_nothing_is_taken_from_the_living(world: World) -> None:
    """Up to the very last moment of its heartbeat."""
    sent, held = await world.running()
    owner = (await world.answer(sent.answer)).incarnation
    assert owner is not None
    taker = await world.incarnation()
    await beat(world, [taker, owner], 12_000)
    await beat(world, [taker], STALE_MS)
    assert await orphans(world, taker) == []
    seen = await world.answer(held.answer)
    assert await world.store.internal.ownership.take_over(seen, taker) is None
    world.clock.advance(1)
    assert await world.store.internal.ownership.take_over(seen, taker) is not None


async def test_a_taker_must_have_lived_longer_than_the_dead_are_dead(world: World) -> None:
    """One that was frozen with the owner may not judge it, nor one that is stale itself."""
    sent, _ = await world.running()
    seen = await world.answer(sent.answer)
    world.clock.advance(60_000)
    taker = await world.incarnation()
    take_over = world.store.internal.ownership.take_over
    await beat(world, [taker], UNBROKEN_MS - 1)
    assert await take_over(seen, taker) is None
    world.clock.advance(STALE_MS + 1)
    assert await take_over(seen, taker) is None
    await world.store.internal.ownership.beat(taker)
    assert await take_over(seen, taker) is None
    await beat(world, [taker], 12_000)
    assert await take_over(seen, taker) is not None
    assert await take_over(seen, "i_unknown") is None


async def test_an_answer_that_changed_hands_since_it_was_seen_is_not_taken(world: World) -> None:
    """Owner and fence must both be as seen."""
    sent, held = await world.running()
    seen = await world.answer(sent.answer)
    await world.store.internal.answers.park(held, REQUEST)
    owner = seen.incarnation
    assert owner is not None
    await world.store.internal.answers.resume(world.tenant, sent.answer, owner)
    taker = await world.incarnation()
    await beat(world, [taker], 12_000)
    assert await world.store.internal.ownership.take_over(seen, taker) is None
    (now,) = await orphans(world, taker)
    assert await world.store.internal.ownership.take_over(now, taker) is not None


async def test_what_somebody_left_behind_can_be_taken_at_once(world: World) -> None:
    """An incarnation that said goodbye is not waited for."""
    sent, _ = await world.running()
    taker = await world.incarnation()
    owner = (await world.answer(sent.answer)).incarnation
    assert owner is not None
    await beat(world, [taker, owner], 12_000)
    await world.store.internal.ownership.leave(owner)
    (seen,) = await orphans(world, taker)
    assert await world.store.internal.ownership.take_over(seen, taker) is not None


async def test_with_proof_of_death_recovery_is_immediate(world: World) -> None:
    """Who holds the only lock knows that all others are dead, and that it is not itself."""
    sent, held = await world.running()
    mine = await world.incarnation()
    own = await world.send(incarnation=mine)
    queued = await world.send()
    found = await orphans(world, mine, proof=True)
    assert [answer.id for answer in found] == [sent.answer, queued.answer]
    taken = await world.store.internal.ownership.take_over(found[0], mine, proof_of_death=True)
    assert taken is not None
    assert taken.fence == held.fence + 1
    assert own.fence == 1


async def test_an_answer_nobody_claimed_is_found_when_its_turn_has_come(world: World) -> None:
    """Not while its committer may still be about to claim it, and not while it waits."""
    first = await world.send()
    await world.send(conversation=first.conversation)
    taker = await world.incarnation()
    assert await orphans(world, taker) == []
    world.clock.advance(UNCLAIMED_MS)
    (found,) = await orphans(world, taker)
    assert (found.id, found.state) == (first.answer, RunState.QUEUED)


async def test_a_zombie_that_wakes_after_the_takeover_writes_nothing(world: World) -> None:
    """Its heartbeat revives, its fence does not."""
    sent, old = await world.running()
    await world.write(old, 0, "mine")
    owner = (await world.answer(sent.answer)).incarnation
    assert owner is not None
    taker = await world.incarnation()
    await beat(world, [taker], 12_000)
    (seen,) = await orphans(world, taker)
    won = await world.store.internal.ownership.take_over(seen, taker)
    assert won is not None
    await world.store.internal.ownership.beat(owner)
    piece = Checkpoint(held=old, start=4, text=" too")
    (result,) = await world.store.internal.answers.checkpoint([piece])
    assert result.verdict is Verdict.FENCED
    assert (await world.end(won.held, "!")).length == 5


async def test_a_takeover_that_races_the_owners_last_words_loses_no_rule(world: World) -> None:
    """Either the owner's checkpoint and end count, or the taker owns; never both."""
    for _ in range(20):
        sent, held = await world.running()
        taker = await world.incarnation()
        await beat(world, [taker], 12_000)
        seen = await world.answer(sent.answer)
        taken, ended = await asyncio.gather(
            world.store.internal.ownership.take_over(seen, taker),
            world.store.internal.answers.end(held, DONE),
            return_exceptions=True,
        )
        assert not isinstance(taken, BaseException)
        assert (taken is None) != isinstance(ended, Fenced)
