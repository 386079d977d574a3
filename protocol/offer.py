"""What this principal is offered, and which frames go beyond it."""

from enum import StrEnum

import msgspec
from msgspec import Struct

from protocol.codec import Refusal
from protocol.codes import ErrorCode
from protocol.frames.from_client import (
    Approve,
    Chat,
    ClientFrame,
    ClientTool,
    Edit,
    ToolResult,
)
from protocol.limits import Limits


class Feature(StrEnum):
    """What a server may have or not; `welcome.features` names what it has."""

    RETRIEVAL = "retrieval"
    ATTACHMENTS = "attachments"
    TOOLS = "tools"
    CLIENT_TOOLS = "client_tools"
    APPROVALS = "approvals"


class Offer(Struct, frozen=True):
    """The limits and features of one session."""

    limits: Limits = Limits()
    features: frozenset[str] = frozenset()

    def refuse(self, frame: ClientFrame) -> Refusal | None:
        """Why `frame` exceeds this offer, or None; the types bound what no server may exceed."""
        match frame:
            case Chat():
                return self._refuse_chat(frame)
            case Edit():
                return self._too_long(frame.id, "content", frame.content)
            case ToolResult(content=str(content)):
                return self._too_long(frame.id, "content", content) or self._lacks_call(frame)
            case ToolResult() | Approve():
                return self._lacks_call(frame)
        return None

    def _refuse_chat(self, chat: Chat) -> Refusal | None:
        limits, tools, own = self.limits, chat.tools or [], declares_tools(chat)
        used = {
            "retrieval": (Feature.RETRIEVAL, bool(chat.retrieval)),
            "attachments": (Feature.ATTACHMENTS, bool(chat.attachments)),
            "tools": (Feature.TOOLS, len(tools) > own),
            "tools[…].parameters": (Feature.CLIENT_TOOLS, own > 0),
        }
        for field, (feature, is_used) in used.items():
            if is_used and feature not in self.features:
                return _invalid(chat.id, field, "is not offered here (see `welcome.features`)")
        sizes = {
            "attachments": (len(chat.attachments or []), limits.message_attachments),
            "tools": (len(tools), limits.tools),
            "max_tokens": (chat.max_tokens or 0, limits.max_tokens),
            "metadata": (_metadata_bytes(chat), limits.metadata_bytes),
        }
        for field, (size, most) in sizes.items():
            if size > most:
                return _invalid(chat.id, field, f"is over its limit of {most}")
        prompt = chat.system_prompt or ""
        return self._too_long(chat.id, "content", chat.content) or self._too_long(
            chat.id, "system_prompt", prompt
        )

    def _too_long(self, ref: str, field: str, text: str) -> Refusal | None:
        limits = self.limits
        most = limits.system_prompt_bytes if field == "system_prompt" else limits.content_bytes
        if len(text) <= most // 4 or len(text.encode()) <= most:  # UTF-8 takes at most 4 bytes
            return None
        words = f"`{field}` is over its limit of {most} bytes; send longer text as an attachment."
        return Refusal(ErrorCode.MESSAGE_TOO_LONG, words, ref)

    def _lacks_call(self, frame: Approve | ToolResult) -> Refusal | None:
        feature = Feature.APPROVALS if isinstance(frame, Approve) else Feature.CLIENT_TOOLS
        if feature in self.features:
            return None
        return Refusal(ErrorCode.UNAVAILABLE, f"This server has no {feature} now.", frame.id)


def declares_tools(chat: Chat) -> int:
    """How many tools of the client's own a message declares."""
    return sum(isinstance(tool, ClientTool) for tool in chat.tools or [])


def _metadata_bytes(chat: Chat) -> int:
    return len(msgspec.json.encode(chat.metadata)) if chat.metadata else 0


def _invalid(ref: str, field: str, problem: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_FIELD, f"`{field}` {problem}.", ref)
