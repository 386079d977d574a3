"""Named places where a test has the process killed: what a crash there leaves behind is checked.

Unless one was armed, reaching a place is one look at an empty dict.
"""

import os
import signal
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

_armed: dict[str, int] = {}  # how many times each place may still be reached, that one included


def arm(spec: str) -> None:
    """Arm `place:kill`, or `place:kill:n` for the n-th time; several are parted by commas."""
    for one in spec.split(","):
        place, _, action = one.strip().partition(":")
        act, _, count = action.partition(":")
        times = count or "1"
        if place not in PLACES or act != "kill" or not times.isdecimal() or times == "0":
            raise ValueError(
                f"the failpoint {one.strip()!r} is not PLACE:kill or PLACE:kill:N with one of"
                f" {', '.join(sorted(PLACES))}; for example committed:kill:3"
            )
        _armed[place] = int(times)


def disarm() -> None:
    """Forget all that was armed."""
    _armed.clear()


def reach(place: str) -> None:
    """Be killed here, if that was armed and this is the time."""
    if _armed:
        _count(place)


def _count(place: str) -> None:
    if place not in PLACES:
        raise ValueError(f"{place!r} is not among the failpoints")
    left = _armed.get(place)
    if left is None:
        return
    _armed[place] = left - 1
    if left == 1:
        os.kill(os.getpid(), signal.SIGKILL)
