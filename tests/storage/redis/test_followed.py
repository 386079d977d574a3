"""The logs that are followed: what was missed is found, and few looks find it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping

import msgspec
import pytest
from redis.asyncio.connection import AbstractConnection

from protocol.types import Id, Position
from storage.errors import Unavailable
from storage.log import Doubt, Entry, Live
from storage.redis import followed as module
from storage.redis.ears import Place
from storage.redis.followed import Followed
from storage.redis.link import Link
from storage.redis.log import RedisLog
from tests.conftest import LONG
from tests.contracts.event_log.calls import TALK, append, opened, piece, row
from tests.contracts.event_log.harness import Mailbox
from tests.storage.redis.conftest import LinkTo
from tests.support.redises import RedisCluster
from tests.support.services import Redis
from tests.support.waiting import PATIENCE_S, pause, until

OTHER = "c_other"
MANY = 10_000 if LONG else 2_000
EPOCH = "e"


class Store:
    """Where logs stand, and how often somebody looked."""

    def __init__(self) -> None:
        self.heads: dict[Id, Position | None] = {}
        self.looks: list[list[Id]] = []
        self.away = False
        self.held: asyncio.Event | None = None
        self.followed: Followed | None = None

    async def look(self, conversations: Collection[Id], _: bool) -> Mapping[Id, Position | None]:
        self.looks.append(list(conversations))
        found = {} if self.away else {each: self.heads.get(each) for each in conversations}
        if self.held is not None:
            await self.held.wait()
        assert self.followed is not None
        self.followed.looked(found)
        return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long is waited is no part of what is tested."""
    monkeypatch.setattr(module, "HEARD_WITHIN_S", 0.001)
    monkeypatch.setattr(module, "ASKED_AGAIN_S", 0.001)


@pytest.fixture
async def link(link_to: LinkTo, redis_url: str) -> Link:
    return await link_to(redis_url)


@pytest.fixture
async def store(link: Link) -> AsyncIterator[Store]:
    store = Store()
    store.followed = Followed(link, store.look, lambda: 0)
    yield store
    await store.followed.settled()


async def following(store: Store, conversation: Id = TALK) -> Mailbox:
    """Who follows looks where the log stands."""
    assert store.followed is not None
    mail = Mailbox()
    await store.followed.follow(conversation, mail)
    store.followed.looked({conversation: store.heads.get(conversation)})
    return mail


def interrupt(store: Store, *conversations: Id) -> None:
    """What a line says after a cut."""
    assert store.followed is not None
    for each in conversations:
        store.followed._hear(each, None)


def hear(store: Store, seq: int, epoch: str = EPOCH) -> Live:
    """A message with one entry arrives."""
    assert store.followed is not None
    told = [epoch, [[seq, ["*", seq, b"x"]]]]
    store.followed._hear(TALK, msgspec.msgpack.encode(told))
    return Live(epoch, (Entry(seq, "*", seq, b"x"),))


async def settled(store: Store) -> None:
    assert store.followed is not None
    await store.followed.settled()


