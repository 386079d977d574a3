"""What devices were told, judged against the database after the run.

Each fault is a sentence; none means that the invariants 1-9 and 11-14 of one process held: most of
them are met frame by frame in `tests.faults.view`, the rest is found here. The database is opened
read-only, by none of our code.
"""

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.faults.device import Device, Request
from tests.faults.view import units

REASONS = {
    "complete": {"stop", "length"},
    "stopped": {"stopped", "superseded"},
    "interrupted": {"crash", "shutdown"},
    "failed": {"error", "timeout", "limit"},
}


def judge(devices: Sequence[Device], database: Path) -> list[str]:
    """All that is wrong; the devices are at rest and the server has ended."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        stored = Stored(connection)
    faults = [f"{d.user}: {fault}" for d in devices for fault in d.view.faults]
    faults += [f"database: {fault}" for fault in stored.faults()]
    for device in devices:
        faults += [f"{device.user}: {fault}" for fault in _told(device, stored)]
    faults += _counted(devices, stored)
    return faults


class Stored:
    """The rows that matter."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.answers = {row["id"]: row for row in connection.execute("SELECT * FROM answers")}
        self.messages = {row["id"]: row for row in connection.execute("SELECT * FROM messages")}
        self.ids = {
            (row["owner"], row["id"]): json.loads(row["result"])
            for row in connection.execute("SELECT * FROM idempotency WHERE result IS NOT NULL")
        }
        self.calls = {row["id"]: row for row in connection.execute("SELECT * FROM tool_calls")}
        self.approvals = {row["call"]: row for row in connection.execute("SELECT * FROM approvals")}
        self.conversations = list(connection.execute("SELECT * FROM conversations"))
        self.owner = {row["id"]: row["owner"] for row in self.conversations}
        self._commits = list(
            connection.execute("SELECT * FROM commits ORDER BY conversation, number")
        )
        self._own = [
            str(tuple(row))
            for check in ("integrity_check", "foreign_key_check")
            for row in connection.execute(f"PRAGMA {check}")
            if tuple(row) != ("ok",)
        ]

    def text(self, answer: str) -> str:
        """The content of a message."""
        return str(self.messages[answer]["content"])

    def faults(self) -> Iterator[str]:
        """What is wrong with the rows by themselves."""
        yield from self._own
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
    for code in device.closes:
        if code not in (1006, 1012):
            yield f"a socket was closed with {code}"
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
            yield from _answered(device, request, stored)


def _answered(device: Device, request: Request, stored: Stored) -> Iterator[str]:
    match request.frame["type"]:
        case "chat" | "regenerate" | "edit":
            yield from _asked(device, request, stored)
        case "approve":
            yield from _decided(request, stored)
        case "stop" if request.answer and request.answer["type"] != "ok":
            yield f"a stop was refused: {request.answer}"


def _asked(device: Device, request: Request, stored: Stored) -> Iterator[str]:
    name = request.frame["id"]
    kept = stored.ids.get((device.user, name))
    results = {
        (each["conversation"], each["message"], each["answer"])
        for each in request.answers
        if each["type"] == "ack"
    }
    if not results:
        if kept is not None:
            yield f"{name} was refused and is stored"
        if request.answer and request.answer["code"] != "busy":
            yield f"{name} was refused: {request.answer['code']}"
        return
    if len(results) > 1 or len(results) < len({each["type"] for each in request.answers}):
        yield f"{name} got different answers"
    if sum(not each["duplicate"] for each in request.answers) > 1:
        yield f"{name} was new twice"
    [(conversation, message, answer)] = list(results)[:1]
    if kept is None or (kept["message"], kept["answer"]) != (message, answer):
        yield f"{name} was acknowledged and is not stored so"
    row = stored.answers.get(answer)
    if row is None or (row["conversation"], row["parent"]) != (conversation, message):
        yield f"{name} was acknowledged and its answer is lost"
    elif stored.owner[conversation] != device.user:
        yield f"{name} is another's"
    content = request.frame.get("content")
    if content is not None and stored.messages[message]["content"] != content:
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


def _counted(devices: Sequence[Device], stored: Stored) -> Iterator[str]:
    """Nothing is stored that nobody asked for, and nothing twice."""
    asked = {ack["answer"] for device in devices for ack in device.acks}
    for name in stored.answers.keys() - asked:
        yield f"database: {name} answers nothing that was acknowledged"
    said: Counter[tuple[str, str]] = Counter()
    for device in devices:
        for request in device.requests.values():
            if "content" in request.frame and request.answer and request.answer["type"] == "ack":
                said[device.user, request.frame["content"]] += 1
    kept = Counter(
        (stored.owner[row["conversation"]], row["content"])
        for row in stored.messages.values()
        if row["role"] == "user"
    )
    for (user, content), count in (kept - said).items():
        yield f"database: {user} has {count} messages too many: {content}"
    for (user, content), count in (said - kept).items():
        yield f"database: {user} has {count} messages too few: {content}"
    if len(asked) != len(stored.answers):
        yield f"database: {len(stored.answers)} answers for {len(asked)}"
