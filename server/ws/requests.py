"""What each frame of a client comes to, once its socket is greeted."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.limits import Limits
from protocol.session import Deliver, reference
from protocol.types import Position
from server.auth.principal import Principal
from server.errors import ChatError
from server.streams.pages import page
from server.ws.following import Following
from server.ws.parts import Parts
from storage.errors import NotFound
from storage.records import Sent

Answered = Callable[[s.ServerFrame], None]

# In an epoch that no log is ever in. Any other position behind the message would be a place to go
# on from for who is cut off before the snapshot came, and what stands before it would be missing.
GONE = Position("gone", 0)


class Requests:
    """One greeted socket's requests. Each is answered by `answered`, or raises why it is not."""

    def __init__(
        self,
        parts: Parts,
        following: Following,
        principal: Principal,
        limits: Limits,
        trace: str,
    ) -> None:
        self.principal = principal
        self._trace = trace
        self._parts = parts
        self._following = following
        self._limits = limits

    async def act(self, deliver: Deliver, answered: Answered) -> None:
        """Do what the frame asks for."""
        match deliver.frame:
            case c.Attach() as frame:
                most = self._limits.attached_conversations
                async with self._fetching():
                    await self._following.attach(frame, most, answered)
            case c.Detach() as frame:
                self._following.detach(frame.conversation)
                answered(s.Ok(ref=frame.conversation))
            case c.Chat() | c.Regenerate() | c.Edit() as frame:
                await self._ask(frame, deliver, answered)
            case c.ReadHistory() as frame:
                owner = self.principal.owner
                async with self._fetching():
                    branch = await self._parts.conversations.history(
                        owner,
                        frame.conversation,
                        self._limits,
                        before=frame.before,
                        limit=frame.limit,
                    )
                    messages, cut = page(branch.messages)
                    answered(s.History(ref=frame.id, messages=messages, more=cut or branch.more))
            case c.Type() as frame:
                if not self._parts.rates.typing(self.principal):
                    self._following.typing(frame.conversation)
            case frame:
                async with self._parts.commands.one(self.principal.owner):
                    await self._command(frame)
                answered(s.Ok(ref=reference(frame) or ""))

    @asynccontextmanager
    async def _fetching(self) -> AsyncIterator[None]:
        """While rows are read for this socket: not faster than it takes them."""
        outbox = self._following.outbox
        while True:
            await outbox.relieved()
            async with self._parts.fetches.one(self.principal.owner):
                if outbox.has_room:  # others of this socket may have filled it meanwhile
                    yield
                    return

    async def _command(self, frame: c.ClientFrame) -> None:
        """What is answered by `ok`."""
        owner, conversations = self.principal.owner, self._parts.conversations
        match frame:
            case c.Stop():
                await conversations.stop(owner, frame.answer)
            case c.Select():
                await conversations.select(owner, frame)
            case c.Approve():
                await conversations.approve(owner, frame)
            case c.ToolResult():
                await conversations.tool_result(owner, frame)
            case c.GiveFeedback():
                await conversations.feedback(owner, frame)

    async def _ask(
        self, frame: c.Chat | c.Regenerate | c.Edit, deliver: Deliver, answered: Answered
    ) -> None:
        unless_known: ChatError | None = None
        if (refusal := deliver.unless_known) is not None:
            unless_known = ChatError(
                refusal.code, refusal.message, retry_after_ms=refusal.retry_after_ms
            )
        conversation = await self._conversation_of(frame)
        try:
            self._following.demand_room(conversation, self._limits.attached_conversations)
        except ChatError as full:
            unless_known = unless_known or full
        sent_there = self._following.sending(conversation)

        def acked(sent: Sent, place: Position | None) -> None:
            at = place or GONE
            answered(
                s.Ack(
                    ref=frame.id,
                    conversation=sent.conversation,
                    message=sent.message,
                    answer=sent.answer,
                    duplicate=sent.duplicate,
                    queued=sent.queued,
                    epoch=at.epoch,
                    seq=at.seq,
                )
            )
            self._following.follow(sent.conversation, place)
            sent_there()

        try:
            await self._parts.conversations.ask(
                self.principal,
                frame,
                self._limits,
                acked,
                into=conversation,
                trace=self._trace,
                unless_known=unless_known,
            )
        finally:
            sent_there()

    async def _conversation_of(self, frame: c.Chat | c.Regenerate | c.Edit) -> str | None:
        """Where an answer to this would go; None also where there is no such place."""
        try:
            return await self._parts.conversations.conversation_of(self.principal.owner, frame)
        except NotFound:  # its id may be known all the same
            return None
