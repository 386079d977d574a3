"""The ground that rules stand on: a world, a loop that runs while a rule does, and choices."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from msgspec import structs

from server.streams.options import Options as Streams
from storage.log import Retention
from tests.e2e.machine import rest
from tests.e2e.machine.device import Device, Person
from tests.e2e.machine.life import LIVELY
from tests.e2e.machine.scripts import Script
from tests.e2e.machine.tree import Asked, Conversation
from tests.e2e.machine.world import World
from tests.support.logs import logging_to_memory

T = TypeVar("T")

ADA = Person("ada")
EVE = Person("eve")
TWIN = Person("ada", tenant="other")  # of the same name, elsewhere

RULE_S = 60.0
BUSY = "no connection became free in time"
EXPECTED = "a model failed before its first word"  # the scripts want it to

Picks: TypeAlias = list[int]
picks = st.lists(st.integers(0, 11), min_size=4, max_size=4)
people = st.sampled_from([ADA, ADA, ADA, ADA, EVE, TWIN])


class Machine(RuleBasedStateMachine):
    """Between two rules nothing happens: the loop stands still, and the server with it."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self._stack = ExitStack()
        self._log = self._stack.enter_context(logging_to_memory("warning"))
        self._folder = Path(self._stack.enter_context(TemporaryDirectory()))
        self._runner = self._stack.enter_context(asyncio.Runner())

    @initialize(
        gather_ms=st.sampled_from([10.0, 0.0]),
        entries=st.sampled_from([4096, 6]),
        checkpoint_s=st.sampled_from([1.0, 0.02]),
    )
    def begin(self, gather_ms: float, entries: int, checkpoint_s: float) -> None:
        """A server with nothing in it."""
        self.world = World(
            self.template,
            self._folder,
            streams=Streams(gather_ms=gather_ms),
            log=Retention(entries=entries),
            answers=structs.replace(LIVELY.answers, checkpoint_s=checkpoint_s),
        )
        self.run(self.world.lives.begin())

    @property
    def w(self) -> World:
        """The world, which there is from the beginning on."""
        assert self.world is not None
        return self.world

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the loop run until this is done."""

        async def bounded() -> T:
            async with asyncio.timeout(RULE_S):
                return await work

        return self._runner.run(bounded())

    @invariant()
    def nobody_finds_fault(self) -> None:
        """Every frame so far was as it should be."""
        if self.world is not None:
            self.world.demand()

    def teardown(self) -> None:
        """Let everything end, and look at what is left."""
        with self._stack:
            if self.world is None:
                return
            self.run(rest.close(self.world))
            assert self.run(_others()) == set(), "tasks that outlive the server"
            lines = [line for line in self._log.lines() if line["event"] != EXPECTED]
            # Where a machine is busy with others, the store's own thread may wait too long.
            lines = [line for line in lines if BUSY not in line.get("why", "")]
            assert lines == [], lines

    # ── what there is to choose from ─────────────────────────────────────────────────────────────

    def pick(self, which: Picks, there: Sequence[T]) -> T:
        """One of these. How many there are may be a race's outcome, so it is no draw itself."""
        picked = there[which[0] % len(there)]
        which.append(which.pop(0))  # the next one picks by another number
        note(f"    # {picked!r}")
        return picked

    def device(self, which: Picks, person: Person | None = None) -> Device:
        """One of the devices, or a new one."""
        there = [each for each in self.w.devices if person in (None, each.person)]
        return self.pick(which, there) if there else self.run(self.w.connect(person or ADA))

    def conversation(self, which: Picks) -> Conversation:
        """One of the conversations, or a new one."""
        if not self.w.tree.conversations:
            self.begin_with(which, Script(tokens=2, text="a "))
        return self.pick(which, list(self.w.tree.conversations.values()))

    def answer(self, which: Picks, there: Conversation) -> Asked:
        """One of its answers."""
        return self.pick(which, there.asked)

    def message(self, which: Picks, there: Conversation, *roles: str) -> str:
        """One of its messages."""
        nodes = [node.id for node in there.nodes.values() if not roles or node.role in roles]
        return self.pick(which, nodes)

    def waiting(self, which: Picks, state: str) -> tuple[Conversation, Asked]:
        """An answer whose turn it is and that waits for somebody to act on its call."""
        firsts = [
            (there, next((asked for asked in there.unfinished if asked.holds), None))
            for there in self.w.tree.conversations.values()
        ]
        there = [(home, asked) for home, asked in firsts if asked and asked.waits_for == state]
        if there:
            return self.pick(which, there)
        tool = "ask" if state == "awaiting_approval" else "client"
        asked = self.begin_with(which, Script(tokens=2, text="a ", tool=tool))
        return list(self.w.tree.conversations.values())[-1], asked

    def decided(self) -> list[tuple[Conversation, Asked]]:
        """Answers with a call that nothing can be decided about any more."""
        return [
            (there, asked)
            for there, asked in self.w.tree.answers
            if asked.script.tool in ("ask", "both")
            and asked.id in self.w.ledger.calls
            and (asked.end is not None or asked.allowed is not None)
        ]

    def begin_with(self, which: Picks, script: Script) -> Asked:
        """A new conversation."""
        asked = self.run(self.w.ask(self.device(which), self.w.chat(script, None), script))
        assert asked is not None, "nothing is ahead of a first message"
        return asked


async def _others() -> set[asyncio.Task[Any]]:
    """Tasks beside this one."""
    return asyncio.all_tasks() - {asyncio.current_task()}
