"""What devices were told, judged against the database after the run.

Each fault is a sentence; none means that the invariants 1-9 and 11-14 held: most of them are met
frame by frame in `tests.faults.view`, the rest is found here.
"""

import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tests.faults.device import Device, Request
from tests.faults.tables import Tables
from tests.faults.view import Frame, Place, units

REASONS = {
    "complete": {"stop", "length"},
    "stopped": {"stopped", "superseded"},
    "interrupted": {"crash", "shutdown"},
    "failed": {"error", "timeout", "limit"},
}

Reloaded = tuple[str, Sequence[Frame]]  # a conversation, and the messages that were shown of it
Asked = dict[tuple[str, str], list[Request]]  # by user and id


def judge(
    devices: Sequence[Device],
    tables: Tables,
    closes: Collection[int],
    reloaded: Sequence[Reloaded] = (),
) -> list[str]:
    """All that is wrong; the devices are at rest. `closes` may end their sockets."""
    stored = Stored(tables)
    faults = [f"{d.user}: {fault}" for d in devices for fault in d.view.faults]
    faults += [f"database: {fault}" for fault in stored.faults()]
    for device in devices:
        faults += [f"{device.user}: closed with {c}" for c in device.closes if c not in closes]
        faults += [f"{device.user}: {fault}" for fault in _told(device, stored)]
    asked = _by_id(devices)
    for (user, name), requests in asked.items():
        faults += [f"{user}: {fault}" for fault in _asked(user, name, requests, stored)]
    faults += _counted(asked, stored)
    faults += _alike(devices)
    faults += _reloaded(reloaded, stored)
    return faults


class Stored:
    """The rows that matter, by their names."""

    def __init__(self, tables: Tables) -> None:
        self.answers = {row["id"]: row for row in tables.answers}
        self.messages = {row["id"]: row for row in tables.messages}
        self.ids = {
            (row["owner"], row["id"]): json.loads(row["result"])
            for row in tables.idempotency
            if row["result"] is not None
        }
        self.calls = {row["id"]: row for row in tables.tool_calls}
        self.approvals = {row["call"]: row for row in tables.approvals}
        self.conversations = tables.conversations
        self.owner = {row["id"]: row["owner"] for row in self.conversations}
        self._leaf = {row["id"]: row["leaf"] for row in self.conversations}
        self._commits = sorted(tables.commits, key=lambda row: row["number"])
        self._damage = tables.damage

    def text(self, answer: str) -> str:
        """The content of a message."""
        return str(self.messages[answer]["content"])

    def branch(self, conversation: str) -> list[tuple[str, str]]:
        """The messages from the first to the leaf, with what they say; not what is unfinished."""
        found: list[tuple[str, str]] = []
        name = self._leaf[conversation]
        while name is not None:
            if name not in self.answers or self.answers[name]["state"] == "ended":
                found.insert(0, (name, self.text(name)))
            name = self.messages[name]["parent"]
        return found

    def faults(self) -> Iterator[str]:
        """What is wrong with the rows by themselves."""
        yield from self._damage
        ends = Counter(row["subject"] for row in self._commits if row["kind"] == "complete")
        for name, row in self.answers.items():
            yield from self._of_answer(row)
            if ends[name] != 1:
                yield f"{name} has {ends[name]} ends"
        for name, row in self.calls.items():
            allowed = self.approvals[name]["allow"] if name in self.approvals else None
            # Those of the server's own wait for a person, in all scripts of these suites.
            if row["state"] == "done" and row["origin"] == "server" and not allowed:
                yield f"call {name} ran, allowed: {allowed}"
            if name in self.approvals and self.approvals[name]["args_hash"] != row["args_hash"]:
                yield f"call {name} was approved for other arguments"
        numbers: dict[str, list[int]] = {}
        for row in self._commits:
            numbers.setdefault(row["conversation"], []).append(row["number"])
        for row in self.conversations:
            if numbers.get(row["id"]) != list(range(1, row["commits"] + 1)):
                yield f"the commits of {row['id']} have holes"

    def _of_answer(self, row: Any) -> Iterator[str]:
        name = row["id"]
        if row["state"] != "ended":
            yield f"{name} hangs: {row['state']}"
            return
        text, whole = self.text(name), spoken(self.messages[row["parent"]]["content"])
        if (units(text), zlib.crc32(text.encode())) != (row["length"], row["crc32"]):
            yield f"{name}: its length or sum does not fit its text"
        if row["finish_reason"] not in REASONS[row["outcome"]]:
            yield f"{name}: {row['outcome']} for {row['finish_reason']}"
        if row["outcome"] == "complete" and text != whole:
            yield f"{name} is complete with {units(text)} of {units(whole)} units"
        if not whole.startswith(text):
            yield f"{name} holds what its model never said"
        if row["stop_reason"] is not None and row["outcome"] != "stopped":
            yield f"{name} was told to stop and ended as {row['outcome']}"


def spoken(content: str) -> str:
    """What the model says to a script."""
    script = json.loads(content)
    return str(script["text"]) * int(script["tokens"])


