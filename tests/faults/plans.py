"""What devices do, by a seed."""

import json
import random
from collections.abc import Callable

from tests.faults.device import Device, Request
from tests.faults.view import Frame

SEEDS_OF_A_TOWN = 5  # at most: the towns of a long form are side by side
TOOLS = 0.15  # of all messages have a tool called
TOOL = {"name": "clock", "arguments": {"zone": "UTC"}, "approval": True, "result": "noon"}


def shares(seeds: range) -> list[range]:
    """The seeds of each town."""
    return [seeds[at : at + SEEDS_OF_A_TOWN] for at in range(0, len(seeds), SEEDS_OF_A_TOWN)]


def script(text: str, tokens: int, every_ms: float = 0, **more: object) -> str:
    """The content of a message to the model `scripted`."""
    return json.dumps({"tokens": tokens, "text": text, "every_ms": every_ms, **more})


class Talk:
    """One device's seeded conversation with the server: a few requests, some at once."""

    def __init__(self, device: Device, chance: random.Random) -> None:
        self._device = device
        self._chance = chance
        device.decide = lambda _: chance.random() < 0.7

    async def hold(self) -> None:
        """To its last request; what was asked may still be under way."""
        for _ in range(self._chance.randint(3, 8)):
            request = self._device.send(self._next())
            await self._device.until(self._chance.choice(self._waits(request)))

    def _next(self) -> Frame:
        acks = self._device.acks
        kinds = ["new"]
        if acks:
            kinds += ["chat", "chat", "chat", "regenerate", "edit", "stop", "stop"]
        kind = self._chance.choice(kinds)
        if kind == "new":
            return self._chat()
        ack = self._chance.choice(acks)
        busy = self._chance.choice(["queue", "queue", "interrupt", "reject"])
        match kind:
            case "chat":
                return {**self._chat(), "conversation": ack["conversation"], "on_busy": busy}
            case "regenerate":
                return {"type": "regenerate", "answer": ack["answer"], "on_busy": busy}
            case "edit":
                edit = {"type": "edit", "message": ack["message"], "on_busy": busy}
                return {**edit, "content": self._content()}
        return {"type": "stop", "answer": ack["answer"]}

    def _chat(self) -> Frame:
        return {"type": "chat", "content": self._content()}

    def _content(self) -> str:
        """A script that no other message has."""
        chance = self._chance
        own = f" {self._device.name}.{chance.randrange(10**9)}"
        tokens, every_ms = chance.randint(1, 60), chance.choice([0, 0, 1, 5])
        if chance.random() < TOOLS:
            return script(own, tokens, every_ms, at=chance.randint(0, tokens), tool=TOOL)
        return script(own, tokens, every_ms)

    def _waits(self, request: Request) -> list[Callable[[], bool]]:
        """How far a request may come before the next one is made."""
        view = self._device.view

        def answered() -> bool:
            return request.answer is not None

        def shown() -> bool:
            if request.answer is None or request.answer["type"] != "ack":
                return answered()
            answer = view.answer(request.answer["answer"])
            return answer is not None and (answer.text != "" or answer.end is not None)

        def ended() -> bool:
            return answered() and not self._device.unfinished

        return [lambda: True, answered, shown, ended]
