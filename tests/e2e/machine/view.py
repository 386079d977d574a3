"""A device's copy of one conversation, kept by the letter of PROTOCOL.md, sections 4 and 5."""

from typing import Any, TypeAlias
from zlib import crc32

from msgspec import Struct, field

from tests.e2e.machine.ledger import Ledger
from tests.e2e.machine.scripts import units

Frame: TypeAlias = dict[str, Any]

STATES = ("queued", "retrieving", "thinking", "generating", "tool", "parked")


class Said(Struct):
    """An answer as far as the device knows it; `text` None: it missed the beginning."""

    attempt: int | None = 1
    text: str | None = ""
    whole: int | None = None  # units that a snapshot promised; chunks without `seq` bring them
    thought: int | None = 0
    cited: list[Frame] | None = field(default_factory=list)
    ended: bool = False

    @property
    def missing(self) -> bool:
        """Whether a snapshot's text is still on its way."""
        return self.whole is not None and units(self.text or "") < self.whole


class View:
    """`whole`: it was level once, so that it knows of everything that it is told about."""

    def __init__(
        self, conversation: str, epoch: str, seq: int, ledger: Ledger, *, whole: bool
    ) -> None:
        self.conversation = conversation
        self.epoch = epoch
        self.seq = seq
        self.whole = whole
        self.complete = whole  # no snapshot left out other branches or what is older
        self.leaf: str | None = None
        self.rows: dict[str, Frame] = {}
        self.answers: dict[str, Said] = {}
        self.over: set[str] = set()  # answers that a snapshot showed as ended
        self.waits_for: dict[str, list[str]] = {}  # unfinished answers when a message was told
        self.attaching = 0
        self.unsure = 0  # snapshots that may have come unasked, while an answer was due as well
        self._ledger = ledger

    @property
    def position(self) -> Frame:
        """What to attach from; nothing while a snapshot's texts are not whole."""
        if any(said.missing for said in self.answers.values()):
            return {}
        return {"epoch": self.epoch, "seq": self.seq}

    def knows(self, answer: str) -> bool:
        """Whether it was shown that answer, or told of it."""
        return answer in self.answers or answer in self.over

    def knows_end(self, answer: str) -> bool:
        """Whether it was shown how that answer ended."""
        said = self.answers.get(answer)
        return answer in self.over or (said is not None and said.ended)

    # ── attached ─────────────────────────────────────────────────────────────────────────────────

    def attached(self, frame: Frame, *, asked: bool) -> None:
        """The server's word on where the device stands."""
        if asked:
            self.attaching -= 1
            self.unsure += not frame["recovered"]
        if self.attaching:
            return  # another `attach` is on its way: its answer will count
        if frame["recovered"]:
            assert asked or self.unsure, "only a lost position is told unasked"
            self.unsure -= not asked
            assert (frame["epoch"], frame["seq"]) == (self.epoch, self.seq), "not our position"
            assert "messages" not in frame
            for told in frame["answers"]:
                assert not {"text", "tools", "citations"} & told.keys()
            return
        self._replace(frame)

    def _replace(self, frame: Frame) -> None:
        self.epoch, self.seq, self.leaf = frame["epoch"], frame["seq"], frame["leaf"]
        self.rows, self.answers, self.over = {}, {}, set()
        self.whole, self.complete = True, False
        for row in frame["messages"]:
            self.rows[row["id"]] = dict(row)
            if row["role"] == "assistant":
                assert "outcome" in row, "unfinished answers stand in `answers` alone"
                self.over.add(row["id"])
                # The log may tell of it later: it is told what was said behind what SQL has.
                self._ledger.conversation_of[row["id"]] = self.conversation
        for told in frame["answers"]:
            self._show(told)

    def _show(self, told: Frame) -> None:
        answer, text = told["answer"], told.get("text", "")
        assert answer not in self.rows, "unfinished answers stand in `answers` alone"
        assert told["state"] in STATES
        self.answers[answer] = Said(
            attempt=told["attempt"],
            text=text,
            whole=told.get("length", units(text)),
            thought=None,
            cited=told.get("citations", []),
        )
        self._ledger.conversation_of[answer] = self.conversation
        for call in told.get("tools", ()):
            self._ledger.call(answer, call)

    # ── frames ───────────────────────────────────────────────────────────────────────────────────

    def take(self, frame: Frame) -> None:
        """The next frame of this conversation."""
        if self.attaching:
            return
        if "seq" not in frame:
            self._complete_snapshot(frame)
            return
        first, last = frame.get("from", frame["seq"]), frame["seq"]
        assert first == self.seq + 1, f"{first} follows {self.seq}"
        assert last >= first
        missing = [answer for answer, said in self.answers.items() if said.missing]
        assert not missing, f"the snapshot's text is not whole: {missing}"
        self.seq = last
        self._ledger.hear(self.conversation, self.epoch, frame)
        answer = frame.get("answer")
        if answer in self.over:
            return
        getattr(self, f"_{frame['type']}")(frame)

    def _complete_snapshot(self, chunk: Frame) -> None:
        said = self.answers[chunk["answer"]]
        assert chunk["type"] == "chunk"
        assert said.missing, "a chunk without seq, and nothing was missing"
        assert said.text is not None
        assert chunk["offset"] == units(said.text)
        said.text += chunk["text"]
        assert units(said.text) <= (said.whole or 0)

    def _message(self, frame: Frame) -> None:
        row = frame["message"]
        id = row["id"]
        assert id in row["siblings"]
        if row["parent"] is not None and self.complete:
            assert row["parent"] in self.rows, "a message before its parent"
        self.leaf = id
        self.waits_for.setdefault(
            id, [answer for answer, said in self.answers.items() if not said.ended]
        )
        if id in self.rows or id in self.answers:
            return  # a snapshot had it
        self.rows[id] = dict(row)
        if row["role"] == "assistant":
            assert row["content"] == "", "an answer's row is empty yet"
            assert "outcome" not in row
            self.answers[id] = Said()
            self._ledger.conversation_of[id] = self.conversation

    def _said(self, frame: Frame) -> Said:
        """The answer that the frame is about, which has not ended."""
        answer = frame["answer"]
        said = self.answers.get(answer)
        if said is None:
            late = self.whole and frame["type"] in ("chunk", "thought")
            assert not late, "text of an answer that no message and no snapshot named"
            said = self.answers[answer] = Said(None, None, None, None, None)
        assert not said.ended, "a frame behind the complete"
        if "attempt" in frame and frame["type"] != "reset":
            said.attempt = said.attempt or frame["attempt"]
            assert frame["attempt"] == said.attempt, "only a reset raises the attempt"
        return said

    def _status(self, frame: Frame) -> None:
        self._said(frame)
        assert frame["state"] in STATES

    def _chunk(self, frame: Frame) -> None:
        said = self._said(frame)
        if said.text is not None:
            assert frame["offset"] == units(said.text), "chunks do not join"
            said.text += frame["text"]

    def _thought(self, frame: Frame) -> None:
        said = self._said(frame)
        assert said.thought in (None, frame["offset"]), "thoughts do not join"
        said.thought = frame["offset"] + units(frame["text"])

    def _citation(self, frame: Frame) -> None:
        said = self._said(frame)
        if said.text is not None:
            assert 0 <= frame["start"] < frame["end"] <= units(said.text)
        if said.cited is not None:
            said.cited.append({name: frame[name] for name in ("start", "end", "sources")})

    def _tool(self, frame: Frame) -> None:
        self._said(frame)

    def _reset(self, frame: Frame) -> None:
        said = self._said(frame)
        assert frame["attempt"] > (said.attempt or 0)
        self.answers[frame["answer"]] = Said(attempt=frame["attempt"])

    def _complete(self, frame: Frame) -> None:
        said = self._said(frame)
        said.ended = True
        if said.text is not None:
            assert frame["length"] == units(said.text), "the length is not that of the text"
            assert frame["crc32"] == crc32(said.text.encode()), "the sum is not that of the text"

    def _feedback(self, frame: Frame) -> None:
        row = self.rows.get(frame["message"])
        if row is not None:
            row["feedback"] = {k: frame[k] for k in ("rating", "comment") if k in frame}

    def _conversation(self, frame: Frame) -> None:
        assert frame["conversation"]["id"] == self.conversation
        self.leaf = frame["conversation"]["leaf"]
