"""Who follows conversations elsewhere."""

from protocol.frames.from_server import ServerFrame, Typing
from server.streams.company import FORGET_S, REPEAT_S, Company
from storage.memory.bus import MemoryBus, Switchboard
from tests.support.waiting import pause

C = "c_1"


class Instance:
    """Its company, and what its hub is told."""

    def __init__(self, street: "Street") -> None:
        self.here = 0
        self.heard: list[ServerFrame] = []
        self.changed: set[str] = set()
        self.said = 0
        self._street = street
        bus = MemoryBus(street.switchboard)
        say = bus.say

        def counted(topic: str, word: bytes) -> None:
            self.said += 1
            if not street.deaf:
                say(topic, word)

        bus.say = counted  # type: ignore[method-assign]  # to count, and to lose
        self.company = Company(
            bus, lambda _, frame: self.heard.append(frame), self.changed.add, lambda: street.now
        )

    def follow(self, here: int) -> None:
        """So many follow here from now on."""
        if here:
            self.company.enter(C)
        self.here = here
        self.changed.add(C)

    def sweep(self) -> None:
        """As a hub does each second."""
        self.company.look()
        changed = set(self.changed)
        self.changed.clear()
        for conversation in changed:
            self.company.tell(conversation, self.here)

    @property
    def all(self) -> int:
        """How many follow, as far as is known here."""
        return self.here + self.company.elsewhere(C)


class Street:
    """Instances, and time that passes when the test says so."""

    def __init__(self, instances: int = 2) -> None:
        self.now = 100.0
        self.switchboard = Switchboard()
        self.deaf = False
        self.instances = [Instance(self) for _ in range(instances)]

    async def sweep(self, times: int = 2, but: Instance | None = None) -> None:
        """All but one look after what changed, so many seconds long."""
        for _ in range(times):
            self.now += 1
            for instance in self.instances:
                if instance is not but:
                    instance.sweep()
            await pause()


async def test_a_newcomer_learns_of_the_others_and_they_of_it() -> None:
    """Within two looks; also a third one who comes later."""
    street = Street(3)
    one, two, three = street.instances
    one.follow(1)
    await street.sweep()
    assert (one.all, two.all) == (1, 0)
    two.follow(2)
    await street.sweep()
    assert (one.all, two.all) == (3, 3)
    three.follow(1)
    await street.sweep()
    assert [each.all for each in street.instances] == [4, 4, 4]


async def test_who_leaves_is_counted_no_more_and_hears_nothing() -> None:
    """And may come back."""
    street = Street()
    one, two = street.instances
    one.follow(1)
    two.follow(1)
    await street.sweep()
    two.follow(0)
    await street.sweep()
    assert (one.all, two.all) == (1, 0)
    [ears] = street.switchboard.ears.values()
    assert len(ears) == 1
    two.follow(3)
    await street.sweep()
    assert (one.all, two.all) == (4, 4)


async def test_coming_and_going_within_a_second_is_not_told() -> None:
    """What did not change is said to nobody, nor what changed back."""
    street = Street()
    one, two = street.instances
    one.follow(1)
    two.follow(1)
    await street.sweep(5)
    said = one.said
    for here in (2, 3, 1):
        one.follow(here)
    await street.sweep()
    assert one.said == said


async def test_an_instance_that_died_is_forgotten() -> None:
    """It repeats nothing, so its number does not stay."""
    street = Street()
    one, two = street.instances
    one.follow(1)
    two.follow(4)
    await street.sweep()
    assert one.all == 5
    one.changed.clear()
    street.now += FORGET_S - 1
    one.sweep()
    assert one.all == 5
    street.now += 1
    one.sweep()
    assert (one.all, one.changed) == (1, set())
    assert one.company._shared == {}


async def test_the_living_are_remembered_however_long_nothing_changes() -> None:
    """Each says its number now and then."""
    street = Street()
    one, two = street.instances
    one.follow(1)
    two.follow(4)
    await street.sweep()
    for _ in range(10):
        street.now += REPEAT_S
        await street.sweep()
    assert (one.all, two.all) == (5, 5)


async def test_where_nobody_else_is_only_the_first_word_is_repeated() -> None:
    """And once: most conversations are followed at one instance alone."""
    street = Street()
    one = street.instances[0]
    one.follow(1)
    await street.sweep()
    for _ in range(10):
        street.now += REPEAT_S
        await street.sweep()
    assert one.said == 2


async def test_two_whose_first_words_are_lost_find_each_other() -> None:
    """A word may be lost, and both may have come in the same moment."""
    street = Street()
    one, two = street.instances
    street.deaf = True
    one.follow(1)
    two.follow(4)
    await street.sweep()
    street.deaf = False
    assert (one.all, two.all) == (1, 4)
    street.now += REPEAT_S
    await street.sweep()
    assert (one.all, two.all) == (5, 5)


async def test_a_lost_word_is_made_good_by_the_next() -> None:
    """Be it that somebody came, or that they left."""
    street = Street()
    one, two = street.instances
    one.follow(1)
    two.follow(1)
    await street.sweep()
    street.deaf = True
    two.follow(2)
    await street.sweep()
    street.deaf = False
    assert one.all == 2
    street.now += REPEAT_S
    await street.sweep()
    assert one.all == 3
    street.deaf = True
    two.follow(0)
    await street.sweep()
    street.deaf = False
    street.now += FORGET_S
    await street.sweep()
    assert one.all == 1


async def test_what_is_said_beside_the_log_is_passed_on() -> None:
    """To those who follow there, and to nobody after they left."""
    street = Street()
    one, two = street.instances
    typing = Typing(conversation=C, user="ann")
    two.follow(1)
    one.company.say(C, typing)
    await pause()
    assert (one.heard, two.heard) == ([], [typing])
    two.follow(0)
    await street.sweep()
    one.company.say(C, typing)
    await pause()
    assert two.heard == [typing]
