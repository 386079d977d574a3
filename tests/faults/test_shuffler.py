"""The shuffler of deliveries loses nothing and touches nothing else."""

import random
from collections import Counter

from tests.faults.shuffler import Shuffler


def message(body: bytes) -> bytes:
    """As a subscription brings it."""
    return b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%s\r\n" % (len(body), body)


BODIES = [b"body %d\r\n" % n for n in range(40)]
OTHER = [b"+OK\r\n", b":1\r\n", b"$-1\r\n", b"*2\r\n$4\r\npong\r\n*0\r\n", b"%1\r\n+a\r\n+b\r\n"]


def test_every_message_comes_and_some_come_twice_or_in_another_order() -> None:
    """Whatever the pieces are in which they arrive."""
    shuffler, sent = Shuffler(random.Random(1)), b"".join(map(message, BODIES))
    out = b"".join(shuffler.feed(sent[at : at + 7]) for at in range(0, len(sent), 7))
    out += shuffler.rest()
    came = [body for body in out.split(message(b"")[:-7]) if body]
    count = Counter(piece.split(b"\r\n", 1)[1].removesuffix(b"\r\n") for piece in came)
    assert set(count) == set(BODIES)
    assert set(count.values()) == {1, 2}
    assert out.find(BODIES[0]) > out.find(BODIES[1]) or not out.startswith(message(BODIES[0]))


def test_other_replies_stay_where_they_were() -> None:
    """Between the messages around them."""
    shuffler = Shuffler(random.Random(1))
    assert shuffler.feed(message(b"one")) == b""
    for other in OTHER:
        held = shuffler.feed(other)
        assert held.endswith(other)
    assert shuffler.feed(message(b"two")) == b""
    assert shuffler.rest() in (message(b"two"), 2 * message(b"two"))
