"""How often something was done, counted over all instances: token buckets by name (`bucket`).

A bucket is of the moment. One that is lost was a full one, so whoever loses all of them lets each
name's burst through once more, and no more than that.
"""

from typing import Protocol

from storage.bucket import Rate


class Counters(Protocol):
    """Buckets by name. A name is always used with the same rate, or its bucket is reckoned anew.

    Both methods raise `errors.Unavailable` when the store is out of reach; the one may then have
    been taken. Whoever needs an answer then has a bucket of its own.
    """

    async def take(self, name: str, rate: Rate) -> float:
        """Take one from a name's bucket: how many seconds to wait, or 0 if it was taken.

        One atomic step: of all who ask at once, no more get one than there are. A refusal takes
        nothing, and who waits as long as told gets one if nobody else came meanwhile. The time is
        the store's own; where that jumps, nobody waits longer than for a whole bucket.
        """

    async def give_back(self, name: str, rate: Rate) -> None:
        """One that was taken need not have been. Of a bucket that is full, nothing."""