def _told(device: Device, stored: Stored) -> Iterator[str]:
    """What one device was told, beside what is stored."""
    for name, (text, outcome, reason) in device.view.ended.items():
        row = stored.answers.get(name)
        if row is None:
            yield f"{name} ended on the device and is not stored"
        elif (text, outcome, reason) != (stored.text(name), row["outcome"], row["finish_reason"]):
            yield f"{name} ended on the device as {outcome}, {units(text)}, in the database not"
    for name, request in device.requests.items():
        if request.answer is None:
            yield f"{name} hangs: no answer"
        else:
            yield from _answered(request, stored)


def _answered(request: Request, stored: Stored) -> Iterator[str]:
    match request.frame["type"]:
        case "approve":
            yield from _decided(request, stored)
        case "stop" if request.answer and request.answer["type"] != "ok":
            yield f"a stop was refused: {request.answer}"


def _by_id(devices: Sequence[Device]) -> Asked:
    """What was asked for by an id, however often and from however many devices of its user."""
    found: Asked = {}
    for device in devices:
        for request in device.requests.values():
            if request.frame["type"] in ("chat", "regenerate", "edit"):
                found.setdefault((device.user, request.frame["id"]), []).append(request)
    return found


def _asked(user: str, name: str, requests: Sequence[Request], stored: Stored) -> Iterator[str]:
    """What one id got."""
    kept = stored.ids.get((user, name))
    answers = [answer for request in requests for answer in request.answers]
    acks = [answer for answer in answers if answer["type"] == "ack"]
    results = {(each["conversation"], each["message"], each["answer"]) for each in acks}
    if not results:
        yield from (f"{name} was refused: {e['code']}" for e in answers if e["code"] != "busy")
        if kept is not None:
            yield f"{name} was refused and is stored"
        return
    if len(results) > 1 or len(acks) < len(answers):
        yield f"{name} got different answers"
    if sum(not each["duplicate"] for each in acks) > 1:
        yield f"{name} was new twice"
    [(conversation, message, answer)] = list(results)[:1]
    if kept is None or (kept["message"], kept["answer"]) != (message, answer):
        yield f"{name} was acknowledged and is not stored so"
    row = stored.answers.get(answer)
    if row is None or (row["conversation"], row["parent"]) != (conversation, message):
        yield f"{name} was acknowledged and its answer is lost"
    elif stored.owner[conversation] != user:
        yield f"{name} is another's"
    kept_content = stored.messages[message]["content"]
    if requests[0].frame.get("content", kept_content) != kept_content:
        yield f"{name} is stored otherwise"


def _decided(request: Request, stored: Stored) -> Iterator[str]:
    name, allow = request.frame["call"], request.frame["allow"]
    row, approval, answer = stored.calls[name], stored.approvals.get(name), request.answer
    assert answer is not None
    if answer["type"] == "ok":
        if approval is None or approval["allow"] != allow:
            yield f"call {name} was decided and is not stored so"
    elif answer["code"] == "approval_conflict":
        if approval is None or approval["allow"] == allow:
            yield f"call {name} was not decided otherwise"
    elif answer["code"] != "approval_expired" or row["state"] != "expired":
        yield f"call {name} could not be decided: {answer}"


def _counted(asked: Asked, stored: Stored) -> Iterator[str]:
    """Nothing is stored that nobody asked for, and nothing twice."""
    answers: set[str] = set()
    said: Counter[tuple[str, str]] = Counter()
    for (user, _), requests in asked.items():
        acks = [each for r in requests for each in r.answers if each["type"] == "ack"]
        answers |= {ack["answer"] for ack in acks}
        if acks and "content" in requests[0].frame:
            said[user, requests[0].frame["content"]] += 1
    for name in stored.answers.keys() - answers:
        yield f"database: {name} answers nothing that was acknowledged"
    kept = Counter(
        (stored.owner[row["conversation"]], row["content"])
        for row in stored.messages.values()
        if row["role"] == "user"
    )
    for (user, content), count in (kept - said).items():
        yield f"database: {user} has {count} messages too many: {content}"
    for (user, content), count in (said - kept).items():
        yield f"database: {user} has {count} messages too few: {content}"
    if len(answers) != len(stored.answers):
        yield f"database: {len(stored.answers)} answers for {len(answers)}"


def _alike(devices: Sequence[Device]) -> Iterator[str]:
    """A place of a log is one frame, whoever is told of it and through whichever server."""
    places: dict[Place, Frame] = {}
    for device in devices:
        for place, frame in device.view.told.items():
            if places.setdefault(place, frame) != frame:
                yield f"{place} is {frame} to {device.user}, and {places[place]} to others"


def _reloaded(reloaded: Sequence[Reloaded], stored: Stored) -> Iterator[str]:
    """Who comes anew is shown all that is stored."""
    for conversation, messages in reloaded:
        shown = [(message["id"], message["content"]) for message in messages]
        whole = stored.branch(conversation)
        if shown != whole:
            yield f"{conversation} is shown with {len(shown)} messages, and has {len(whole)}"
