"""The sockets of this instance, by whose they are."""

import asyncio

import pytest

from protocol.codes import CloseCode
from protocol.frames.from_server import Pong
from server.sessions import registry as module
from server.sessions.registry import Registry
from storage.memory.bus import Switchboard
from storage.values import Owner
from tests.support.socket import FakeSocket, a_registry
from tests.support.waiting import pause

ANN, BOB = Owner("t", "ann"), Owner("t", "bob")


@pytest.fixture
def registry() -> Registry:
    """An empty one whose clock says 100."""
    return a_registry(100.0)


def test_a_socket_is_nobodys_until_it_is_greeted(registry: Registry) -> None:
    """And is told nothing meant for a person."""
    socket = FakeSocket()
    registry.open(socket)
    registry.tell(ANN, Pong())
    assert (len(registry), socket.sent) == (1, [])
    registry.greet(socket, ANN)
    registry.tell(ANN, Pong())
    assert socket.sent == [Pong()]


def test_a_person_is_told_on_all_their_sockets_and_nobody_else(registry: Registry) -> None:
    """Also not the same name in another tenant."""
    sockets = {owner: FakeSocket() for owner in (ANN, BOB, Owner("other", "ann"))}
    second = FakeSocket()
    for owner, socket in [*sockets.items(), (ANN, second)]:
        registry.open(socket)
        registry.greet(socket, owner)
    registry.kick(ANN, CloseCode.NOT_LEVEL, but=second)
    assert [s.code for s in (*sockets.values(), second)] == [4005, None, None, None]
    registry.kick(BOB, CloseCode.REVOKED)
    assert [s.code for s in (*sockets.values(), second)] == [4005, 4508, None, None]


async def test_a_persons_sockets_elsewhere_hear_what_concerns_them() -> None:
    """What is told them, and that they are to end; for nobody else's is either."""
    switchboard = Switchboard()
    here, there = a_registry(switchboard=switchboard), a_registry(switchboard=switchboard)
    own, anns, bobs = FakeSocket(), FakeSocket(), FakeSocket()
    for registry, socket, owner in ((here, own, ANN), (there, anns, ANN), (there, bobs, BOB)):
        registry.open(socket)
        registry.greet(socket, owner)
    here.tell(ANN, Pong())
    await pause()
    assert (own.sent, anns.sent, bobs.sent) == ([Pong()], [Pong()], [])
    here.kick(ANN, CloseCode.NOT_LEVEL, but=own)
    await pause()
    assert (own.code, anns.code, bobs.code) == (None, CloseCode.NOT_LEVEL, None)


async def test_who_holds_a_socket_of_a_person_is_told_to_look_at_their_credentials() -> None:
    """Once per instance, however many sockets those are; and not whoever says so."""
    switchboard = Switchboard()
    looks: list[str] = []
    here = a_registry(switchboard=switchboard, look=lambda: looks.append("here"))
    there = a_registry(switchboard=switchboard, look=lambda: looks.append("there"))
    idle = a_registry(switchboard=switchboard, look=lambda: looks.append("idle"))
    for registry in (here, there, there):
        socket = FakeSocket()
        registry.open(socket)
        registry.greet(socket, ANN)
    idle.nudge(ANN)
    here.nudge(ANN)
    here.nudge(BOB)
    await pause()
    assert looks == ["here", "there", "there"]


async def test_of_persons_without_a_socket_here_nothing_is_heard() -> None:
    """An instance hears as much as it holds; being greeted again as the same changes nothing."""
    switchboard = Switchboard()
    registry = a_registry(switchboard=switchboard)
    sockets = FakeSocket(), FakeSocket()
    for socket in sockets:
        registry.open(socket)
        registry.greet(socket, ANN)
    [listening] = [ears[0] for ears in switchboard.ears.values()]
    for socket in sockets:
        registry.greet(socket, ANN)
    assert list(switchboard.ears.values()) == [[listening]]
    registry.greet(sockets[0], BOB)
    assert len(switchboard.ears) == 2
    for socket in sockets:
        registry.closed(socket)
    assert switchboard.ears == {}


def test_a_visitors_socket_becomes_a_users(registry: Registry) -> None:
    """And is the visitor's no more."""
    socket = FakeSocket()
    registry.open(socket)
    registry.greet(socket, ANN)
    registry.greet(socket, BOB)
    assert registry.of(ANN) == ()
    assert registry.of(BOB) == (socket,)


def test_a_closed_socket_leaves_nothing_behind(registry: Registry) -> None:
    """Said twice it is said once, and a greeting that comes too late greets nobody."""
    socket = FakeSocket()
    registry.open(socket)
    registry.greet(socket, ANN)
    registry.closed(socket)
    registry.closed(socket)
    registry.greet(socket, ANN)
    assert len(registry) == 0
    assert registry.of(ANN) == ()


async def test_what_is_due_is_done_and_what_is_not_is_left(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greeted sockets are looked at less often than the others."""
    looks = 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        assert seconds == module.UNGREETED_TICK_S
        looks += 1
        if looks > module.TICKS_PER_LOOK:
            raise asyncio.CancelledError

    monkeypatch.setattr("server.sessions.registry.asyncio.sleep", sleep)
    due, later, greeted = FakeSocket(99.0), FakeSocket(101.0), FakeSocket(99.0)
    for socket in (due, later, greeted):
        registry.open(socket)
    registry.greet(greeted, ANN)
    with pytest.raises(asyncio.CancelledError):
        await registry.run()
    ticks = [[now for now, _ in each.ticks] for each in (due, later, greeted)]
    assert ticks == [[100.0], [], [100.0]]


async def test_nobody_is_late_because_the_loop_was_held(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is due is done, but by what came until then; all has been read at the next look."""
    now, looks = 100.0, 0
    socket = FakeSocket(101.0)

    async def sleep(seconds: float) -> None:
        nonlocal now, looks
        looks += 1
        match looks:
            case 1:
                now += 2.0  # held
            case 2:
                socket.due = 101.0  # still
                now += seconds
            case 3:
                raise asyncio.CancelledError

    monkeypatch.setattr("server.sessions.registry.asyncio.sleep", sleep)
    monkeypatch.setattr(registry, "_clock", lambda: now)
    registry.open(socket)
    with pytest.raises(asyncio.CancelledError):
        await registry.run()
    assert socket.ticks == [(102.0, 100.0), (102.25, 102.0)]


async def test_the_last_to_go_wakes_who_waits(registry: Registry) -> None:
    """And nobody waits where there is none."""
    await registry.gone()
    socket = FakeSocket()
    registry.open(socket)
    waiting = asyncio.create_task(registry.gone())
    await asyncio.sleep(0)
    assert not waiting.done()
    registry.closed(socket)
    await asyncio.wait_for(waiting, 5)
