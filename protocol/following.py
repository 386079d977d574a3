"""The conversations that a client follows, and which of them a frame belongs to."""

from typing import TypeAlias

from msgspec.structs import replace

from protocol.codec import Codec, Unknown
from protocol.frames.from_client import Attach, Attachment, Hello
from protocol.frames.from_server import (
    Attached,
    ConversationChanged,
    Logged,
    MessageMade,
    Reset,
    Status,
)
from protocol.limits import ATTACHED_CONVERSATIONS, GREETING_FRAME_BYTES
from protocol.replica import Effect, Replica
from protocol.types import Position, Role

OfConversation: TypeAlias = Attached | Logged | Unknown


class Following:
    """One replica per followed conversation."""

    def __init__(self) -> None:
        self.replicas: dict[str, Replica] = {}
        self._history: dict[str, int] = {}  # messages wanted of a snapshot, where it was said
        self._homes: dict[str, str] = {}  # an answer's conversation, which its chunks do not name

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"<Following {len(self.replicas)}>"

    def __len__(self) -> int:
        """How many conversations are followed."""
        return len(self.replicas)

    def __contains__(self, conversation: str) -> bool:
        """Whether the conversation is followed."""
        return conversation in self.replicas

    def begin(
        self, conversation: str, *, history: int | None = None, at: Position | None = None
    ) -> None:
        """Follow, from a snapshot of so many messages, or from the start of what is known."""
        self.replicas[conversation] = Replica(conversation, at)
        if history is not None:
            self._history[conversation] = history

    def end(self, conversation: str) -> bool:
        """Forget the conversation; False if it was not followed."""
        self._history.pop(conversation, None)
        self._homes = {a: home for a, home in self._homes.items() if home != conversation}
        return self.replicas.pop(conversation, None) is not None

    def lost(self) -> None:
        """The connection ended."""
        for replica in self.replicas.values():
            replica.lost()

    def attach(self, conversation: str) -> Attach:
        """The frame that brings the conversation level from where it stands."""
        resume = self.replicas[conversation].resume
        return Attach(
            conversation=conversation,
            epoch=resume.epoch if resume else None,
            seq=resume.seq if resume else None,
            history=self._history.get(conversation),
        )

    def attaches(self) -> list[Attach]:
        """Those for all, the newest first: it is the likeliest to be looked at."""
        return [self.attach(conversation) for conversation in reversed(self.replicas)]

    def take(self, frame: OfConversation) -> tuple[str, Effect]:
        """Apply a frame; what belongs nowhere is ignored, and may leave a hole."""
        conversation = self._conversation(frame)
        replica = self.replicas.get(conversation)
        if replica is None:
            return conversation, Effect.IGNORED
        effect = replica.apply(frame)
        self._learn(frame, conversation)
        return conversation, effect

    def _conversation(self, frame: OfConversation) -> str:
        if isinstance(frame, ConversationChanged):
            return frame.conversation.id
        named: str | None = getattr(frame, "conversation", None)
        return named or self._homes.get(getattr(frame, "answer", ""), "")

    def _learn(self, frame: OfConversation, conversation: str) -> None:
        """Note whose the answers are that this frame names."""
        match frame:
            case Attached():
                shown = [answer.answer for answer in frame.answers]
                rows = [row.id for row in frame.messages or [] if row.role is Role.ASSISTANT]
                self._homes.update(dict.fromkeys([*shown, *rows], conversation))
            case MessageMade(message=row) if row.role is Role.ASSISTANT:
                self._homes[row.id] = conversation
            case Status() | Reset():
                self._homes[frame.answer] = conversation


def greeting(hello: Hello, attaches: list[Attach], codec: Codec) -> Hello:
    """`hello` with as many of the attachments, from the first on, as its small cap leaves room."""
    size = len(codec.encode(hello)) + len(',"attach":[]')
    fitting: list[Attachment] = []
    for attach in attaches[:ATTACHED_CONVERSATIONS]:
        size += len(codec.encode(attach))  # which has a `type` more, so this errs on the safe side
        if size > GREETING_FRAME_BYTES:
            break
        fitting.append(
            Attachment(
                conversation=attach.conversation,
                epoch=attach.epoch,
                seq=attach.seq,
                history=attach.history,
            )
        )
    return replace(hello, attach=fitting or None)
