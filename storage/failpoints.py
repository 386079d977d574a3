"""Named places where a test has the process killed, or its thread held, to see what comes of it.

Unless one was armed, reaching a place is one look at an empty dict.
"""

import os
import signal
import time
from typing import Final

PLACES: Final = frozenset(
    {
        "received",  # a frame that asks for an answer was read
        "inserted",  # its rows stand in an open transaction
        "committed",  # the transaction is on the disk, nobody was told
        "acked",  # the `ack` was handed to the socket
        "appended",  # the log took frames of an answer
        "ending",  # the model has said all, the end is not stored
        "ended",  # the end is stored, the log was not told
    }
)


class _Armed:
    """At the so manieth time: be killed, or be held for so many seconds."""

    __slots__ = ("held_s", "left")

    def __init__(self, left: int, held_s: int = 0) -> None:
        self.left = left
        self.held_s = held_s


_armed: dict[str, _Armed] = {}


def arm(spec: str) -> None:
    """Arm `place:kill`, or `place:kill:n` for the n-th time, or `place:hold:seconds`.

    Several are parted by commas.
    """
    for one in spec.split(","):
        place, _, action = one.strip().partition(":")
        armed = _read(action)
        if place not in PLACES or armed is None:
            raise ValueError(
                f"the failpoint {one.strip()!r} is not PLACE:kill, PLACE:kill:N or"
                f" PLACE:hold:SECONDS with one of {', '.join(sorted(PLACES))}; for example"
                " committed:kill:3"
            )
        _armed[place] = armed


def disarm() -> None:
    """Forget all that was armed."""
    _armed.clear()


def reach(place: str) -> None:
    """Be killed or held here, if that was armed and this is the time."""
    if _armed:
        _count(place)


def _read(action: str) -> _Armed | None:
    act, _, number = action.partition(":")
    if act == "kill" and not number:
        return _Armed(1)
    if not number.isdecimal() or int(number) == 0:
        return None
    match act:
        case "kill":
            return _Armed(int(number))
        case "hold":
            return _Armed(1, int(number))
    return None


def _count(place: str) -> None:
    if place not in PLACES:
        raise ValueError(f"{place!r} is not among the failpoints")
    armed = _armed.get(place)
    if armed is None:
        return
    armed.left -= 1
    if armed.left:
        return
    if armed.held_s:
        time.sleep(armed.held_s)  # it is to hold the event loop: that is the fault
    else:
        os.kill(os.getpid(), signal.SIGKILL)
