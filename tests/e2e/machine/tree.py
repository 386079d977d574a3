"""What the server should have: conversations as trees, and how each answer may have ended."""

from typing import Any
from zlib import crc32

from msgspec import Struct, field

from tests.e2e.machine.device import Person
from tests.e2e.machine.ledger import Frame
from tests.e2e.machine.scripts import Script, units

QUEUED_MOST = 3

# How an answer may end, other than by its script: outcome and finish reason.
CUT_SHORT = {
    "stopped": ("stopped", "stopped"),
    "superseded": ("stopped", "superseded"),
    "shutdown": ("interrupted", "shutdown"),
    "crash": ("interrupted", "crash"),
}


class End(Struct, frozen=True):
    """How an answer ended."""

    outcome: str
    finish_reason: str
    length: int
    crc32: int


class Asked(Struct):
    """An answer that was promised; `fates` are the ways in which it may end, or may have ended."""

    id: str
    question: str
    script: Script
    fates: set[str] = field(default_factory=lambda: {"natural"})
    settled: int = 0  # of what it waits for
    end: End | None = None
    crashed: bool = False  # a life ended under it, so that nobody knows what all it gave
    allowed: bool | None = None  # what was decided about its call
    result: str | None = None  # what its client's tool gave

    @property
    def waits_for(self) -> str | None:
        """The state of its call in which somebody has to act."""
        waits = self.script.waits
        return waits[self.settled] if self.settled < len(waits) else None

    @property
    def holds(self) -> bool:
        """Whether it surely goes on until somebody acts."""
        endless = self.script.fail == "stall" or self.waits_for is not None
        return self.end is None and endless and self.fates == {"natural"}

    def meddle(self, fate: str, *, surely: bool) -> None:
        """Something happened that may have ended it; surely, if nothing else could have."""
        if self.end is None:
            self.fates = {fate} if surely and self.fates == {"natural"} else self.fates | {fate}

    def ended(self, end: End) -> None:
        """It ended; once, and in a way that it might."""
        if self.end is not None:
            assert self.end == end, f"it ended twice: {self.end} and {end}"
            return
        assert any(self._fits(fate, end) for fate in self.fates), f"{end} of {self}"
        self.end = end

    def _fits(self, fate: str, end: End) -> bool:
        said = self.script.said
        if fate == "natural":
            natural = ("failed", "error") if self.script.fail else ("complete", "stop")
            whole = (units(said), crc32(said.encode()))
            can = self.script.fail != "stall" and self.waits_for is None
            return can and natural + whole == (
                end.outcome,
                end.finish_reason,
                end.length,
                end.crc32,
            )
        return CUT_SHORT[fate] == (end.outcome, end.finish_reason) and self._is_prefix(end)

    def _is_prefix(self, end: End) -> bool:
        part = said_units(self.script.said, end.length)
        return part is not None and crc32(part.encode()) == end.crc32


def said_units(text: str, length: int) -> str | None:
    """So many UTF-16 units of its beginning; None if it has fewer or a character would be cut."""
    raw = text.encode("utf-16-le")[: 2 * length]
    if len(raw) != 2 * length:
        return None
    try:
        return raw.decode("utf-16-le")
    except UnicodeDecodeError:
        return None


class Node(Struct):
    """A message of the tree."""

    id: str
    parent: str | None
    role: str
    content: str | None  # an answer's is its text
    rating: Frame | None = None


