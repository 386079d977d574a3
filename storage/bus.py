"""Words between instances: heard at most once, kept nowhere.

What a word is about stands in SQL or in a log, or is of the moment; whoever misses one finds out in
another way, later. So a word may be lost, and nothing may depend on that it comes.
"""

from collections.abc import Callable
from typing import Protocol

# What is to be done with a word. It must neither block nor raise.
Ear = Callable[[bytes], None]


class Listening(Protocol):
    """One ear's subscription."""

    def close(self) -> None:
        """The ear hears no more. Closing twice is closing once."""


class Bus(Protocol):
    """One instance's way to all others.

    A topic is any text; each instance hears only those that something here listens to, so the load
    of an instance grows with what it holds and not with how many there are.
    """

    def listen(self, topic: str, ear: Ear) -> Listening:
        """Hand what other instances say about the topic to `ear`, from soon on."""

    def say(self, topic: str, word: bytes) -> None:
        """Tell all other instances that listen to the topic. Does not wait, and does not fail."""
