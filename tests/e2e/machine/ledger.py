"""What all devices together have heard, which must be one story."""

from typing import Any, TypeAlias

Frame: TypeAlias = dict[str, Any]


class Ledger:
    """Frames by their place in a log, and what is true of an answer wherever it is told."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], dict[int, Frame]] = {}
        self.texts: dict[str, dict[int, str]] = {}  # of an answer: its chunks by offset
        self.ends: dict[str, Frame] = {}
        self.calls: dict[str, Frame] = {}  # the newest word on an answer's call
        self.conversation_of: dict[str, str] = {}  # an answer's

    def hear(self, conversation: str, epoch: str, frame: Frame) -> None:
        """A device was told this, live or to be brought level."""
        places = self._places.setdefault((conversation, epoch), {})
        kind, seq = frame["type"], int(frame["seq"])
        if kind in ("chunk", "thought"):
            for place in range(frame.get("from") or seq, seq + 1):
                same(places, place, {"type": kind, "answer": frame["answer"]})
            if kind == "chunk" and frame["text"]:
                self.texts.setdefault(frame["answer"], {})[frame["offset"]] = frame["text"]
            return
        same(places, seq, frame)
        if kind == "complete":
            end = {name: value for name, value in frame.items() if name != "seq"}
            same(self.ends, frame["answer"], end)
        elif kind == "tool":
            self.call(frame["answer"], frame)

    def call(self, answer: str, told: Frame) -> None:
        """A device was told how an answer's call stands."""
        before = self.calls.get(answer, {})
        assert before.get("call", told["call"]) == told["call"], "a script makes one call"
        if not before or _advanced(told) >= _advanced(before):  # who comes back hears old news
            self.calls[answer] = {**before, **told}

    def spans(self, answer: str) -> list[tuple[int, str]]:
        """Everything that anybody was shown of an answer's text, and where."""
        return sorted(self.texts.get(answer, {}).items())


def _advanced(call: Frame) -> int:
    return {"awaiting_approval": 0, "requested": 1, "running": 2}.get(call["state"], 3)


def same(known: dict[Any, Frame], key: object, told: Frame) -> None:
    """What is known under that key was told so before, or is now for the first time."""
    before = known.setdefault(key, told)
    assert before == told, f"told in two ways: {before} and {told}"