class TestCuts:
    async def test_after_a_cut_only_those_that_moved_on_have_to_read(self, store: Store) -> None:
        """And one look finds out which."""
        store.heads = {TALK: Position(EPOCH, 3), OTHER: Position(EPOCH, 3)}
        moved, rests = await following(store), await following(store, OTHER)
        store.heads[TALK] = Position(EPOCH, 4)
        interrupt(store, TALK, OTHER)
        await settled(store)
        assert moved.deliveries == [Doubt()]
        assert rests.deliveries == []
        assert store.looks == [[TALK, OTHER]]

    async def test_a_log_that_was_opened_meanwhile_has_to_be_read(self, store: Store) -> None:
        """None was open before, so there was nothing to compare with."""
        mail = await following(store)
        store.heads[TALK] = Position(EPOCH, 2)
        interrupt(store, TALK)
        await settled(store)
        assert mail.deliveries == [Doubt()]

    async def test_a_log_that_is_still_not_open_has_nothing_to_read(self, store: Store) -> None:
        """Open tabs of silent conversations are many."""
        mail = await following(store)
        interrupt(store, TALK)
        await settled(store)
        assert mail.deliveries == []

    async def test_a_log_that_is_gone_has_to_be_read(self, store: Store) -> None:
        """It says that it is lost."""
        store.heads[TALK] = Position(EPOCH, 2)
        mail = await following(store)
        store.heads.clear()
        interrupt(store, TALK)
        await settled(store)
        assert mail.deliveries == [Doubt()]

    async def test_what_was_out_of_reach_is_looked_at_again(self, store: Store) -> None:
        """Until the store answers."""
        store.heads[TALK] = Position(EPOCH, 2)
        mail = await following(store)
        store.heads[TALK] = Position(EPOCH, 3)
        store.away = True
        interrupt(store, TALK)
        await until(lambda: len(store.looks) == 3)
        assert mail.deliveries == []
        store.away = False
        await settled(store)
        assert mail.deliveries == [Doubt()]

    async def test_interrupted_while_it_is_looked_at_a_log_is_looked_at_again(
        self, store: Store
    ) -> None:
        """The look may have been before what was missed."""
        store.heads[TALK] = Position(EPOCH, 2)
        mail = await following(store)
        store.held = asyncio.Event()
        interrupt(store, TALK)
        await until(lambda: len(store.looks) == 1)
        store.heads[TALK] = Position(EPOCH, 3)
        interrupt(store, TALK)
        store.held.set()
        await settled(store)
        assert mail.deliveries == [Doubt()]
        assert len(store.looks) == 2

    async def test_who_leaves_while_it_is_looked_at_is_told_nothing(self, store: Store) -> None:
        """And nothing of it stays."""
        mail = Mailbox()
        assert store.followed is not None
        follower = await store.followed.follow(TALK, mail)
        store.away = True
        interrupt(store, TALK)
        follower.close()
        store.followed._hear(TALK, None)
        await settled(store)
        assert mail.deliveries == []
        assert not store.followed._doubtful


class TestDeafness:
    async def test_what_is_not_heard_in_time_is_subscribed_to_anew(
        self, store: Store, link: Link
    ) -> None:
        """A server may forget a subscription though the connection lives."""
        store.heads[TALK] = Position(EPOCH, 2)
        mail = await following(store)
        before = link.ears.channel(link.names.of("live", TALK).encode())
        assert store.followed is not None
        store.followed.looked({TALK: Position(EPOCH, 3)})
        store.heads[TALK] = Position(EPOCH, 4)
        await until(lambda: store.looks)
        await settled(store)
        assert mail.deliveries == [Doubt()], "of what came since that look"
        assert before.asked

    async def test_each_look_gives_what_it_found_the_whole_time(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where one's time is over, what another has noted just now is not taken for lost."""
        timers: list[Callable[[], None]] = []

        def call_later(_: float, act: Callable[..., None], *given: object) -> None:
            timers.append(lambda: act(*given))

        store.heads = {TALK: Position(EPOCH, 2), OTHER: Position(EPOCH, 2)}
        await following(store)
        await following(store, OTHER)
        assert store.followed is not None
        again: list[bytes] = []
        monkeypatch.setattr(store.followed._link.ears, "again", again.append)
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "call_later", call_later)
            for each in (TALK, OTHER):
                store.followed.looked({each: Position(EPOCH, 3)})
        for over in ([TALK], [TALK, OTHER]):
            timers.pop(0)()
            assert [name.rpartition(b":")[2].decode() for name in again] == over

    async def test_what_is_late_is_not_lost(self, store: Store) -> None:
        """It comes in time, and nothing is done."""
        store.heads[TALK] = Position(EPOCH, 2)
        mail = await following(store)
        assert store.followed is not None
        store.followed.looked({TALK: Position(EPOCH, 3)})
        live = hear(store, 3)
        for _ in range(5):
            await pause()
        assert mail.deliveries == [live]
        assert store.looks == []


