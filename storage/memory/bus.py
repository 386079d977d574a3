"""Words between instances that live in one process, or to nobody where there is but one."""

import asyncio

from storage.bus import Ear, Listening


class Switchboard:
    """What the buses of several instances in one process share."""

    def __init__(self) -> None:
        self.ears: dict[str, list[_Listening]] = {}


class MemoryBus:
    """A Bus at a switchboard; alone there, it has nobody to tell.

    Each ear hears each word in a turn of the loop of its own: who speaks is never called by its own
    words, and an ear that raises, though it must not, is the loop's to report and hurts nobody.
    """

    def __init__(self, switchboard: Switchboard | None = None) -> None:
        self._switchboard = switchboard or Switchboard()

    def listen(self, topic: str, ear: Ear) -> Listening:
        listening = _Listening(self._switchboard, self, topic, ear)
        self._switchboard.ears.setdefault(topic, []).append(listening)
        return listening

    def say(self, topic: str, word: bytes) -> None:
        for listening in self._switchboard.ears.get(topic, ()):
            if listening.bus is not self:
                asyncio.get_running_loop().call_soon(listening.hear, word)


class _Listening:
    def __init__(self, switchboard: Switchboard, bus: MemoryBus, topic: str, ear: Ear) -> None:
        self.bus = bus
        self._switchboard = switchboard
        self._topic = topic
        self._ear: Ear | None = ear

    def hear(self, word: bytes) -> None:
        """Unless it was closed while the word was on its way."""
        if self._ear is not None:
            self._ear(word)

    def close(self) -> None:
        if self._ear is None:
            return
        self._ear = None
        ears = self._switchboard.ears[self._topic]
        ears.remove(self)
        if not ears:
            del self._switchboard.ears[self._topic]
