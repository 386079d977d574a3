"""Everything at once on a few conversations: nobody waits in a ring, and every rule holds."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from msgspec import structs

from protocol.types import OnBusy, ToolState
from storage.errors import Busy, Conflict, Fenced
from storage.ids import Kind
from storage.records import Checkpoint, Held, NewToolCall, RunState, Sent
from storage.values import Spent
from storage.work import Expense
from tests.support.rows import DONE, REQUEST, World

CONVERSATIONS = 3
WORKERS = 12
STEPS = 40
LEGITIMATE = (Busy, Fenced, Conflict)  # somebody else was faster


class Storm:
    """Workers that do whatever can be done, in an order that a seed decides."""

    def __init__(self, world: World, begun: list[Sent], incarnation: str) -> None:
        self.world = world
        self.incarnation = incarnation
        self.sent = list(begun)
        self.held: list[Held] = []
        self.calls: list[str] = []

    async def worker(self, seed: int) -> None:
        chance = random.Random(seed)
        steps: list[Callable[[random.Random], Awaitable[object]]] = [
            self.send,
            self.send,
            self.claim,
            self.claim,
            self.claim,
            self.checkpoint,
            self.end,
            self.end,
            self.stop,
            self.pay,
            self.rate,
            self.select,
            self.park,
            self.resume,
            self.take_over,
            self.reset,
            self.ask,
            self.decide,
        ]
        for _ in range(STEPS):
            try:
                await chance.choice(steps)(chance)
            except LEGITIMATE:
                continue

    async def send(self, chance: random.Random) -> None:
        on_busy = chance.choice([OnBusy.QUEUE, OnBusy.QUEUE, OnBusy.INTERRUPT])
        conversation = chance.choice(self.sent).conversation
        sent = await self.world.send(
            conversation=conversation, on_busy=on_busy, incarnation=self.incarnation
        )
        self.sent.append(sent)
        if sent.fence:
            self.held.append(self.world.held(sent))

    async def claim(self, chance: random.Random) -> None:
        answers = self.world.store.internal.answers
        tenant, conversation = self.world.tenant, chance.choice(self.sent).conversation
        waiting = (await answers.opening(tenant, conversation)).unfinished
        if waiting:
            claimed = await answers.claim(tenant, waiting[0].answer.id, self.incarnation)
            if claimed is not None:
                self.held.append(claimed.held)

    async def checkpoint(self, _: random.Random) -> None:
        latest = {held.answer: held for held in self.held[-6:]}
        batch = [
            Checkpoint(held=held, start=(await self.world.answer(held.answer)).length, text="x")
            for held in latest.values()
        ]
        await self.world.store.internal.answers.checkpoint(batch)

    async def end(self, chance: random.Random) -> None:
        if self.held:
            held = chance.choice(self.held[-4:])
            paid = (self.expense(held.answer, chance),)
            how = structs.replace(DONE, expenses=paid)
            await self.world.store.internal.answers.end(held, how)

    async def stop(self, chance: random.Random) -> None:
        await self.world.store.sending.stop(self.world.owner, chance.choice(self.sent).answer)

    async def pay(self, chance: random.Random) -> None:
        sent = chance.choice(self.sent)
        await self.world.store.internal.usage.record(
            self.world.owner,
            [self.expense(sent.answer, chance)],
            conversation=sent.conversation,
        )

    async def rate(self, chance: random.Random) -> None:
        await self.world.store.feedback.save(
            self.world.owner, self.world.once(), chance.choice(self.sent).answer, rating="up"
        )

    async def select(self, chance: random.Random) -> None:
        sent = chance.choice(self.sent)
        await self.world.store.conversations.select(
            self.world.owner, self.world.once(), sent.conversation, sent.answer
        )

    async def park(self, chance: random.Random) -> None:
        if self.held:
            held = chance.choice(self.held[-4:])
            await self.world.store.internal.answers.park(held, REQUEST)

    async def resume(self, chance: random.Random) -> None:
        answer = chance.choice(self.sent).answer
        resumed = await self.world.store.internal.answers.resume(
            self.world.tenant, answer, self.incarnation
        )
        if resumed is not None:
            self.held.append(resumed.held)

    async def take_over(self, chance: random.Random) -> None:
        mine = await self.world.store.internal.ownership.held_by(self.incarnation)
        for seen in mine[:1]:
            taken = await self.world.store.internal.ownership.take_over(
                seen, self.incarnation, proof_of_death=True
            )
            if taken is not None:
                self.held.append(taken.held)

    async def reset(self, chance: random.Random) -> None:
        if self.held:
            held = chance.choice(self.held[-4:])
            attempt = (await self.world.answer(held.answer)).attempt
            await self.world.store.internal.answers.reset(held, attempt=attempt)

    async def ask(self, chance: random.Random) -> None:
        if self.held:
            call = NewToolCall(
                id=self.world.ids(Kind.TOOL_CALL),
                name="n",
                step=1,
                arguments=REQUEST,
                args_hash="h",
                state=ToolState.AWAITING_APPROVAL,
            )
            await self.world.store.internal.tools.create(chance.choice(self.held[-4:]), call)
            self.calls.append(call.id)

    async def decide(self, chance: random.Random) -> None:
        if self.calls:
            await self.world.store.tools.decide(
                self.world.owner,
                self.world.once(),
                chance.choice(self.calls[-6:]),
                args_hash="h",
                allow=chance.random() < 0.5,
            )

    def expense(self, answer: str, chance: random.Random) -> Expense:
        return Expense(
            key=f"{answer}:{chance.randrange(3)}",
            feature="chat",
            model="m",
            provider="p",
            spent=Spent(1, 1, 1),
            answer=answer,
        )


async def test_whatever_happens_at_once_nobody_waits_in_a_ring_and_every_rule_holds(
    world: World,
) -> None:
    """Numbers without holes, one end per answer, one that runs per conversation, exact sums."""
    begun = [await world.send() for _ in range(CONVERSATIONS)]
    storm = Storm(world, begun, await world.incarnation())
    await asyncio.gather(*(storm.worker(seed) for seed in range(WORKERS)))
    assert world.db.ran == world.db.asked, "a unit was repeated: a deadlock, or a lost connection"

    for sent in begun:
        conversation = sent.conversation
        numbers = await world.numbers(conversation)
        assert numbers == list(range(1, len(numbers) + 1))
        answers = await world.rows(
            "SELECT id, state, terminal FROM answers WHERE conversation = :c", c=conversation
        )
        states = Counter(row["state"] for row in answers)
        assert states[RunState.RUNNING] <= 1
        ends = await world.rows(
            """
            SELECT subject AS id, number AS terminal FROM commits
            WHERE conversation = :c AND kind = 'complete'
            """,
            c=conversation,
        )
        assert len(ends) == len({row["id"] for row in ends})
        told = {(row["id"], row["terminal"]) for row in ends}
        assert told == {(a["id"], a["terminal"]) for a in answers if a["terminal"] is not None}
        assert all(a["terminal"] is not None for a in answers if a["state"] == RunState.ENDED)
        (paid,) = await world.rows(
            """
            SELECT COUNT(*) AS n FROM usage u JOIN answers a
                ON a.tenant = u.tenant AND a.id = u.answer
            WHERE a.conversation = :c
            """,
            c=conversation,
        )
        shown = await world.store.conversations.get(world.owner, conversation)
        assert shown.spent.cost_nano == paid["n"]