class TestMessages:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"hello",
            b"\xc0",
            b"\x92\xa1\xff\x90",
            *map(msgspec.msgpack.encode, ([EPOCH, []], [1, []], [EPOCH, [[]]])),
        ],
    )
    async def test_a_message_that_is_not_ours_is_a_doubt(self, store: Store, data: bytes) -> None:
        """Also one of a version that this one does not know."""
        store.heads[TALK] = Position(EPOCH, 2)
        mail = await following(store)
        assert store.followed is not None
        store.followed._hear(TALK, data)
        assert mail.deliveries == [Doubt()]

    async def test_a_message_for_nobody_is_left(self, store: Store) -> None:
        """It came while its last follower left."""
        hear(store, 1)

    async def test_a_follower_that_could_not_subscribe_leaves_nothing(
        self, link_to: LinkTo, fresh_redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may try again."""
        monkeypatch.setattr(module, "CONFIRMED_WITHIN_S", 0.01)
        link = await link_to(fresh_redis.url(), timeout_s=0.05)
        log = RedisLog(link)
        with fresh_redis.stop_cont(), pytest.raises(Unavailable, match="did not confirm"):
            await log.follow(TALK, Mailbox())
        assert link.ears._where == {}
        assert log._followed._logs == {}


class TestRealServers:
    async def test_a_subscription_that_the_server_forgot_is_mended_after_a_look(
        self, link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Unsubscribed behind our back, though the connection lives."""
        link = await link_to(redis_url)
        made: list[AbstractConnection] = []
        connect = link.ears._connect

        async def noted(place: Place) -> AbstractConnection:
            made.append(await connect(place))
            return made[-1]

        monkeypatch.setattr(link.ears, "_connect", noted)
        log, mail = RedisLog(link), Mailbox()
        position = await opened(log)
        await log.follow(TALK, mail)
        (line,) = link.ears._lines.values()
        channel = link.names.of("live", TALK)
        # A line that does not hear the server's word on it, as if that were lost.
        line._hear[b"unsubscribe"] = lambda _: None
        await append(log, row(position, 1))
        await until(mail.entries)
        await made[0].send_command("UNSUBSCRIBE", channel)
        await until_nobody_hears(link, channel)
        assert await append(log, row(position, 2))
        await log.heads([TALK])
        async with asyncio.timeout(PATIENCE_S):
            while not await log.watched([TALK]):
                await pause()
        await append(log, row(position, 3))
        await until(lambda: len(mail.entries()) == 2)
        assert [entry.seq for entry in mail.entries()] == [1, 3]

    @pytest.mark.alone
    @pytest.mark.parametrize("kind", ["server", "cluster"])
    async def test_thousands_that_are_followed_come_back_with_few_looks(
        self,
        kind: str,
        link_to: LinkTo,
        request: pytest.FixtureRequest,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Not with as many reads."""
        shared: Redis | RedisCluster = request.getfixturevalue(f"redis_{kind}")
        link = await link_to(shared.url())
        log, mail = RedisLog(link), Mailbox()
        position = await opened(log)
        names = [TALK, *(f"c_{n}" for n in range(MANY - 1))]
        for begin in range(0, MANY, 500):
            page = names[begin : begin + 500]
            await asyncio.gather(*(log.follow(each, mail) for each in page))
        looks: list[int] = []
        look = log._followed._look

        async def counted(
            conversations: Collection[Id], used: bool
        ) -> Mapping[Id, Position | None]:
            looks.append(len(conversations))
            return await look(conversations, used)

        monkeypatch.setattr(log._followed, "_look", counted)
        for line in list(link.ears._lines.values()):
            line.renew()
        await until(lambda: any(each.doubtful for each in log._followed._logs.values()))
        await append(log, piece(position, 1))
        await until(lambda: sum(looks) >= MANY)
        await log._followed.settled()
        assert len(looks) < MANY / 100
        assert len(mail.deliveries) <= 2


async def until_nobody_hears(link: Link, channel: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await link.ask_of(channel, "PUBSUB", "NUMSUB", channel))[1]:
            await pause()