class Conversation(Struct):
    """A tree with an active leaf; `asked` are its answers in the order in which they run."""

    id: str
    owner: Person
    leaf: str | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    children: dict[str | None, list[str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)  # questions that were asked with tools

    def __repr__(self) -> str:
        """Name it."""
        return f"<{self.id} of {self.owner.user}>"

    @property
    def unfinished(self) -> list[Asked]:
        """Answers that nobody has seen ending."""
        return [asked for asked in self.asked if asked.end is None]

    @property
    def ahead(self) -> range:
        """How many answers there may be that have not ended."""
        maybe = self.unfinished
        first = next((i for i, asked in enumerate(maybe) if asked.holds), len(maybe))
        return range(len(maybe) - first, len(maybe) + 1)

    def surely_waits(self, asked: Asked) -> bool:
        """Whether it has not ended, for it holds or is behind one that does."""
        before = self.unfinished[: self.unfinished.index(asked) + 1]
        return any(each.holds for each in before)

    def add(self, id: str, parent: str | None, role: str, content: str | None) -> None:
        """A message was made."""
        assert id not in self.nodes, f"{id} was made twice"
        assert parent is None or parent in self.nodes
        self.nodes[id] = Node(id, parent, role, content)
        self.children.setdefault(parent, []).append(id)
        self.leaf = id

    def branch(self, leaf: str | None) -> list[Node]:
        """From the root to the leaf."""
        line: list[Node] = []
        while leaf is not None:
            line.insert(0, self.nodes[leaf])
            leaf = line[0].parent
        return line

    def newest_below(self, id: str) -> str:
        """The leaf that the newest child of each message leads to."""
        while id in self.children:
            id = self.children[id][-1]
        return id

    def answer(self, id: str) -> Asked:
        """The answer of that id."""
        return next(asked for asked in self.asked if asked.id == id)

    def check_row(self, row: dict[str, Any]) -> None:
        """A message as the server shows it is the one that should be there."""
        node = self.nodes[row["id"]]
        assert (row["parent"], row["role"]) == (node.parent, node.role), row
        assert row["conversation"] == self.id
        assert row["siblings"] == self.children[node.parent], row
        assert row.get("feedback") == node.rating, row
        if node.role == "user":
            assert row["content"] == node.content, row
            return
        asked, text = self.answer(node.id), row["content"]
        if "outcome" in row:
            sum = crc32(text.encode())
            asked.ended(End(row["outcome"], row["finish_reason"], units(text), sum))
        else:
            assert asked.end is None, row
            assert asked.script.said.startswith(text), row


class Tree:
    """Everybody's conversations."""

    def __init__(self) -> None:
        self.conversations: dict[str, Conversation] = {}

    @property
    def answers(self) -> list[tuple[Conversation, Asked]]:
        """All of them."""
        return [(c, asked) for c in self.conversations.values() for asked in c.asked]

    def accept(
        self,
        person: Person,
        frame: Frame,
        ack: Frame,
        script: Script,
        ahead: range | None = None,
    ) -> Asked:
        """A request for an answer was acknowledged; `ahead` where it is not known when."""
        made = frame["type"] == "chat" and "conversation" not in frame
        if made:
            assert ack["conversation"] not in self.conversations
            self.conversations[ack["conversation"]] = Conversation(ack["conversation"], person)
        there = self.conversations[ack["conversation"]]
        assert there.owner == person
        self._make_way(there, frame, ack, ahead or there.ahead)
        match frame["type"]:
            case "chat":
                parent = frame.get("parent", there.leaf)
                there.add(ack["message"], parent, "user", frame["content"])
                there.declared |= {ack["message"]} if "tools" in frame else set()
            case "edit":
                there.declared |= {ack["message"]} if frame["message"] in there.declared else set()
                parent = there.nodes[frame["message"]].parent
                there.add(ack["message"], parent, "user", frame["content"])
            case "regenerate":
                assert ack["message"] == there.nodes[frame["answer"]].parent
        there.add(ack["answer"], ack["message"], "assistant", None)
        asked = Asked(ack["answer"], ack["message"], script)
        there.asked.append(asked)
        return asked

    def _make_way(self, there: Conversation, frame: Frame, ack: Frame, ahead: range) -> None:
        match frame.get("on_busy", "queue"):
            case "queue":
                assert ack["queued"] in ahead, f"{ahead}: {ack}"
                assert ack["queued"] <= QUEUED_MOST
            case "reject":
                assert ack["queued"] == 0
                assert ahead.start == 0, f"it should be busy: {there.unfinished}"
            case "interrupt":
                assert ack["queued"] in (0, 1)
                waiting = [(asked, there.surely_waits(asked)) for asked in there.unfinished]
                for asked, surely in waiting:
                    asked.meddle("superseded", surely=surely)

    def may_be_busy(self, conversation: str, on_busy: str) -> bool:
        """Whether a request may be refused because of what is ahead."""
        most = {"queue": QUEUED_MOST, "reject": 0}.get(on_busy)
        return most is not None and self.conversations[conversation].ahead.stop - 1 > most
