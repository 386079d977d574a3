"""Whatever happens around a conversation log, the invariants of a conversation hold.

Owners speak, repeat, are delayed, taken over and stopped; devices follow with deliveries lost,
doubled and shuffled; the store trims, expires, forgets and goes back. After each step the journal
of all that was ever stored, what is stored now and what devices were given are compared: no seq has
a hole or is used again, a stale owner writes nothing, nothing follows an end, and a device gets all
that follows its position, once. As texts grow their offsets are checked, and at the end every
device shows what SQL has.
"""

import asyncio
import functools
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from protocol.types import Epoch, Id, Position
from server.streams.replay import State
from storage.log import Append, Appended, Checkpoint, Live, Loss, Lost, Retention, Slice
from tests.contracts.event_log.harness import Mailbox, Opens
from tests.contracts.event_log.harnesses import HARNESSES
from tests.contracts.event_log.world import (
    ALL,
    Answer,
    Device,
    Fate,
    Frame,
    Instance,
    Owner,
    Talk,
    fence,
    take_over,
)

SMALL = Retention(entries=3, age_ms=1000, idle_ms=60_000)
PICK = st.integers(0, 11)
ANEW = "another attempt"
PIECES = st.lists(st.sampled_from(["a", "b", "ab", "ba", "aba", ANEW]), min_size=1, max_size=4)
T = TypeVar("T")
P = ParamSpec("P")


