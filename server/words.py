"""What instances tell each other, and about what: topics and words over `storage.bus`.

All of it is told at most once. Whoever misses a word learns the same in another way, later; each
word says how.
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from protocol.codes import CloseCode
from protocol.frames.from_server import AnyServerFrame, ServerFrame
from storage.bus import Bus, Listening
from storage.values import Owner

# Deep nesting and broken UTF-8 raise outside msgspec's own tree.
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class Word(Struct, frozen=True, tag_field="word"):
    """Something to tell. A newer version may add words and fields; what is not known is ignored."""


class Wake(Word, tag="wake", frozen=True):
    """To an incarnation: a stop of that answer is stored. Else it learns with its checkpoint."""

    answer: str


class Kick(Word, tag="kick", frozen=True):
    """To a person: end all their sockets. Who cannot live without it voids credentials too."""

    code: CloseCode


class Look(Word, tag="look", frozen=True):
    """To a person: their credentials were voided. Else all look by themselves every few seconds."""


class Pass(Word, tag="pass", frozen=True):
    """To a person or a conversation: a frame beside the log. Such are told at most once anyway."""

    frame: AnyServerFrame


class Here(Word, tag="here", frozen=True):
    """To a conversation: so many follow it at that instance. Said again while others are there.

    `asks`: a newcomer, who does not know yet how many are elsewhere.
    """

    instance: str
    sockets: int
    asks: bool = False


AnyWord: TypeAlias = Wake | Kick | Look | Pass | Here

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyWord)


def to_incarnation(incarnation: str) -> str:
    """The topic of what concerns answers that it owns."""
    return f"incarnation:{incarnation}"


def to_person(owner: Owner) -> str:
    """The topic of what concerns somebody's sockets."""
    return f"person:{_encoder.encode([owner.tenant, owner.user]).decode()}"


def to_conversation(conversation: str) -> str:
    """The topic of what concerns those who follow it."""
    return f"conversation:{conversation}"


def say(bus: Bus, topic: str, word: Word) -> None:
    """Tell all other instances that listen to the topic."""
    bus.say(topic, _encoder.encode(word))


def listen(bus: Bus, topic: str, hear: Callable[[AnyWord], None]) -> Listening:
    """Have `hear` called with what other instances say about the topic, if it is known here."""

    def ear(data: bytes) -> None:
        try:
            word = _decoder.decode(data)
        except _UNREADABLE:  # of another version
            return
        hear(word)

    return bus.listen(topic, ear)


def passed(frame: ServerFrame) -> Pass:
    """A frame to be passed on."""
    assert isinstance(frame, AnyServerFrame)
    return Pass(frame)
