"""Plays a dialogue of protocol/vectors/dialogues against one of the two machines."""

import json
from abc import ABC, abstractmethod
from typing import Any, TypeAlias

from protocol import client, news, session
from protocol.codec import JSON, Codec, Fatal, Refusal, Unknown
from protocol.codes import CloseCode
from protocol.frames import from_server as s
from protocol.replica import Replica
from protocol.types import GoawayReason
from tests.support.vectors import FOLDER

Plain: TypeAlias = dict[str, Any]

DIALOGUES = FOLDER / "dialogues"
NAMED: Plain = json.loads((DIALOGUES / "frames.json").read_text(encoding="utf-8"))


def spelt(frame: Plain | str) -> Plain:
    """A frame as it stands, or one of frames.json by its name."""
    found: Plain = NAMED[frame] if isinstance(frame, str) else frame
    return found


def plain(frame: Any, codec: Codec = JSON) -> Plain:
    """A frame as JSON; the words of an error are free, so they are left out."""
    found: Plain = json.loads(codec.encode(frame))
    if found["type"] == "error":
        del found["message"]
    return found


def from_client(frame: Plain | str) -> Any:
    """A frame of a client's, read by the codec."""
    return JSON.decode_client(json.dumps(spelt(frame)), 1 << 20)


def from_server(frame: Plain | str) -> Any:
    """A server's frame, read by the codec; dialogues leave out the words of errors."""
    known = spelt(frame)
    if known["type"] == "error":
        known = {"message": "", **known}
    return JSON.decode_server(json.dumps(known))


class Player(ABC):
    """One machine, fed from steps."""

    @abstractmethod
    def do(self, step: Plain) -> list[Plain]:
        """Feed the step's input; returns the actions as JSON."""

    @abstractmethod
    def ends(self) -> Plain:
        """What a dialogue's `ends` may say, for the moment."""


class ServerPlayer(Player):
    """The server's machine."""

    def __init__(self, timing: Plain) -> None:
        self.machine = session.ServerSession(trace="t1", now=0.0, timing=session.Timing(**timing))

    def do(self, step: Plain) -> list[Plain]:
        """Inputs: what arrives, what the application decides, and time."""
        return [self._action(action) for action in self._done(step) or []]

    def _done(self, step: Plain) -> list[session.Action] | None:
        machine, now = self.machine, step["at"]
        match step:
            case {"receive": frame}:
                return machine.receive(from_client(frame), now)
            case {"text": text}:
                return machine.receive(JSON.decode_client(text, machine.frame_cap), now)
            case {"fatal": code}:
                return machine.receive(Fatal(CloseCode(code)), now)
            case {"ponged": _}:
                machine.ponged(now)
            case {"closed": _}:
                machine.closed()
            case {"tick": _}:
                return machine.tick(now)
            case _:
                return self._decided(step, now)
        return None

    def _decided(self, step: Plain, now: float) -> list[session.Action]:
        machine = self.machine
        match step:
            case {"grant": frame, **more}:
                return machine.grant(from_server(frame), now, lives_s=more.get("lives_s"))
            case {"renew": frame, "exchange": number, **more}:
                lives_s = more.get("lives_s")
                return machine.renew(number, from_server(frame), now, lives_s=lives_s)
            case {"answer": frame, "exchange": number}:
                return machine.answer(number, from_server(frame), now)
            case {"drain": {"reason": reason, "reconnect_after_ms": after}}:
                return machine.drain(GoawayReason(reason), after)
            case {"close": code}:
                return machine.close(CloseCode(code))
        raise ValueError(f"no such input: {step}")

    def _action(self, action: session.Action) -> Plain:
        match action:
            case session.Send(frame):
                return {"send": plain(frame)}
            case session.Deliver(frame, number, refusal):
                told = {"deliver": plain(frame), "exchange": number}
                return told if refusal is None else {**told, "unless_known": refusal.code.value}
            case session.Probe():
                return {"probe": True}
            case session.Close(code):
                return {"close": int(code)}

    def ends(self) -> Plain:
        """The state and what waits for an answer."""
        return {"state": self.machine.state.value, "unanswered": self.machine.unanswered}


