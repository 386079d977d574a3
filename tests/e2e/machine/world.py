"""What happens between people's devices and the server, and what must follow from it."""

from itertools import count
from pathlib import Path
from typing import Any

from tests.e2e.machine.device import Device, Person
from tests.e2e.machine.ledger import Frame, Ledger
from tests.e2e.machine.life import Lives
from tests.e2e.machine.scripts import Script
from tests.e2e.machine.tree import Asked, Conversation, End, Tree

PAGE = 100


class Request:
    """Something asked under an id, and what it got."""

    def __init__(self, person: Person, frame: Frame, answer: Frame) -> None:
        self.person = person
        self.frame = frame
        self.answer = answer

    def __repr__(self) -> str:
        """Name it."""
        return f"<{self.frame['type']} {self.frame['id']}>"


class World:
    """The server in its present life, everybody's devices, and the tree that should be."""

    def __init__(self, template: Path, folder: Path, **options: Any) -> None:
        self.lives = Lives(template, folder, **options)
        self.ledger = Ledger()
        self.tree = Tree()
        self.devices: list[Device] = []
        self.dropped: list[Device] = []
        self.requests: list[Request] = []
        self._numbers = count(1)

    # ── devices ──────────────────────────────────────────────────────────────────────────────────

    async def connect(self, person: Person, *views: Any, binary: bool = False) -> Device:
        """A device that says hello, and is level then with what it wanted."""
        device = Device(person, next(self._numbers), self.ledger, binary=binary)
        answers = await device.connect(self.lives.port, *views)
        assert all(answer["type"] == "attached" for answer in answers), answers
        self.devices.append(device)
        return device

    async def resume(self, old: Device, *, binary: bool) -> Device:
        """The same person's device is back, and goes on from where it was."""
        await self.forget(old)
        return await self.connect(old.person, *old.views.values(), binary=binary)

    async def drop(self, device: Device, how: str) -> None:
        """A device vanishes."""
        self.devices.remove(device)
        self.dropped.append(device)
        await device.drop(how)

    async def forget(self, device: Device) -> None:
        """A device that was dropped never comes back."""
        self.dropped.remove(device)
        await device.bury()

    def followers(self, there: Conversation) -> list[Device]:
        """Devices that follow a conversation."""
        return [device for device in self.devices if there.id in device.views]

    async def anyone(self, person: Person) -> Device:
        """One of that person's devices."""
        for device in self.devices:
            if device.person == person:
                return device
        return await self.connect(person)

    async def witness(self, there: Conversation) -> Device:
        """A device that follows the conversation, and knows all that is under way in it."""
        for device in self.devices:
            view = device.views.get(there.id)
            if view is not None and view.whole:
                return device
        device = await self.anyone(there.owner)
        answer = await device.attach(there.id)
        assert answer["type"] == "attached", answer
        return device

    # ── asking for answers ───────────────────────────────────────────────────────────────────────

    def chat(self, script: Script, there: Conversation | None, **more: object) -> Frame:
        """A message; fields that are None are left out."""
        number = next(self._numbers)
        frame = {
            "type": "chat",
            "id": f"id-{number}",
            "content": script.content(number),
            "conversation": there.id if there else None,
            "tools": script.declared,
            **more,
        }
        return {name: value for name, value in frame.items() if value is not None}

    def edit(self, script: Script, message: str, on_busy: str) -> Frame:
        """A sibling of a message."""
        number = next(self._numbers)
        content = script.content(number)
        return {
            "type": "edit",
            "id": f"id-{number}",
            "message": message,
            "content": content,
            "on_busy": on_busy,
        }

    def named(self, kind: str, **fields: object) -> Frame:
        """Any other frame with an id."""
        return {"type": kind, "id": f"id-{next(self._numbers)}", **fields}

    async def ask(self, device: Device, frame: Frame, script: Script) -> Asked | None:
        """Ask for an answer and see it begin; None: the conversation is busy."""
        there = self.home(frame)
        ack = await device.ask(frame)
        if ack["type"] == "error":
            assert ack["code"] == "busy", ack
            assert there is not None
            assert self.tree.may_be_busy(there.id, frame.get("on_busy", "queue")), ack
            return None
        if there is None:
            await self._listed(device.person, ack["conversation"])
        return await self.acknowledged(device, frame, ack, script)

    async def _listed(self, person: Person, conversation: str) -> None:
        """All devices of that person are told of the new conversation."""
        for device in self.devices:
            if device.person == person:
                await device.until(lambda d=device: d.was_told_of(conversation))  # type: ignore[misc]

    async def acknowledged(
        self,
        device: Device,
        frame: Frame,
        ack: Frame,
        script: Script,
        *,
        ahead: range | None = None,
    ) -> Asked:
        """The tree grows, and who asked is told of it."""
        if frame["type"] == "edit":  # it declares no tools, but those that were are still there
            before = self.tree.conversations[ack["conversation"]]
            script = script.where(declared=frame["message"] in before.declared)
        asked = self.tree.accept(device.person, frame, ack, script, ahead)
        self.requests.append(Request(device.person, frame, ack))
        there = self.tree.conversations[ack["conversation"]]
        view = device.views[there.id]
        await device.until(lambda: asked.id in view.rows or asked.id in view.answers)
        self.check_made(there, view.rows, asked)
        if frame.get("on_busy") == "interrupt":
            # The question of another answer to it was told long before.
            first = asked.id if frame["type"] == "regenerate" else ack["message"]
            waited = view.waits_for.get(first, view.waits_for.get(asked.id, []))
            left = set(waited) & {each.id for each in there.asked if each is not asked}
            assert not left, f"told before the end of {left}"
        return asked

    def check_made(self, there: Conversation, rows: dict[str, Frame], asked: Asked) -> None:
        """What a device was told of new rows is what they are."""
        for id in (asked.question, asked.id):
            if id in rows:
                told, node = rows[id], there.nodes[id]
                assert (told["parent"], told["role"]) == (node.parent, node.role), told

    def home(self, frame: Frame) -> Conversation | None:
        """Where a request would go."""
        named = frame.get("answer") or frame.get("message") or frame.get("leaf")
        for there in self.tree.conversations.values():
            if frame.get("conversation") == there.id or named in there.nodes:
                return there
        return None

    async def repeat(self, device: Device, request: Request) -> None:
        """The same id with the same body: the same answer, and nothing else."""
        before = request.answer
        again = await device.ask(request.frame)
        assert again["type"] == before["type"], again
        if again["type"] == "ack":
            assert again["duplicate"], again
            for name in ("ref", "conversation", "message", "answer", "queued"):
                assert again[name] == before[name], again

    async def conflict(self, device: Device, request: Request) -> None:
        """The same id with another body."""
        field = {"feedback": "comment", "tool_result": "content", "select": "leaf"}
        frame = dict(request.frame)
        if frame["type"] == "approve":
            frame["allow"] = not frame["allow"]
        elif frame["type"] == "regenerate":
            frame["model"] = "scripted"
        else:
            name = "error" if frame.get("error") else field.get(frame["type"], "content")
            frame[name] = f"{frame.get(name, '')}x"
        refused = await device.ask(frame)
        assert (refused["type"], refused.get("code")) == ("error", "id_conflict"), refused

    def demand(self) -> None:
        """Raise if any device has found fault, or has heard what cannot be."""
        for device in [*self.devices, *self.dropped]:
            if device.fault is not None:
                raise device.fault
        self.learn()

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────

    def learn(self) -> None:
        """What devices heard of ends, and of texts, is what may be."""
        for there, asked in self.tree.answers:
            frame = self.ledger.ends.get(asked.id)
            if frame is not None:
                asked.ended(
                    End(frame["outcome"], frame["finish_reason"], frame["length"], frame["crc32"])
                )
                assert frame["conversation"] == there.id
            self._check_shown(asked)
        for device in [*self.devices, *self.dropped]:
            for frame in device.aside:
                told = frame.get("conversation")
                named = told["id"] if isinstance(told, dict) else told
                known = self.tree.conversations.get(named or "")
                assert known is None or known.owner == device.person, frame

    def _check_shown(self, asked: Asked) -> None:
        raw = asked.script.said.encode("utf-16-le")
        for offset, text in self.ledger.spans(asked.id):
            part = text.encode("utf-16-le")
            assert raw[2 * offset : 2 * offset + len(part)] == part, f"{text!r} at {offset}"

    async def ends(self, there: Conversation, *answers: Asked) -> None:
        """Wait until these have ended, and everybody who follows has heard of it."""
        await self.witness(there)
        for asked in answers:
            for device in self.followers(there):
                await self._hears_end(device, there, asked)
            self.learn()
            self.census(asked.id)
            assert asked.end is not None, f"{asked} did not end"

    async def _hears_end(self, device: Device, there: Conversation, asked: Asked) -> None:
        view = device.views[there.id]
        while not view.knows_end(asked.id):
            known = view.knows(asked.id)
            if not known:
                # It has yet to be told, or it was over when this came, or when a snapshot of
                # another branch took the place of what was known.
                self.census(asked.id)
                if asked.end is not None:
                    return

            def is_news(known: bool = known) -> bool:
                return view.knows_end(asked.id) or view.knows(asked.id) != known

            await device.until(is_news)

    async def stop(self, device: Device, there: Conversation, asked: Asked) -> None:
        """Stop an answer: it ends, for everybody."""
        await self.witness(there)
        self.learn()
        surely = asked.end is None and there.surely_waits(asked)
        asked.meddle("stopped", surely=surely)
        ok = await device.ask({"type": "stop", "answer": asked.id})
        assert ok["type"] == "ok", ok
        await self.ends(there, asked)

    async def finish(self, there: Conversation) -> None:
        """Let everything there end: by itself where it does, by a stop where not."""
        await self.witness(there)
        self.learn()
        for asked in there.unfinished:
            if asked.end is None and asked.holds:
                await self.stop(await self.anyone(there.owner), there, asked)
            await self.ends(there, asked)

    def census(self, *answers: str) -> None:
        """What the rows say of answers that nobody has seen ending."""
        rows = self.lives.rows(
            "SELECT a.id, a.outcome, a.finish_reason, a.length, a.crc32 FROM answers a"
            " WHERE a.state = 'ended'"
        )
        ended = {row.pop("id"): End(**row) for row in rows}
        for _, asked in self.tree.answers:
            if asked.id in ended and (not answers or asked.id in answers):
                asked.ended(ended[asked.id])

    # ── lives ────────────────────────────────────────────────────────────────────────────────────

    async def restart(self, how: str, *, asking: Frame | None = None) -> None:
        """The server ends and begins again; every device is dropped.

        What was being asked meanwhile may have made others end.
        """
        self.learn()
        before = {asked.id: set(asked.fates) for _, asked in self.tree.answers}
        if asking and asking.get("on_busy") == "interrupt" and (there := self.home(asking)):
            for asked in there.unfinished:
                asked.meddle("superseded", surely=False)
        if how == "crash":
            await self.lives.die()
        else:
            await self.lives.end()
        for device in list(self.devices):
            self.devices.remove(device)
            self.dropped.append(device)
            await device.bury()
        for _, asked in self.tree.answers:
            asked.meddle(how, surely=False)
            asked.crashed = asked.crashed or (how == "crash" and asked.end is None)
        await self.lives.begin()
        self.census()
        for _, asked in self.tree.answers:
            if asked.end is None:
                asked.fates = before[asked.id]  # it goes on as if nothing had been

    async def history(
        self, device: Device, there: Conversation, limit: int, before: str | None = None
    ) -> None:
        """Page back to the beginning: it is the branch that it should be."""
        leaf = there.leaf if before is None else there.nodes[before].parent
        expected = [node.id for node in there.branch(leaf)]
        seen: list[str] = []
        more = True
        while more:
            frame = self.named("history", conversation=there.id, limit=limit)
            if before is not None:
                frame["before"] = before
            page = await device.ask(frame)
            assert page["type"] == "history", page
            for row in page["messages"]:
                there.check_row(row)
            seen[:0] = [row["id"] for row in page["messages"]]
            more = page["more"]
            assert page["messages"] or not more
            before = seen[0] if seen else None
        assert seen == expected, f"{seen}, not {expected}"
