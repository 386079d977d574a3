"""What a device shows of its conversations, and what it met on the way that no server may do.

Written from PROTOCOL.md alone (sections 4, 5 and 7), so that it judges our code instead of sharing
its errors. It never mends: whatever would make a client attach again is a fault here.
"""

import zlib
from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]
Place = tuple[str, str, int]  # of a frame: conversation, epoch, seq


def units(text: str) -> int:
    """Its length in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


@dataclass
class Shown:
    """An answer, as far as it came; `end` is its outcome and finish reason."""

    parent: str | None
    text: str = ""
    attempt: int = 1
    state: str = ""
    end: tuple[str, str] | None = None
    snapshot: bool = False  # its end came with a snapshot: frames of before may still be told
    owed: int | None = None  # how much of its text the snapshot announced
    tools: dict[str, Frame] = field(default_factory=dict)


@dataclass
class Followed:
    """A conversation on a device."""

    epoch: str
    seq: int
    messages: dict[str, Frame] = field(default_factory=dict)
    answers: dict[str, Shown] = field(default_factory=dict)
    told: set[str | None] = field(default_factory=set)  # what is answered by answers of the log
    leaf: str | None = None

    @property
    def unfinished(self) -> list[str]:
        """The answers that have not ended, as far as is known here."""
        return [name for name, answer in self.answers.items() if answer.end is None]


class View:
    """All that one device shows. It outlives the device's sockets."""

    def __init__(self) -> None:
        self.conversations: dict[str, Followed] = {}
        self.ended: dict[str, tuple[str, str, str]] = {}  # text, outcome, finish reason
        self.faults: list[str] = []
        self.lost_positions = 0  # how often `recovered: false` was said
        self.told: dict[Place, Frame] = {}  # what was told unfolded
        self.attaching: set[str] = set()  # frames of these are ignored until `attached` comes
        self._of: dict[str, str] = {}  # the conversation of each answer
        self._named: set[str] = set()  # answers that frames of the present socket named
        # Of the present socket: conversations it has a snapshot of, and of them the answers that
        # were not in it. Those have ended, on another branch.
        self._snapshots: set[str] = set()
        self._elsewhere: set[str] = set()

    def connected(self) -> None:
        """A new socket: nothing was said on it yet."""
        self._named.clear()
        self._snapshots.clear()

    def has_ended(self, answer: str) -> bool:
        """Whether it has, as far as was told here; how need not be known."""
        return answer in self.ended or answer in self._elsewhere

    def take(self, frame: Frame) -> None:
        """One frame of the server, in the order in which they came."""
        match frame["type"]:
            case "ack":
                self._acked(frame)
            case "attached":
                self._attached(frame)
            case "chunk" if "seq" not in frame:
                self._rest(frame)
            case _ if "seq" in frame:
                self._logged(frame)

    def answer(self, name: str) -> Shown | None:
        """An answer, if it is known here."""
        of = self._of.get(name)
        return None if of is None else self.conversations[of].answers.get(name)

    # ── positions ────────────────────────────────────────────────────────────────────────────────

    def _acked(self, ack: Frame) -> None:
        name, answer = ack["conversation"], ack["answer"]
        self._of[answer] = name
        if not ack["duplicate"] and answer in self._named:
            self._fault(f"frames of {answer} came before its `ack`")
        if name not in self.conversations:
            self.conversations[name] = Followed(ack["epoch"], ack["seq"])
        elif ack["duplicate"] and name in self._snapshots and self.answer(answer) is None:
            self._elsewhere.add(answer)

    def _attached(self, frame: Frame) -> None:
        name = frame["conversation"]
        self.attaching.discard(name)
        if frame["recovered"]:
            own = self.conversations[name]
            if (frame["epoch"], frame["seq"]) != (own.epoch, own.seq):
                self._fault(f"{name} recovered at {frame['seq']} instead of {own.seq}")
            return
        self.lost_positions += 1
        shown = self.conversations[name] = Followed(
            frame["epoch"], frame["seq"], leaf=frame["leaf"]
        )
        for message in frame["messages"]:
            self._show(shown, message)
        for each in frame["answers"]:
            self._of[each["answer"]] = name
            if each["answer"] in self.ended:
                self._fault(f"{each['answer']} had ended and is unfinished again")
            shown.answers[each["answer"]] = Shown(
                each["parent"],
                each.get("text", ""),
                each["attempt"],
                each["state"],
                owed=each.get("length"),
                tools={call["call"]: call for call in each.get("tools", [])},
            )
        self._snapshots.add(name)
        known = {answer for answer, of in self._of.items() if of == name}
        self._elsewhere = (self._elsewhere - known) | (known - shown.answers.keys())

    def _show(self, shown: Followed, message: Frame) -> None:
        name = message["id"]
        shown.messages[name] = message
        if message["role"] != "assistant":
            return
        self._of[name] = shown.messages[name]["conversation"]
        end = (message["outcome"], message["finish_reason"])
        shown.answers[name] = Shown(
            message["parent"], message["content"], message["attempt"], "", end, snapshot=True
        )
        self._end(name, message["content"], *end)

    def _end(self, name: str, text: str, outcome: str, reason: str) -> None:
        before = self.ended.setdefault(name, (text, outcome, reason))
        if before != (text, outcome, reason):
            told, now = f"{before[1:]} of {units(before[0])}", f"{outcome}, {reason}, {units(text)}"
            self._fault(f"{name} ended twice: {told}, then {now}")

    def _logged(self, frame: Frame) -> None:
        name = self._of.get(frame["answer"]) if frame["type"] == "chunk" else self._name(frame)
        shown = None if name is None else self.conversations.get(name)
        if name is None or shown is None:
            self._fault(f"a {frame['type']} of what this socket does not follow")
            return
        if name in self.attaching:
            return
        first, last = frame.get("from", frame["seq"]), frame["seq"]
        if first != shown.seq + 1 or last < first:
            self._fault(f"{frame['type']} {first} to {last} of {name} follows {shown.seq}")
            return
        shown.seq = last
        if "from" not in frame:
            self._once((name, shown.epoch, last), frame)
        self._owing(shown)
        match frame["type"]:
            case "message":
                self._message(shown, frame["message"])
            case "conversation":
                shown.leaf = frame["conversation"].get("leaf")
            case "status" | "chunk" | "tool" | "reset" | "complete":
                self._of_answer(shown, frame)
            case _:
                """Of what is not known here the position is."""

    def _once(self, place: Place, frame: Frame) -> None:
        before = self.told.setdefault(place, frame)
        if before != frame:
            self._fault(f"{place} was {before}, and is {frame}")

    def _name(self, frame: Frame) -> str:
        of = frame["conversation"]
        return str(of["id"] if isinstance(of, dict) else of)

    # ── what answers say ─────────────────────────────────────────────────────────────────────────

    def _message(self, shown: Followed, message: Frame) -> None:
        name, parent = message["id"], message["parent"]
        shown.leaf = name
        if message["role"] == "assistant":
            self._named.add(name)
            self._of[name] = message["conversation"]
            self._elsewhere.discard(name)
            if name not in shown.answers:
                shown.answers[name] = Shown(parent)
                shown.told.add(parent)
        elif name in shown.told and name not in shown.messages:
            self._fault(f"{name} came after its answer")
        shown.messages.setdefault(name, message)

    def _of_answer(self, shown: Followed, frame: Frame) -> None:
        name, kind = frame["answer"], frame["type"]
        self._named.add(name)
        answer = shown.answers.get(name)
        if answer is None and name in self._elsewhere and kind == "complete":
            """Its end had yet to be told."""
        elif answer is None:
            self._fault(f"a {kind} of {name}, of which nothing was told")
        elif answer.end is not None:
            if not answer.snapshot:
                self._fault(f"a {kind} of {name} follows its `complete`")
        elif kind == "chunk":
            self._chunk(name, answer, frame)
        elif kind == "reset":
            if frame["attempt"] != answer.attempt + 1:
                self._fault(f"{name}: attempt {frame['attempt']} follows {answer.attempt}")
            answer.attempt, answer.text = frame["attempt"], ""
        elif kind == "tool":
            answer.tools[frame["call"]] = {**answer.tools.get(frame["call"], {}), **frame}
        else:
            self._stood(name, answer, frame)

    def _stood(self, name: str, answer: Shown, frame: Frame) -> None:
        if frame["attempt"] != answer.attempt:
            self._fault(f"a {frame['type']} of {name} of attempt {frame['attempt']}")
        if frame["type"] == "complete":
            self._complete(name, answer, frame)
        else:
            answer.state = frame["state"]

    def _chunk(self, name: str, answer: Shown, frame: Frame) -> None:
        if frame["offset"] != units(answer.text):
            self._fault(f"{name}: offset {frame['offset']} after {units(answer.text)} units")
        answer.text += frame["text"]

    def _complete(self, name: str, answer: Shown, frame: Frame) -> None:
        told = frame["length"], frame["crc32"]
        if told != (units(answer.text), zlib.crc32(answer.text.encode())):
            self._fault(f"{name}: {told} ends a text of {units(answer.text)} units")
        answer.end = (frame["outcome"], frame["finish_reason"])
        self._end(name, answer.text, *answer.end)

    # ── texts that did not fit their snapshot ────────────────────────────────────────────────────

    def _rest(self, frame: Frame) -> None:
        answer = self.answer(frame["answer"])
        if self._of.get(frame["answer"]) in self.attaching:
            return
        if answer is None or answer.owed is None:
            self._fault(f"a chunk without a place of {frame['answer']}")
            return
        self._chunk(frame["answer"], answer, frame)

    def _owing(self, shown: Followed) -> None:
        for name, answer in shown.answers.items():
            if answer.owed is not None and answer.end is None:
                if answer.owed != units(answer.text):
                    self._fault(f"{name}: a snapshot of {answer.owed} has {units(answer.text)}")
                answer.owed = None

    def _fault(self, words: str) -> None:
        self.faults.append(words)