class ClientPlayer(Player):
    """The client's machine."""

    def __init__(self) -> None:
        self.machine = client.ClientSession(token="token-1")

    def do(self, step: Plain) -> list[Plain]:
        """Inputs: what the application wants, what happens to the socket, and time."""
        return [self._action(action) for action in self._done(step)]

    def _done(self, step: Plain) -> list[news.Action]:
        machine, now, chance = self.machine, step["at"], step.get("chance", 0.5)
        match step:
            case {"connect": _}:
                return machine.connect(now)
            case {"opened": _}:
                return machine.opened()
            case {"receive": frame}:
                return machine.receive(from_server(frame), now, chance)
            case {"closed": code, **more}:
                after = more.get("retry_after_s", 0.0)
                return machine.closed(code, now, chance, retry_after_s=after)
            case {"tick": _}:
                return machine.tick(now)
            case _:
                return self._wanted(step, now)

    def _wanted(self, step: Plain, now: float) -> list[news.Action]:
        machine = self.machine
        match step:
            case {"submit": frame, **more}:
                return machine.submit(from_client(frame), now, into=more.get("into"))
            case {"follow": conversation, **more}:
                return machine.follow(conversation, now, history=more.get("history"))
            case {"unfollow": conversation}:
                return machine.unfollow(conversation, now)
            case {"auth": token}:
                return machine.auth(token, now)
            case {"typing": conversation}:
                return machine.typing(conversation)
            case {"wake": _}:
                return machine.wake(now)
            case {"stop": _}:
                return machine.stop()
        raise ValueError(f"no such input: {step}")

    def _action(self, action: news.Action) -> Plain:
        match action:
            case news.Connect():
                return {"connect": True}
            case news.Send(frame):
                return {"send": plain(frame)}
            case news.Close(code):
                return {"close": int(code)}
            case news.Tell(told):
                return {"tell": _news(told)}

    def ends(self) -> Plain:
        """The state, what waits for an answer, and what is known of each conversation."""
        return {
            "state": self.machine.state.value,
            "unanswered": len(self.machine.outbox),
            "conversations": {
                name: _conversation(replica) for name, replica in self.machine.replicas.items()
            },
        }


def _news(told: news.News) -> Plain:
    match told:
        case news.Answered(request, answer):
            by: Plain = {"answered": session.reference(request), "by": _kind(answer)}
            if isinstance(answer, s.Error | Refusal):
                by["code"] = answer.code.value
            return by
        case news.Delayed(request, why, wait_s):
            by = {"delayed": session.reference(request), "code": why.code.value}
            return {**by, "wait_s": wait_s}
        case news.Updated(conversation, frame):
            return {"updated": conversation, "by": _kind(frame)}
        case news.Unfollowed(conversation, why):
            return {"unfollowed": conversation, "code": why.code.value}
        case news.Heard(frame):
            return {"heard": _kind(frame)}
        case news.NeedToken(why):
            return {"need_token": why}
        case news.Moved(state, close, wait_s):
            known = {"state": state.value, "close": close, "wait_s": wait_s}
            return {name: value for name, value in known.items() if value is not None}


def _kind(what: Any) -> str:
    if isinstance(what, Refusal):
        return "refusal"
    if isinstance(what, Unknown):
        return str(what.type)
    kind: str = type(what).__struct_config__.tag
    return kind


def _conversation(replica: Replica) -> Plain:
    position = replica.position
    return {
        "position": [position.epoch, position.seq] if position else None,
        "leaf": replica.leaf,
        "running": {name: one.text.text for name, one in replica.answers.items()},
        "ended": {
            row.id: [str(row.outcome), row.content]
            for row in replica.messages.values()
            if row.outcome is not None
        },
    }


def load() -> list[Plain]:
    """Every dialogue, with the name of its file."""
    files = sorted(DIALOGUES.glob("*-*.json"))
    return [json.loads(file.read_text(encoding="utf-8")) | {"file": file.stem} for file in files]


def expected(step: Plain) -> list[Plain]:
    """A step's actions, with named frames spelt out."""
    return [
        {key: spelt(what) if key in ("send", "deliver") else what for key, what in action.items()}
        for action in step.get("expect", [])
    ]


def player(dialogue: Plain) -> Player:
    """The machine that a dialogue is for."""
    if dialogue["machine"] == "server":
        return ServerPlayer(dialogue.get("timing", {}))
    return ClientPlayer()
