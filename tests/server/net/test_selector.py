"""Of whom the event loop hears in a turn."""

import asyncio
import itertools
import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from server.net.options import Options
from server.net.selector import CLIENTS_AT_ONCE, Loop, Selector
from tests.server.net.echo import echo
from tests.support.rawsocket import RawSocket
from tests.support.serving import serving
from tests.support.waiting import until

READ = selectors.EVENT_READ


class Sockets:
    """Pairs of sockets, of which one end is looked at."""

    def __init__(self) -> None:
        self.selector = Selector()
        self._pairs: dict[int, tuple[socket.socket, socket.socket]] = {}

    def open(self, *, client: bool) -> int:
        """One more."""
        ours, theirs = socket.socketpair()
        self._pairs[ours.fileno()] = ours, theirs
        if client:
            self.selector.add_client(ours.fileno())
        self.selector.register(ours.fileno(), READ, data=ours.fileno())
        return ours.fileno()

    def speak(self, number: int) -> None:
        """The other end says something."""
        self._pairs[number][1].send(b"x")

    def hear(self) -> list[int]:
        """Who has something in this turn; it is read."""
        heard = [key.data for key, _ in self.selector.select(0)]
        for number in heard:
            self._pairs[number][0].recv(1)
        return heard

    def forget(self, number: int) -> None:
        """It is closed."""
        self.selector.unregister(number)
        self.selector.forget_client(number)
        for end in self._pairs.pop(number):
            end.close()

    def close(self) -> None:
        """Close all."""
        self.selector.close()
        for ends in self._pairs.values():
            for end in ends:
                end.close()


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """None is open yet."""
    with ExitStack() as stack:
        sockets = Sockets()
        stack.callback(sockets.close)
        yield sockets


def test_our_own_are_heard_in_each_turn_and_a_few_clients(sockets: Sockets) -> None:
    """All clients in the end, each once, as they came."""
    clients = [sockets.open(client=True) for _ in range(3 * CLIENTS_AT_ONCE + 1)]
    own = [sockets.open(client=False) for _ in range(2)]
    for number in clients:
        sockets.speak(number)
    heard: list[int] = []
    for _ in range(4):
        for number in own:
            sockets.speak(number)
        turn = sockets.hear()
        assert set(own) <= set(turn)
        few = [number for number in turn if number not in own]
        assert len(few) <= CLIENTS_AT_ONCE
        heard += few
    assert sorted(heard) == sorted(clients)
    assert sockets.hear() == []


def test_of_one_that_was_closed_meanwhile_nothing_is_heard(sockets: Sockets) -> None:
    """Nor of who has its number now; what that one says comes later."""
    clients = [sockets.open(client=True) for _ in range(2 * CLIENTS_AT_ONCE)]
    for number in clients:
        sockets.speak(number)
    first = sockets.hear()
    gone = [number for number in clients if number not in first]
    for number in gone:
        sockets.forget(number)
    again = [sockets.open(client=number % 2 == 0) for number in range(len(gone))]
    assert set(again) & set(gone)
    assert sockets.hear() == []
    for number in again:
        sockets.speak(number)
    assert sorted(sockets.hear()) == sorted(again)


def test_what_is_wanted_of_a_socket_can_change_while_it_waits(sockets: Sockets) -> None:
    """It is heard by what is wanted now."""
    clients = [sockets.open(client=True) for _ in range(CLIENTS_AT_ONCE + 1)]
    for number in clients:
        sockets.speak(number)
    heard = sockets.hear()
    [last] = set(clients) - set(heard)
    assert sockets.selector.get_key(last).events == READ
    sockets.selector.modify(last, READ | selectors.EVENT_WRITE, data=last)
    assert sockets.selector.select(0) == []
    [(key, events)] = [each for each in sockets.selector.select(0) if each[0].fd == last]
    assert (key.data, events) == (last, READ | selectors.EVENT_WRITE)


async def test_clients_that_are_gone_at_once_are_let_go_a_few_in_a_turn() -> None:
    """What comes behind an end does not hold up those who are here; and nothing is left of them."""
    many, steps = 50, list[int]()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    before = set(loop.selector.get_map())
    async with serving(echo, Options()) as served:
        clients = [await RawSocket.connect(served.port) for _ in range(many)]
        for client in clients:
            assert (await client.open()).status == 101
        state = served.server.server_state.connections

        def look() -> None:
            steps.append(len(state))
            if state:
                loop.call_soon(look)

        look()
        for client in clients:
            client.reset()
        await until(lambda: not state)
    assert steps[0] == many
    assert max(a - b for a, b in itertools.pairwise(steps)) <= CLIENTS_AT_ONCE
    assert set(loop.selector.get_map()) == before
    assert loop.selector.clients == set()
