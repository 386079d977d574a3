"""A conversation as a file: all of its tree as JSON, or its active branch to read as Markdown.

Written piece by piece while it is read page by page, so that its length costs no memory.
"""

import re
import unicodedata
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

import msgspec

from protocol.frames import objects as o
from protocol.types import Role

NAME_CHARACTERS = 80

_MEDIA = {"json": "application/json", "md": "text/markdown; charset=utf-8"}
_SPEAKERS = {Role.USER: "You", Role.ASSISTANT: "Assistant", Role.SYSTEM: "System"}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!])")


def headers(conversation: o.Conversation, kind: str) -> dict[str, str]:
    """The answer's: a browser saves it under the conversation's title."""
    name = f"{file_name(conversation.title or '') or conversation.id}.{kind}"
    plain = f"{conversation.id}.{kind}".replace(":", "-").replace("~", "-")
    return {
        "Content-Type": _MEDIA[kind],
        # The first is for who cannot read the second (RFC 6266).
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}",
    }


def file_name(title: str) -> str:
    """What of a title every file system takes, and nothing that could hide what the file is."""
    kept = (
        each if unicodedata.category(each)[0] in "LMN" or each in "-_" else " "
        for each in unicodedata.normalize("NFC", title)
    )
    return " ".join("".join(kept).split())[:NAME_CHARACTERS].strip()


async def as_json(
    conversation: dict[str, object], pages: AsyncIterator[Sequence[o.Message]]
) -> AsyncIterator[bytes]:
    """`{conversation, messages}`: messages of all branches, in the order they were made."""
    yield b'{"conversation":' + msgspec.json.encode(conversation) + b',"messages":['
    between = b""
    async for page in pages:
        for message in page:
            yield between + msgspec.json.encode(message)
            between = b","
    yield b"]}"


async def as_markdown(
    conversation: o.Conversation, pages: AsyncIterator[Sequence[o.Message]]
) -> AsyncIterator[bytes]:
    """Who said what, when; what was said stays as it was written."""
    yield f"# {_line(conversation.title or 'Conversation')}\n".encode()
    async for page in pages:
        for message in page:
            yield _said(message).encode()


def _said(message: o.Message) -> str:
    who = _SPEAKERS[message.role]
    model = f", {_line(message.model)}" if message.model else ""
    parts = [f"## {who}{model}", f"*{message.created_at}*", message.content.strip("\n")]
    if message.outcome is not None and message.outcome != "complete":
        parts.append(f"*({message.outcome})*")
    if message.sources:
        parts.append("\n".join(f"- {_source(source)}" for source in message.sources))
    return "\n" + "\n\n".join(part for part in parts if part) + "\n"


def _source(source: o.Source) -> str:
    title = _line(source.title)
    if source.url is None or not source.url.startswith(("http://", "https://")):
        return title
    return f"[{title}](<{quote(source.url, safe=':/?#[]@!$&()*+,;=%~-._')}>)"


def _line(text: str) -> str:
    """A text of somebody's on one line, in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
