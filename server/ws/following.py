"""Which conversations one socket follows, and how it is brought level with each."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from protocol.codes import ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.limits import HISTORY_DEFAULT
from protocol.types import Position
from server.errors import ChatError
from server.streams import shapes
from server.streams.hub import Hub
from server.telemetry.logs import get_logger
from server.ws import snapshot
from server.ws.attachment import Attachment
from server.ws.outbox import Outbox
from server.ws.snapshot import Shown
from storage.errors import NotFound, StorageError
from storage.log import Lost
from storage.store import History
from storage.values import Owner

LEVEL_WITHIN_S = 5.0
RETRY_S = 0.25

Spawn = Callable[[Coroutine[Any, Any, None]], None]

_log = get_logger()


class Following:
    """A socket's attachments; `adrift` is called if one cannot be brought level in time."""

    def __init__(
        self, hub: Hub, history: History, outbox: Outbox, spawn: Spawn, adrift: Callable[[], None]
    ) -> None:
        self.owner = Owner("", "")  # nobody, until the socket is greeted
        self.outbox = outbox
        self._hub = hub
        self._history = history
        self._spawn = spawn
        self._adrift = adrift
        self._attachments: dict[str, Attachment] = {}
        self._sending = Counter[str]()  # what is being sent, by conversation
        self._reserved = 0  # places for what is being sent
        self._under_way = 0  # attaches and sendings
        self._gone = set[str]()  # conversations deleted meanwhile
        self._over = False

    def __len__(self) -> int:
        return len(self._attachments)

    def __contains__(self, conversation: str) -> bool:
        return conversation in self._attachments

    async def attach(
        self, wanted: c.Attach, most: int, answered: Callable[[s.Attached], None]
    ) -> None:
        """Bring the socket level from where it says it is, or by a snapshot, and follow."""
        with self._doing():
            await self._attach(wanted, most, answered)

    async def _attach(
        self, wanted: c.Attach, most: int, answered: Callable[[s.Attached], None]
    ) -> None:
        self.demand_room(wanted.conversation, most)
        doubts = self._hub.doubts
        if await self._resume(wanted, most, answered, doubts):
            return
        count = HISTORY_DEFAULT if wanted.history is None else wanted.history
        shown = await self._shown(wanted.conversation, count)
        self.demand_room(wanted.conversation, most)  # others may have come in the meantime
        await self._join(self._show(shown, answered), shown.position, doubts)

    async def _resume(
        self, wanted: c.Attach, most: int, answered: Callable[[s.Attached], None], doubts: int
    ) -> bool:
        """From where it says it is, if the log can go on from there."""
        if wanted.epoch is None or wanted.seq is None:
            return False
        position = Position(wanted.epoch, wanted.seq)
        rows = await self._rows_told(wanted.conversation, position)
        if rows is None:
            return False
        # One query, which also says whether the conversation is the owner's at all.
        now = await self._history.standing(self.owner, wanted.conversation, position)
        if rows > now.commits:  # SQL has gone back, to a backup
            await self._hub.renew(self.owner.tenant, wanted.conversation, position.epoch)
            return False
        self.demand_room(wanted.conversation, most)
        attachment = self._begin(wanted.conversation, {}, now.stored)
        answered(
            s.Attached(
                conversation=wanted.conversation,
                epoch=position.epoch,
                seq=position.seq,
                recovered=True,
                leaf=now.leaf,
                answers=[shapes.under_way(each) for each in now.unfinished],
            )
        )
        await self._join(attachment, position, doubts)
        return True

    def follow(self, conversation: str, position: Position | None) -> None:
        """Sending attaches: follow from the place before what was sent; None: it is gone."""
        if conversation in self._attachments or conversation in self._gone:
            return
        attachment = self._begin(conversation, {}, {})
        self._spawn(self._bring_level(attachment, position, self._hub.doubts))

    def detach(self, conversation: str) -> None:
        """Follow no more."""
        attachment = self._attachments.pop(conversation, None)
        if attachment is not None:
            self._hub.leave(conversation, attachment)

    def gone(self, conversation: str) -> None:
        """It was deleted: also what was read of it before leads to no following."""
        self.detach(conversation)
        if self._under_way:
            self._gone.add(conversation)

    def end(self) -> None:
        """The socket is gone; what is still under way for it comes to nothing."""
        self._over = True
        for conversation in tuple(self._attachments):
            self.detach(conversation)

    def typing(self, conversation: str) -> None:
        """Tell the conversation's other devices; of one that is not followed, nothing."""
        attachment = self._attachments.get(conversation)
        if attachment is not None:
            frame = s.Typing(conversation=conversation, user=self.owner.user)
            self._hub.aside(conversation, frame, attachment)

    def sending(self, conversation: str | None) -> Callable[[], None]:
        """Something is being sent there: keep it a place, and what comes behind its `ack`.

        What is returned is called with the `ack`, and again whatever comes of it.
        """
        reserved = conversation not in self._attachments
        self._reserved += reserved
        self._under_way += 1
        if conversation is not None:
            self._sending[conversation] += 1
        over = False

        def sent() -> None:
            nonlocal over
            if over:
                return
            over = True
            self._reserved -= reserved
            if conversation is not None:
                self._sent(conversation)
            self._done()

        return sent

    @contextmanager
    def _doing(self) -> Iterator[None]:
        self._under_way += 1
        try:
            yield
        finally:
            self._done()

    def _done(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._gone.clear()

    def is_sending(self, conversation: str) -> bool:
        """Whether an `ack` is due there, which comes before what it is about."""
        return conversation in self._sending

    def _sent(self, conversation: str) -> None:
        self._sending[conversation] -= 1
        if not self._sending[conversation]:
            del self._sending[conversation]
            if (attachment := self._attachments.get(conversation)) is not None:
                attachment.release()

    def demand_room(self, conversation: str | None, most: int) -> None:
        """Refuse one attachment too many."""
        taken = len(self._attachments) + self._reserved
        if conversation not in self._attachments and taken >= most:
            words = f"This socket follows {most} conversations already; detach from one first."
            raise ChatError(ErrorCode.QUOTA_EXCEEDED, words)

    def lost(self, attachment: Attachment) -> None:
        """Its position is gone: a snapshot comes unasked."""
        if self.has(attachment):
            self._spawn(self._bring_level(attachment, None, self._hub.doubts))

    def has(self, attachment: Attachment) -> bool:
        """Whether it is still how the socket follows its conversation."""
        return self._attachments.get(attachment.conversation) is attachment

    def _begin(
        self, conversation: str, lengths: dict[str, int], stored: dict[str, int] | None = None
    ) -> Attachment:
        if conversation in self._gone:
            raise NotFound("conversation", conversation)
        self.detach(conversation)
        attachment = Attachment(self, conversation, lengths, stored)
        if not self._over:
            self._attachments[conversation] = attachment
        return attachment

    async def _rows_told(self, conversation: str, position: Position) -> int | None:
        """The last commit that the log tells, if it can go on from that position."""
        page = await self._hub.read(conversation, position, 1)
        return None if isinstance(page, Lost) else page.rows

    async def _shown(self, conversation: str, count: int) -> Shown:
        return await snapshot.show(self._hub, self._history, self.owner, conversation, count)

    def _show(self, shown: Shown, answered: Callable[[s.Attached], None]) -> Attachment:
        attachment = self._begin(shown.attached.conversation, shown.lengths)
        answered(shown.attached)
        for chunk in shown.rest:
            self.outbox.send(chunk)
        return attachment

    async def _join(self, attachment: Attachment, position: Position, doubts: int) -> None:
        """Follow from there on; what cannot be had at once comes beside the request.

        `doubts` are those of before that position was looked up.
        """
        try:
            if not self.has(attachment):
                return
            if doubts == self._hub.doubts:
                await self._hub.join(
                    self.owner.tenant, attachment.conversation, attachment, position
                )
                return
        except StorageError:
            pass
        except Exception as error:  # noqa: BLE001 - else it would follow nothing, unnoticed
            self._fail(attachment, error)
            return
        self._spawn(self._bring_level(attachment, position, doubts))

    async def _bring_level(
        self, attachment: Attachment, position: Position | None, doubts: int
    ) -> None:
        """Until it follows from its position, is let go, or too much time has passed.

        None: its position is gone, and it is shown another. That a log is away for a moment costs
        nobody a snapshot.
        """
        conversation = attachment.conversation
        deadline = asyncio.get_running_loop().time() + LEVEL_WITHIN_S
        while self.has(attachment):
            try:
                if position is not None and doubts == self._hub.doubts:
                    await self._hub.join(self.owner.tenant, conversation, attachment, position)
                    return
                doubts = self._hub.doubts
                shown = await self._shown(conversation, HISTORY_DEFAULT)
                if not self.has(attachment):  # detached meanwhile, or attached by itself
                    return
                attachment = self._show(shown, self.outbox.send)
                position = shown.position
            except NotFound:  # to attach again, which is refused, is how the client learns of it
                self._give_up(attachment)
            except StorageError:
                if asyncio.get_running_loop().time() > deadline:
                    self._give_up(attachment)
                else:
                    await asyncio.sleep(RETRY_S * (0.5 + random.random()))  # noqa: S311
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(attachment, error)

    def _give_up(self, attachment: Attachment) -> None:
        """It cannot be brought level, and the socket ends with it; one that was let go can stay."""
        if self.has(attachment):
            self.detach(attachment.conversation)
            self._adrift()

    def _fail(self, attachment: Attachment, error: Exception) -> None:
        _log.error(
            "a socket could not follow", conversation=attachment.conversation, exc_info=error
        )
        self._give_up(attachment)
