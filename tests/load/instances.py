"""The measures of what instances share: how much a token takes of Redis, and of each instance."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from protocol.codec import JSON
from storage.log import Append, Delivery
from storage.redis.link import open_link
from storage.redis.log import RedisLog
from tests.load.asking import TOKEN, Reader, Tally, readers, rest
from tests.load.measures import UNWELL, WARM_UP_S, Figure, script, with_errors
from tests.load.peer import Heard, Peer, greeted
from tests.load.shared import Shared
from tests.load.subjects import Subject

# Something that only grows, such as processor time.
Meter: TypeAlias = Callable[[], float]


class Pace:
    """Answers that come at an even rate, all at the same time, for as long as is measured."""

    def __init__(self, answers: int, per_second: int, seconds: float) -> None:
        self.answers = answers
        self.per_second = per_second
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.answers} answers × {self.per_second} tokens/s"

    def script(self) -> str:
        """What each model is to say: enough for all of it."""
        tokens = round((self.seconds + 3 * WARM_UP_S) * self.per_second)
        return script(tokens, 1000 / self.per_second)


class Paced:
    """Such answers under way, and what each token takes meanwhile."""

    def __init__(self, pace: Pace, asking: Sequence[Reader], tally: Tally) -> None:
        self.tally = tally
        self.tokens = 0  # in the stretch that counts
        self._pace = pace
        self._asking = asking
        self._ended = asyncio.Semaphore(0)

    async def begin(self, acked: Callable[[int, Heard], None] | None = None) -> None:
        """Ask for all, spread over the warm-up; `acked` is told the number of each answer."""
        loop = asyncio.get_running_loop()
        for number, reader in enumerate(self._asking):
            reader.on_complete = lambda _: self._ended.release()
            if acked is not None:
                reader.on_ack = partial(acked, number)
            loop.call_later(number * WARM_UP_S / len(self._asking), reader.ask)
        await rest(2 * WARM_UP_S)

    async def per_token(self, meters: Sequence[Meter]) -> list[float]:
        """By how much each meter rose for each token that came to who asked."""
        before, tokens = [meter() for meter in meters], self.tally.tokens
        await rest(self._pace.seconds)
        after, self.tokens = [meter() for meter in meters], self.tally.tokens - tokens
        return [(b - a) / max(1, self.tokens) for a, b in zip(before, after, strict=True)]

    async def end(self) -> None:
        """Until the last answer has ended; then all go."""
        for _ in self._asking:
            await self._ended.acquire()
        for reader in self._asking:
            reader.go()


async def paced(subject: Subject, pace: Pace) -> Paced:
    """Readers there, ready to ask."""
    asking, tally = await readers(subject, pace.script(), sockets=pace.answers)
    return Paced(pace, asking, tally)


async def commands(subject: Subject, services: Shared, pace: Pace) -> Figure:
    """12: commands that Redis is sent per token. What scripts call is none: nobody sends that."""
    load = await paced(subject, pace)
    await load.begin()
    meters = services.sent, services.redis_cpu_s, subject.cpu_s
    sent, redis_s, server_s = await load.per_token(meters)
    await load.end()
    note = (
        f"{pace}; {redis_s * 1e6:.0f} µs of Redis and {server_s * 1e6:.0f} µs of Parley per token"
    )
    return Figure(sent, note=with_errors(note, load.tally))


async def least_way(url: str, times: int = 300) -> float:
    """12: seconds from an append to its delivery on a Redis at rest, at the least.

    Where a token's delay is measured, an answer's quickest one stands for none: this much is left
    out there.
    """
    loop, came, ways = asyncio.get_running_loop(), asyncio.Event(), []

    def hear(_: Delivery) -> None:
        came.set()

    async with open_link(url) as link:
        log = RedisLog(link)
        position = await log.open("c_way", None, 0, {"m_way": 1})
        assert position is not None, "nobody else opens it"
        following = await log.follow("c_way", hear)
        for ordinal in range(1, times + 1):
            came.clear()
            began = loop.time()
            await log.append([Append("c_way", "m_way", 1, ordinal, b"{}", position)])
            await came.wait()
            ways.append(loop.time() - began)
        following.close()
        await log.drop(["c_way"])
    return min(ways)


def added(on_redis: Figure, in_memory: Figure, least_ms: float) -> Figure:
    """12: ms by which a quantile of tokens' delays is higher, and what both sides leave out."""
    note = f"{on_redis.value:.1f} - {in_memory.value:.1f} + {least_ms:.2f} ms; {on_redis.note}"
    if UNWELL in in_memory.note:
        note = f"{note}; in memory: {in_memory.note}"
    more = on_redis.value - in_memory.value + least_ms
    return Figure(more, on_redis.server, on_redis.generator, note)


async def shares(instances: Sequence[Subject], pace: Pace) -> list[Figure]:
    """13: microseconds of a processor that a token takes of each instance.

    The first makes the answers and has a reader of each; the second, where there is one, has
    another reader of each. The others have to do with none: theirs is the most that one of them
    takes beyond what it does at rest.
    """
    meters = [instance.cpu_s for instance in instances]
    load, elsewhere = await paced(instances[0], pace), Tally()
    resting = [0.0] * len(instances)
    if len(instances) > 2:
        resting = [meter() for meter in meters]
        await rest(pace.seconds)
        resting = [meter() - before for meter, before in zip(meters, resting, strict=True)]
    coming: list[asyncio.Task[Peer]] = []

    def acked(number: int, heard: Heard) -> None:
        if len(instances) > 1:
            follower = _following(instances[1], f"u{number}", heard, elsewhere)
            coming.append(asyncio.create_task(follower))

    await load.begin(acked)
    before = elsewhere.tokens
    took = await load.per_token(meters)
    relayed = elsewhere.tokens - before
    await load.end()
    for peer in await asyncio.gather(*coming):
        peer.abort()
    note = with_errors(f"{pace}, {len(instances)} running", load.tally)
    passed_on = f"{note}; {relayed / load.tokens:.1%} of the tokens came to its readers"
    spare = [each - rise / load.tokens for each, rise in zip(took, resting, strict=True)][2:]
    per_token = [*took[:2], *([max(spare)] if spare else [])]
    said = [note, passed_on, note]
    return [Figure(each * 1e6, note=said[n]) for n, each in enumerate(per_token)]


async def _following(instance: Subject, user: str, ack: Heard, tally: Tally) -> Peer:
    """A second reader of an answer, through another instance."""
    conversation = msgspec.json.decode(ack.conversation, type=str)
    peer = await greeted(instance.url, JSON, instance.token(user), attach=conversation)

    def count(payload: bytes) -> None:
        tally.tokens += len(peer.read(payload).text) // len(TOKEN)

    peer.on_frame = count
    return peer
