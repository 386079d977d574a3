"""Who follows conversations elsewhere: what other instances tell, and are told.

How many they are is gossip: each instance says its own number when it changed, to a newcomer who
asks, and now and then while others are there too. A number nobody repeats is forgotten, and with it
an instance that died.
"""

import secrets
import time
from collections.abc import Callable
from itertools import islice

from protocol.frames.from_server import ServerFrame
from server import words
from server.words import AnyWord, Here, Pass
from storage.bus import Bus, Listening

REPEAT_S = 15.0
AGAIN_AT_ONCE = 500  # of these words; many are due at once where an instance has ended or begun
FORGET_S = 2.5 * REPEAT_S  # a word may be lost, or late


class Company:
    """`heard` is told what is to be passed to the followers here, `changed` where numbers may have.

    All but what is heard is done by `tell`, which is called for what changed, once a second.
    """

    def __init__(
        self,
        bus: Bus,
        heard: Callable[[str, ServerFrame], None],
        changed: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._heard = heard
        self._changed = changed
        self._clock = clock
        self._name = secrets.token_hex(8)
        self._places: dict[str, _Place] = {}
        self._shared: dict[str, _Place] = {}  # those where others are, too
        self._new: dict[str, _Place] = {}  # those that said no more than their first word yet

    def enter(self, conversation: str) -> None:
        """Somebody here is about to follow: hear what is said there."""
        if conversation not in self._places:
            place = self._places[conversation] = _Place(conversation)
            topic = words.to_conversation(conversation)
            place.listening = words.listen(self._bus, topic, lambda word: self._hear(place, word))

    def say(self, conversation: str, frame: ServerFrame) -> None:
        """Pass a frame beside the log to those who follow elsewhere."""
        words.say(self._bus, words.to_conversation(conversation), words.passed(frame))

    def elsewhere(self, conversation: str) -> int:
        """How many follow it at other instances."""
        place = self._places.get(conversation)
        return 0 if place is None else sum(number for number, _ in place.others.values())

    def tell(self, conversation: str, here: int) -> None:
        """So many follow here now; say so if others may want to know. With none here, leave."""
        place = self._places.get(conversation)
        if place is None:
            return
        if place.asked or here != place.said:
            self._say(place, here)
        if not here:
            if place.listening is not None:
                place.listening.close()
            del self._places[conversation]
            self._shared.pop(conversation, None)
            self._new.pop(conversation, None)

    def look(self) -> None:
        """Each second: repeat what is due, and forget what nobody repeated.

        A first word is repeated once: others may have said theirs in the same moment, and were both
        lost, neither would ever hear of the other.
        """
        now = self._clock()
        for place in tuple(islice(self._new.values(), AGAIN_AT_ONCE)):
            if now - place.said_at < REPEAT_S:
                break  # those behind it came later
            self._say(place, place.said, asks=True)
        again = AGAIN_AT_ONCE
        for place in tuple(self._shared.values()):
            for name, (_, at) in tuple(place.others.items()):
                if now - at >= FORGET_S:
                    self._learn(place, name, 0)
            if place.others and place.said and now - place.said_at >= REPEAT_S and again:
                again -= 1
                self._say(place, place.said)

    def _say(self, place: "_Place", here: int, *, asks: bool = False) -> None:
        first = not place.said and here > 0
        word = Here(self._name, here, asks=asks or first)
        self._new.pop(place.conversation, None)
        if first:
            self._new[place.conversation] = place
        place.said, place.said_at, place.asked = here, self._clock(), False
        words.say(self._bus, words.to_conversation(place.conversation), word)

    def _hear(self, place: "_Place", word: AnyWord) -> None:
        match word:
            case Pass():
                self._heard(place.conversation, word.frame)
            case Here():
                place.asked |= word.asks
                self._learn(place, word.instance, word.sockets)

    def _learn(self, place: "_Place", name: str, number: int) -> None:
        if number:
            place.others[name] = (number, self._clock())
            self._shared[place.conversation] = place
        else:
            place.others.pop(name, None)
            if not place.others:
                self._shared.pop(place.conversation, None)
        self._changed(place.conversation)


class _Place:
    """A conversation that somebody here follows."""

    __slots__ = ("asked", "conversation", "listening", "others", "said", "said_at")

    def __init__(self, conversation: str) -> None:
        self.conversation = conversation
        self.listening: Listening | None = None
        self.others: dict[str, tuple[int, float]] = {}  # their numbers, and when they said so
        self.said = 0  # to the others, of those here
        self.said_at = 0.0
        self.asked = False  # by a newcomer
