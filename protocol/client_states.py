"""Where a client stands, what can happen to it, and every legal way between.

Anything that TRANSITIONS lacks is refused by the machine and changes nothing.
"""

from enum import Enum


class State(Enum):
    """Where the client stands."""

    STOPPED = "stopped"  # nothing is tried until `connect`
    CONNECTING = "connecting"
    GREETING = "greeting"  # the socket is open, and `hello` was sent
    OPEN = "open"
    DRAINING = "draining"  # `goaway` came: what runs is read on, what starts an answer waits
    WAITING = "waiting"  # for its turn to connect


class Event(Enum):
    """What can happen to a client."""

    CONNECT = "connect"
    OPENED = "opened"
    WELCOME = "welcome"
    GOAWAY = "goaway"
    LOST = "lost"  # closed, and worth another attempt
    STOP = "stop"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.STOPPED, Event.CONNECT): State.CONNECTING,
    (State.WAITING, Event.CONNECT): State.CONNECTING,
    (State.CONNECTING, Event.OPENED): State.GREETING,
    (State.GREETING, Event.WELCOME): State.OPEN,
    (State.OPEN, Event.GOAWAY): State.DRAINING,
    (State.CONNECTING, Event.LOST): State.WAITING,
    (State.GREETING, Event.LOST): State.WAITING,
    (State.OPEN, Event.LOST): State.WAITING,
    (State.DRAINING, Event.LOST): State.WAITING,
    (State.CONNECTING, Event.STOP): State.STOPPED,
    (State.GREETING, Event.STOP): State.STOPPED,
    (State.OPEN, Event.STOP): State.STOPPED,
    (State.DRAINING, Event.STOP): State.STOPPED,
    (State.WAITING, Event.STOP): State.STOPPED,
}
GREETED = (State.OPEN, State.DRAINING)  # frames may leave
SOCKETLESS = (State.STOPPED, State.WAITING)
UNGREETED = (*SOCKETLESS, State.CONNECTING)  # the next `hello` names what is followed by then
