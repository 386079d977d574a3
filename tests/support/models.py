"""Models asked by tests: short requests, whole streams."""

import asyncio
from collections.abc import AsyncGenerator, MutableSequence, Sequence

import msgspec

from protocol.types import Role
from server.providers.base import ModelEvent, ModelRequest, Provider, Turn


def asks(*contents: str, model: str = "m", **more: object) -> ModelRequest:
    """A request whose turns are by user and model alternately, the last one by the user."""
    roles = (Role.USER, Role.ASSISTANT)
    turns = tuple(
        Turn(role=roles[(len(contents) - 1 - place) % 2], content=content)
        for place, content in enumerate(contents)
    )
    return msgspec.structs.replace(ModelRequest(model=model, turns=turns), **more)


def script(**fields: object) -> str:
    """A script's text."""
    return msgspec.json.encode(fields).decode()


async def events(provider: Provider, request: ModelRequest) -> list[ModelEvent]:
    """Everything that a stream gives."""
    return [event async for event in provider.stream(request)]


async def collect(
    stream: AsyncGenerator[ModelEvent, None], into: MutableSequence[ModelEvent]
) -> None:
    """Keep what comes, also where it ends in a failure."""
    async for event in stream:
        into.append(event)


async def alternation(provider: Provider, request: ModelRequest) -> list[int]:
    """In which order two streams gave their events, read at the same time: of 0 and of 1."""
    order: list[int] = []

    async def read(which: int) -> None:
        tell = order.append  # at once, not when all of it is there
        async for _ in provider.stream(request):
            tell(which)

    await asyncio.gather(read(0), read(1))
    return order


async def some(stream: AsyncGenerator[ModelEvent, None], count: int) -> list[ModelEvent]:
    """The first events of a stream, which is left open."""
    return [await anext(stream) for _ in range(count)]


def text_of(given: Sequence[ModelEvent]) -> str:
    """The text among the events."""
    return "".join(event for event in given if isinstance(event, str))