def driven(
    step: Callable[Concatenate["Model", P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate["Model", P], None]:
    """Runs a rule on the model's one loop: Hypothesis calls no coroutines."""

    @functools.wraps(step)
    def run(self: "Model", /, *args: P.args, **kwargs: P.kwargs) -> None:
        self.run(step(self, *args, **kwargs))

    return run


def some(name: str) -> Callable[["Model"], bool]:
    return lambda model: bool(getattr(model, name))


class Model(RuleBasedStateMachine):
    """One conversation at a time, two instances, a store that may do anything it may do."""

    def __init__(self, opens: Opens, request: pytest.FixtureRequest) -> None:
        super().__init__()
        self.opens, self.request = opens, request
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.failed = False
        self.erased: list[Id] = []
        self.late: list[list[Append]] = []  # requests still under way when their sender gave up
        self.late_saved: list[list[Checkpoint]] = []
        self.kept: tuple[Position, object] | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return self.runner.run(coroutine)
        except BaseException:
            self.failed = True
            raise

    @initialize()
    @driven
    async def begin(self) -> None:
        self.harness = await self.stack.enter_async_context(self.opens(self.request, SMALL))
        await self.new_talk()

    async def new_talk(self) -> None:
        self.talk = Talk(f"c_{len(self.erased)}")
        self.instances = [
            Instance(log, self.talk) for log in (self.harness.one, self.harness.other)
        ]
        self.owners: list[Owner] = []
        self.devices: list[Device] = []
        self.kept = None
        self.reading: tuple[Epoch | None, tuple[int, dict[Id, int]]] | None = None
        self.mail = Mailbox()
        following = await self.harness.other.follow(self.talk.name, self.mail)
        self.stack.callback(following.close)
        self.new_answer(self.instances[0])
        await self.new_device(self.instances[1], 10_000)

    # What owners do

    @precondition(lambda self: len(self.talk.answers) < 4)
    @rule(at=PICK)
    @driven
    async def ask(self, at: int) -> None:
        """A message is committed; its answer has an owner, and nobody has logged the row yet."""
        self.new_answer(self.instances[at % 2])

    def new_answer(self, instance: Instance) -> None:
        name = f"m_{len(self.talk.answers)}"
        self.talk.commits.append(Frame("message", name))
        self.talk.answers[name] = Answer(number=len(self.talk.commits))
        self.owners.append(Owner(instance, name))

    @rule(at=PICK)
    @driven
    async def sweep(self, at: int) -> None:
        """Somebody logs the newest commit, and with it whatever was not logged."""
        await self.instances[at % 2].log_rows(len(self.talk.commits))

    @rule(which=PICK, pieces=PIECES, fate=st.sampled_from(Fate), pause=st.sampled_from([0, 400]))
    @driven
    async def speak(self, which: int, pieces: list[str], fate: Fate, pause: int) -> None:
        """An owner appends; whether it still is one, it learns from the log. What is said ages."""
        owner = self.owners[which % len(self.owners)]
        for piece in pieces:
            await self.harness.pass_time(pause)
            if owner.stopped:
                break
            if piece == ANEW:
                owner.begin_anew()
            else:
                owner.speak(piece)
            await self.send(owner, fate)

    async def send(self, owner: Owner, fate: Fate) -> None:
        if fate is Fate.ARRIVES or not owner.entered:
            await owner.settle()
        elif fate is Fate.REPLY_LOST:
            await owner.instance.log.append(owner.batch())
        else:
            self.late.append(owner.batch())

    @precondition(some("late_saved"))
    @rule(which=PICK)
    @driven
    async def let_go_late(self, which: int) -> None:
        """A checkpoint reaches the log after later ones, or after an end."""
        await self.harness.one.checkpoint(self.late_saved.pop(which % len(self.late_saved)))

    @precondition(some("late"))
    @rule(which=PICK, again=st.booleans())
    @driven
    async def arrive_late(self, which: int, again: bool) -> None:
        """A request arrives long after its sender asked anew, perhaps twice."""
        index = which % len(self.late)
        batch = self.late[index] if again else self.late.pop(index)
        results = await self.harness.one.append(batch)
        if any(asked.conversation in self.erased for asked in batch):
            assert not any(isinstance(result, Appended) for result in results)

    @rule(which=PICK, delayed=st.booleans())
    @driven
    async def save(self, which: int, delayed: bool) -> None:
        """A checkpoint of what is appended; the log may hear of it much later."""
        owner = self.owners[which % len(self.owners)]
        await owner.settle()
        saved = owner.save()
        if delayed:
            self.late_saved.append(saved)
        else:
            await owner.instance.log.checkpoint(saved)

    @rule(which=PICK, logged=st.booleans())
    @driven
    async def end(self, which: int, logged: bool) -> None:
        """An answer ends; its last row is logged at once, or left to whoever logs next."""
        owner = self.owners[which % len(self.owners)]
        await owner.end()
        if logged:
            await owner.instance.log_rows(len(self.talk.commits))

    @rule(which=PICK)
    @driven
    async def write_on(self, which: int) -> None:
        """An owner that lost its answer, or whose answer ended in the log, writes all the same."""
        owner = self.owners[which % len(self.owners)]
        if owner.row.fence == owner.fence and not owner.row.ended:
            return
        await self.instances[0].log_rows(len(self.talk.commits))
        if owner.epoch is not None and owner.entered:
            await fence(owner.instance, owner.epoch, owner.answer, owner.fence)
            owner.speak("z")
            results = await owner.instance.log.append(owner.batch()[-1:])
            assert not any(isinstance(result, Appended) for result in results)
            owner.pending.pop()

    @precondition(lambda self: any(not each.ended for each in self.talk.answers.values()))
    @rule(at=PICK, which=PICK, goes_on=st.booleans())
    @driven
    async def take(self, at: int, which: int, goes_on: bool) -> None:
        """Another owner takes over, and goes on or ends what was shown."""
        unfinished = [name for name, each in self.talk.answers.items() if not each.ended]
        owner = await take_over(self.instances[at % 2], unfinished[which % len(unfinished)])
        self.owners.append(owner)
        if not goes_on:
            await owner.end()

    # What happens to the store

    @precondition(lambda self: len(self.talk.commits) > 1)
    @rule(expires=st.booleans())
    @driven
    async def lose(self, expires: bool) -> None:
        """The log is gone: flushed, or of a store that noticed it went back.

        Or nobody wrote for long, nor looked: then it is gone where looks are what keeps it.
        """
        if expires:
            await self.harness.pass_time(70_000)
        else:
            await self.harness.lose(self.talk.name)

    @rule()
    @driven
    async def go_back(self) -> None:
        """The store keeps its state, or goes back to the state it kept and does not notice.

        Every instance knows more than what it goes back to; where one knows less, the store has to
        notice by itself, and then the log is lost.
        """
        positions = [await instance.position() for instance in self.instances]
        if self.kept is None:
            self.kept = positions[0], await self.harness.save(self.talk.name)
            return
        (back, saved), self.kept = self.kept, None
        if all(now.epoch == back.epoch and now > back for now in positions):
            await self.harness.restore(self.talk.name, saved)
            self.late.clear()  # with its memory the store lost its connections
            self.late_saved.clear()

    @precondition(lambda self: len(self.talk.commits) > 1)
    @rule(at=PICK)
    @driven
    async def read_sql(self, at: int) -> None:
        """An opener reads SQL and is held up; before it opens, things change."""
        if self.reading is None:
            position = (await self.harness.one.heads([self.talk.name]))[self.talk.name]
            self.reading = position.epoch if position else None, self.talk.reading()
        else:
            (instead_of, reading), self.reading = self.reading, None
            await self.instances[at % 2].open(instead_of, reading)

    @precondition(lambda self: len(self.talk.commits) > 2 and len(self.erased) < 2)
    @rule()
    @driven
    async def erase(self) -> None:
        """The conversation goes for good, and everybody who follows it learns so."""
        self.talk.erased = True
        await self.harness.other.drop([self.talk.name])
        for device in self.devices:
            answer = await device.instance.log.read(self.talk.name, device.replay.position, 1)
            assert answer == Lost(Loss.NO_LOG)
            device.close()
        self.erased.append(self.talk.name)
        await self.new_talk()

    # What devices do

    @precondition(lambda self: len(self.devices) < 3)
    @rule(at=PICK, stranger=st.booleans(), hold=st.sampled_from([0, 200, 10_000]))
    @driven
    async def join(self, at: int, stranger: bool, hold: int) -> None:
        """A device without a position, or with one that this log never gave."""
        if stranger:
            device = Device(self.instances[at % 2])
            await device.attach(Position("none", 7), hold)
            self.devices.append(device)
        else:
            await self.new_device(self.instances[at % 2], hold)

    async def new_device(self, instance: Instance, hold: int) -> None:
        device = Device(instance)
        await device.start_over(hold)
        self.devices.append(device)

    @rule(which=PICK, hold=st.sampled_from([0, 200, 10_000]))
    @driven
    async def attach_again(self, which: int, hold: int) -> None:
        """A cut: what was under way is lost, and the device comes back with its position."""
        device = self.devices[which % len(self.devices)]
        await device.attach(device.replay.position, hold)

    @rule(
        which=PICK,
        how=st.sampled_from(["in order", "doubled", "shuffled", "some", "none"]),
        seed=st.integers(0, 7),
    )
    @driven
    async def deliver(self, which: int, how: str, seed: int) -> None:
        """What was published reaches a device, more or less."""
        device, chance = self.devices[which % len(self.devices)], random.Random(seed)
        mail, device.mail.deliveries = device.mail.deliveries, []
        mail = {
            "in order": mail,
            "doubled": [each for each in mail for _ in range(2)],
            "shuffled": chance.sample(mail, len(mail)),
            "some": [each for each in mail if chance.random() < 0.5],
            "none": [],
        }[how]
        for delivery in mail:
            await device.act(device.replay.live(delivery))

    @rule(which=PICK, halves=st.integers(1, 6))
    @driven
    async def read(self, which: int, halves: int) -> None:
        """The log answers a device's read, or the answer arrives, or both, and again."""
        for _ in range(halves):
            await self.devices[which % len(self.devices)].read()

    @rule(which=PICK)
    @driven
    async def check(self, which: int) -> None:
        """A device's position is compared with the head, or the comparison arrives."""
        await self.devices[which % len(self.devices)].check()

    # What always holds

    @invariant()
    @driven
    async def nothing_is_stored_that_may_not_be(self) -> None:
        """The journal takes every entry, and the log has what the journal has."""
        await self.harness.settle()
        deliveries, self.mail.deliveries = self.mail.deliveries, []
        for delivery in deliveries:
            if isinstance(delivery, Live):
                for entry in delivery.entries:
                    self.talk.journal.record(delivery.epoch, entry)
        heads = await self.harness.one.heads([self.talk.name, *self.erased])
        assert not any(heads[name] for name in self.erased)
        if (position := heads[self.talk.name]) is not None:
            await self.log_agrees_with_journal(position)

    async def log_agrees_with_journal(self, position: Position) -> None:
        found = await self.harness.one.read(self.talk.name, Position(position.epoch, 0), ALL)
        oldest = found.oldest if isinstance(found, Lost) else 0
        found = await self.harness.one.read(self.talk.name, Position(position.epoch, oldest), ALL)
        assert isinstance(found, Slice)
        written = self.talk.journal.entries[position.epoch][: position.seq]
        assert list(found.entries) == written[oldest:]
        for entry in written[:oldest]:
            answer = self.talk.answers.get(entry.source)
            if answer and not answer.ended:
                saved = answer.at and answer.at.epoch == position.epoch and answer.at.seq
                assert entry.seq <= (saved or 0), "what SQL does not have yet is not trimmed"

    @invariant()
    def devices_were_given_what_was_stored(self) -> None:
        """All that follows the position they came with, in order, once."""
        for device in self.devices:
            if device.passed:
                begin = device.begin
                entries = self.talk.journal.entries[begin.epoch][begin.seq :]
                assert device.passed == entries[: len(device.passed)]

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.run(self.come_to_rest())
                self.nothing_is_stored_that_may_not_be()
                self.devices_were_given_what_was_stored()
        finally:
            self.runner.run(self.stack.aclose())
            self.runner.close()

    async def come_to_rest(self) -> None:
        """Everything ends, every device comes level, and all show what SQL has."""
        for owner in self.owners:
            if owner.mine:
                await owner.end()
        await self.instances[0].log_rows(len(self.talk.commits))
        for device in self.devices:
            device.mail.deliveries.clear()
            await self.come_level(device)
            shown = {name: (text.text, text.ended) for name, text in device.texts.items()}
            assert shown == {name: (each.text, True) for name, each in self.talk.answers.items()}

    async def come_level(self, device: Device) -> None:
        for _ in range(1000):
            now = (await self.harness.one.heads([self.talk.name]))[self.talk.name]
            if device.replay.state is State.LEVEL and device.replay.position == now:
                return
            await device.read()
            await device.check()
        raise AssertionError("a device never comes level")


STEPS = 50
# Of each implementation, in the short form and in the long; on a server a run takes half a second.
EXAMPLES = {"memory": (300, 6000), "redis": (25, 300), "cluster": (15, 300)}


@pytest.mark.parametrize("name", HARNESSES)
def test_the_invariants_hold_whatever_happens(name: str, request: pytest.FixtureRequest) -> None:
    """The same runs every time."""
    explore(HARNESSES[name], request, EXAMPLES[name][0], derandomize=True)


@pytest.mark.long
@pytest.mark.parametrize("name", HARNESSES)
def test_the_invariants_hold_in_many_more_runs(name: str, request: pytest.FixtureRequest) -> None:
    """Other runs every time; a failure prints how to have it again."""
    explore(HARNESSES[name], request, EXAMPLES[name][1], derandomize=False)


def explore(
    opens: Opens, request: pytest.FixtureRequest, examples: int, *, derandomize: bool
) -> None:
    class Bound(Model):
        def __init__(self) -> None:
            super().__init__(opens, request)

    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            derandomize=derandomize,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
