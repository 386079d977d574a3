"""What a person may do to conversations: the one place where policy, rows, logs and runs meet.

Sockets and HTTP both call it. Whatever is committed is told and run even if who asked is gone.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import UNSET, structs

from protocol.codes import ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.limits import Limits
from protocol.types import ConversationStatus, Position
from server.auth.policy import refuse_chat, refuse_conversation
from server.auth.principal import Principal
from server.errors import ChatError
from server.generation import request
from server.generation.request import Request
from server.generation.supervisor import Supervisor
from server.limits.rates import Rates
from server.providers.base import ToolOffer
from server.providers.catalogue import Catalogue
from server.streams import shapes
from server.streams.hub import Hub
from storage import failpoints
from storage.errors import NotFound, StorageError
from storage.records import (
    Answer,
    Branch,
    Change,
    Commit,
    CommitKind,
    Conversation,
    Edit,
    Ended,
    Feedback,
    NewConversation,
    Regenerate,
    Send,
    Sent,
)
from storage.store import Store
from storage.values import EMPTY_OBJECT, Json, Once, Owner

Asking = c.Chat | c.Regenerate | c.Edit
Told = Literal["created", "updated", "archived", "deleted"]
# Tells the owner's sockets, wherever they are, of a change to the list of conversations.
Announce = Callable[[Owner, s.ServerFrame], None]
# The message is committed. The place is one in the log before it; None: there is none any more, and
# who was not following needs a snapshot.
Acked = Callable[[Sent, Position | None], None]

PRESSED_MS = 4000  # half of it to one and a half: after so long there may be memory again

_CANONICAL = msgspec.json.Encoder(order="sorted")


class Conversations:
    """Requests of verified principals, made into rows, and what follows from them."""

    def __init__(
        self,
        *,
        store: Store,
        hub: Hub,
        supervisor: Supervisor,
        catalogue: Catalogue,
        rates: Rates,
        announce: Announce,
        pressed: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`pressed`: there is no memory for more than is under way."""
        self._store = store
        self._hub = hub
        self._supervisor = supervisor
        self._catalogue = catalogue
        self._rates = rates
        self._announce = announce
        self._pressed = pressed
        self._chance = chance

    async def ask(
        self,
        principal: Principal,
        frame: Asking,
        limits: Limits,
        acked: Acked,
        *,
        into: str | None,
        trace: str | None = None,
        unless_known: ChatError | None = None,
    ) -> None:
        """Store what is asked, say so by `acked`, and have it answered.

        `into` is the conversation that it goes to; None: a new one, or it is not known. `acked` is
        called before any frame of the answer can be told. An id is recognised before every refusal:
        `unless_known` and those found here count for new ids alone.
        """
        owner = principal.owner
        once = _once(frame)
        # What is refused for another reason counts as a message too, or refusals would be free.
        too_fast = await self._too_fast(principal)
        refusal = too_fast or self._refuse(principal, frame) or unless_known
        place = None
        try:
            if refusal is not None:
                raise refusal
            await self._hub.demand()
            if into is not None:
                place = await self._hub.head(into)
            failpoints.reach("received")
            sent = await self._send(owner, frame, once, limits, trace)
        except (ChatError, NotFound):
            known = await self._store.sending.recall(owner, once)
            if known is None:
                raise
            sent = known
        if sent.duplicate:
            if too_fast is None:
                await self._rates.message_again(principal)
            await self._acked_again(owner, sent, acked)
            return
        try:
            if place is None:
                place = await self._hub.begin(owner.tenant, sent)
            acked(sent, place)
            failpoints.reach("acked")
        finally:
            await self._proceed(owner, sent)

    # ── conversations themselves ─────────────────────────────────────────────────────────────────

    async def create(
        self, principal: Principal, id: str, new: NewConversation, limits: Limits
    ) -> Conversation:
        """Make an empty one, once for this id."""
        self._check(principal, new, limits)
        body = hashlib.sha256(_CANONICAL.encode(new)).hexdigest()
        made = await self._store.conversations.create(principal.owner, Once(id, body), new)
        if made.fresh:
            self._tell(principal.owner, made.conversation, "created")
        return made.conversation

    async def change(
        self, principal: Principal, conversation: str, change: Change, limits: Limits
    ) -> Conversation:
        """Rename it, archive it and the like; followers and the owner's lists are told."""
        self._check(principal, change, limits)
        owner = principal.owner
        changed = await self._store.conversations.change(owner, conversation, change)
        before, after = changed.before, changed.after
        if after != before:
            await self._hub.tell(owner.tenant, conversation)
            archived = after.status is ConversationStatus.ARCHIVED is not before.status
            self._tell(owner, after, "archived" if archived else "updated")
        return after

    async def delete(self, owner: Owner, conversation: str) -> None:
        """Take it from all its owner's devices, and stop its answers."""
        deleted = await self._store.conversations.delete(owner, conversation)
        for stopping in deleted.stopping:
            self._supervisor.wake(stopping)
        await self._hub.tell(owner.tenant, conversation, [_end(ended) for ended in deleted.ended])
        for ended in deleted.ended:
            self._supervisor.ended(ended)
        self._tell(owner, deleted.conversation, "deleted")

    # ── answers and messages ─────────────────────────────────────────────────────────────────────

    async def stop(self, owner: Owner, answer: str) -> None:
        """Stop an answer; one that has ended stays as it is."""
        stopped = await self._store.sending.stop(owner, answer)
        if stopped.stopping is not None:
            self._supervisor.wake(stopped.stopping)
        if stopped.ended is not None and stopped.ended.fresh:
            ended = stopped.ended
            await self._hub.tell(owner.tenant, ended.conversation, [_end(ended)])
            self._supervisor.ended(ended)

    async def silence(self) -> None:
        """Stop whatever is made, parked or queued for people who are shut out."""
        for answer in await self._store.internal.answers.of_shut_out():
            with suppress(NotFound):  # deleted meanwhile, and stopped with that
                await self.stop(Owner(answer.tenant, answer.user), answer.id)

    async def select(self, owner: Owner, frame: c.Select) -> None:
        """Make another branch the active one."""
        await self._store.conversations.select(owner, _once(frame), frame.conversation, frame.leaf)
        await self._hub.tell(owner.tenant, frame.conversation)

    async def approve(self, owner: Owner, frame: c.Approve) -> None:
        """Decide a tool call that awaits approval."""
        decided = await self._store.tools.decide(
            owner, _once(frame), frame.call, args_hash=frame.args_hash, allow=frame.allow
        )
        self._supervisor.look(owner.tenant, decided.conversation)

    async def tool_result(self, owner: Owner, frame: c.ToolResult) -> None:
        """Take the outcome of a tool that the client ran."""
        decided = await self._store.tools.tool_result(
            owner,
            _once(frame),
            frame.call,
            failed=frame.error is not None,
            result=frame.error or frame.content or "",
        )
        self._supervisor.look(owner.tenant, decided.conversation)

    async def feedback(
        self, owner: Owner, frame: c.GiveFeedback, *, conversation: str | None = None
    ) -> Feedback:
        """Keep what the owner thinks of a message, which must be of that conversation, if any."""
        saved = await self._store.feedback.save(
            owner,
            _once(frame),
            frame.message,
            rating=str(frame.rating),
            comment=frame.comment,
            conversation=conversation,
        )
        await self._hub.tell(owner.tenant, saved.conversation)
        return saved

    async def history(
        self,
        owner: Owner,
        conversation: str,
        limits: Limits,
        *,
        limit: int,
        before: str | None = None,
        leaf: str | None = None,
    ) -> Branch:
        """A page of one branch; without a leaf of the active one."""
        most = min(limit, limits.history_messages)
        return await self._store.history.branch(
            owner, conversation, leaf=leaf, before=before, limit=most
        )

    async def conversation_of(self, owner: Owner, frame: Asking) -> str | None:
        """Where an answer to this would go; None: into a new conversation."""
        match frame:
            case c.Chat():
                return frame.conversation
            case c.Regenerate():
                return (await self._store.history.answer(owner, frame.answer)).conversation
            case c.Edit():
                return (await self._store.history.message(owner, frame.message)).conversation

    def _check(self, principal: Principal, given: NewConversation | Change, limits: Limits) -> None:
        """`ChatError` for what this principal may not say of a conversation."""
        left_out = UNSET if isinstance(given, Change) else None
        fields = structs.asdict(given)
        names = [name for name, value in fields.items() if value is not left_out]
        forbidden = refuse_conversation(principal, names)
        if forbidden is not None:
            raise forbidden
        if given.model:
            self._catalogue.find(given.model)
        if given.system_prompt and len(given.system_prompt.encode()) > limits.system_prompt_bytes:
            words = f"`system_prompt` is over its limit of {limits.system_prompt_bytes} bytes."
            raise ChatError(ErrorCode.MESSAGE_TOO_LONG, words)
        if given.metadata and len(bytes(given.metadata)) > limits.metadata_bytes:
            words = f"`metadata` is over its limit of {limits.metadata_bytes}."
            raise ChatError(ErrorCode.INVALID_FIELD, words)

    def _refuse(self, principal: Principal, frame: Asking) -> ChatError | None:
        forbidden = refuse_chat(principal, frame)
        if forbidden is not None:
            return forbidden
        try:
            self._catalogue.find(None if isinstance(frame, c.Edit) else frame.model)
        except ChatError as unknown:
            return unknown
        return self._no_memory() if self._pressed() else None

    def _no_memory(self) -> ChatError:
        """Come back later, and not all at once; what is under way goes on."""
        words = "The server has no memory for more now; send it again with the same id."
        later_ms = round(PRESSED_MS * (0.5 + self._chance()))
        return ChatError(ErrorCode.OVERLOADED, words, retry_after_ms=later_ms)

    async def _too_fast(self, principal: Principal) -> ChatError | None:
        wait_ms = await self._rates.message(principal)
        if not wait_ms:
            return None
        words = "Too many messages; send it again, with the same id, after `retry_after_ms`."
        return ChatError(ErrorCode.RATE_LIMITED, words, retry_after_ms=wait_ms)

    async def _send(
        self, owner: Owner, frame: Asking, once: Once, limits: Limits, trace: str | None
    ) -> Sent:
        sending, most, busy = self._store.sending, limits.queued_answers, frame.on_busy
        holder = self._supervisor.incarnation
        match frame:
            case c.Chat():
                ask = Send(
                    once=once,
                    max_queued=most,
                    on_busy=busy,
                    incarnation=holder,
                    request=request.encode(_request(frame, trace)),
                    model=frame.model,
                    content=frame.content,
                    conversation=frame.conversation,
                    parent=frame.parent,
                    metadata=_json(frame.metadata),
                    attachments=tuple(frame.attachments or ()),
                    new=NewConversation(model=frame.model),
                )
                return await sending.send(owner, ask)
            case c.Regenerate():
                before = await self._store.history.answer(owner, frame.answer)
                again = Regenerate(
                    once=once,
                    max_queued=most,
                    on_busy=busy,
                    incarnation=holder,
                    request=self._as_before(before, trace),
                    model=frame.model or self._still_offered(before.model),
                    answer=frame.answer,
                )
                return await sending.regenerate(owner, again)
            case c.Edit():
                written = await self._store.history.message(owner, frame.message)
                answered = await self._store.history.answer_to(owner, frame.message)
                edit = Edit(
                    once=once,
                    max_queued=most,
                    on_busy=busy,
                    incarnation=holder,
                    request=self._as_before(answered, trace),
                    model=None if answered is None else self._still_offered(answered.model),
                    message=frame.message,
                    content=frame.content,
                    metadata=written.metadata,
                    attachments=written.attachments,
                )
                return await sending.edit(owner, edit)

    def _as_before(self, answer: Answer | None, trace: str | None) -> Json:
        """With what that answer was asked, by another connection."""
        asked = Request() if answer is None else request.decode(answer.request)
        model = self._still_offered(asked.model)
        return request.encode(structs.replace(asked, model=model, trace=trace))

    def _still_offered(self, model: str | None) -> str | None:
        """That model; one that was taken away since binds nobody."""
        return model if model in self._catalogue.offered else None

    async def _acked_again(self, owner: Owner, sent: Sent, acked: Acked) -> None:
        """What the id got the first time, and a place before it if the log still has one.

        There is none in what was deleted since, whose log may be there for a while.
        """
        place = await self._hub.before_row(sent.conversation, sent.numbers[0])
        try:
            await self._store.conversations.get(owner, sent.conversation)
        except NotFound:
            place = None
        acked(sent, place)

    async def _proceed(self, owner: Owner, sent: Sent) -> None:
        """Tell what was committed, wake who has to stop, and run what is this instance's."""
        for stopping in sent.stopping:
            self._supervisor.wake(stopping)
        for ended in sent.ended:
            self._supervisor.ended(ended)
        rows: Sequence[Commit] = [
            Commit(number=number, kind=CommitKind.MESSAGE, row=row)
            for number, row in zip(sent.numbers, sent.rows, strict=False)
        ]
        await self._hub.tell(owner.tenant, sent.conversation, rows)
        failpoints.reach("appended")
        if sent.run is not None:
            self._supervisor.start(sent.run)
        elif not sent.queued:
            self._supervisor.look(owner.tenant, sent.conversation)
        if sent.created:
            await self._announce_new(owner, sent.conversation)

    async def _announce_new(self, owner: Owner, conversation: str) -> None:
        """Told at most once: if it cannot be read now, or was deleted already, lists go without."""
        with suppress(StorageError):
            made = await self._store.conversations.get(owner, conversation)
            self._tell(owner, made, "created")

    def _tell(self, owner: Owner, conversation: Conversation, change: Told) -> None:
        """Keep the owner's lists level, at most once."""
        shown = shapes.conversation(conversation)
        self._announce(owner, s.ConversationsChanged(conversation=shown, change=change))


def _once(frame: Asking | c.Select | c.Approve | c.ToolResult | c.GiveFeedback) -> Once:
    """The id and what it stands for: the same request in any spelling is the same."""
    return Once(frame.id, hashlib.sha256(_CANONICAL.encode(frame)).hexdigest())


def _request(frame: c.Chat, trace: str | None) -> Request:
    tools = [
        ToolOffer(name=tool.name, description=tool.description, parameters=tool.parameters)
        for tool in frame.tools or ()
        if isinstance(tool, c.ClientTool)
    ]
    return Request(
        model=frame.model,
        temperature=frame.temperature,
        max_tokens=frame.max_tokens,
        system_prompt=frame.system_prompt,
        tools=tuple(tools),
        metadata=frame.metadata,
        trace=trace,
    )


def _json(value: object) -> Json:
    return EMPTY_OBJECT if value is None else Json(msgspec.json.encode(value))


def _end(ended: Ended) -> Commit:
    return Commit(number=ended.number, kind=CommitKind.COMPLETE, row=ended)
