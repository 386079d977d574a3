"""What a conversation is saved as, and under which name."""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import unquote

import msgspec
import pytest
from msgspec import structs

from protocol.frames.objects import Conversation, Message, Source
from protocol.types import ConversationStatus, Outcome, Role
from server.http.export import as_json, as_markdown, file_name, headers

AT = "2026-11-20T09:30:00.000Z"
TALK = Conversation(
    id="c_1",
    title="A title",
    status=ConversationStatus.ACTIVE,
    leaf="m_2",
    message_count=2,
    created_at=AT,
    updated_at=AT,
)
ASKED = Message(
    id="m_1",
    conversation="c_1",
    role=Role.USER,
    content="# not a heading\n<b>as written</b>",
    parent=None,
    siblings=["m_1"],
    created_at=AT,
)
ANSWERED = structs.replace(
    ASKED,
    id="m_2",
    role=Role.ASSISTANT,
    content="Yes.\n",
    parent="m_1",
    outcome=Outcome.STOPPED,
    model="cohere/command-a",
)


async def pages(*messages: Message) -> AsyncIterator[Sequence[Message]]:
    """A page for each message, and an empty one."""
    for message in messages:
        yield [message]
    yield []


async def text_of(pieces: AsyncIterator[bytes]) -> str:
    """The whole file."""
    return b"".join([piece async for piece in pieces]).decode()


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("A title", "A title"),
        ("Über die Straße", "Über die Straße"),
        ("../../etc/passwd", "etc passwd"),
        ('a\\b:c*d?e"f<g>h|i', "a b c d e f g h i"),
        ("line\r\nSet-Cookie: x=1", "line Set-Cookie x 1"),
        ("report\u202egpj.exe", "report gpj exe"),
        (".hidden", "hidden"),
        ("  spaces \t\u00a0 ", "spaces"),
        ("한국어 (2)", "한국어 2"),
        ("e\u0301", "é"),
        ("x" * 500, "x" * 80),
        ("👍", ""),
        ("", ""),
    ],
)
def test_a_name_is_of_letters_digits_and_dashes(title: str, name: str) -> None:
    """Nothing leads elsewhere, ends a header, or hides what kind of file it is."""
    assert file_name(title) == name
    told = headers(structs.replace(TALK, title=title or None), "md")
    plain, extended = told["Content-Disposition"].split("; ")[1:]
    assert plain == 'filename="c_1.md"'
    assert extended.isascii()
    assert unquote(extended.removeprefix("filename*=UTF-8''")) == f"{name or 'c_1'}.md"


async def test_json_is_one_document_however_it_was_read() -> None:
    """With nobody's message too."""
    for messages in ([], [ASKED], [ASKED, ANSWERED]):
        told = msgspec.json.decode(await text_of(as_json({"id": "c_1"}, pages(*messages))))
        assert told["conversation"] == {"id": "c_1"}
        assert [msgspec.convert(each, type=Message) for each in told["messages"]] == messages


async def test_markdown_says_who_spoke_and_how_it_ended() -> None:
    """What was said stays as it was written; sources follow their answer."""
    sources = [
        Source(document="d_1", title="The [guide]", url="https://example.org/a b?x=(1)>"),
        Source(document="d_2", title="No link", url="javascript:alert(1)"),
        Source(document="d_3", title="No\naddress"),
    ]
    answered = structs.replace(ANSWERED, sources=sources)
    talk = structs.replace(TALK, title="On\n# <stars>")
    text = await text_of(as_markdown(talk, pages(ASKED, answered)))
    assert text == (
        "# On \\# \\<stars\\>\n"
        f"\n## You\n\n*{AT}*\n\n# not a heading\n<b>as written</b>\n"
        f"\n## Assistant, cohere/command-a\n\n*{AT}*\n\nYes.\n\n*(stopped)*\n\n"
        "- [The \\[guide\\]](<https://example.org/a%20b?x=(1)%3E>)\n- No link\n- No address\n"
    )


async def test_a_conversation_without_a_title_is_called_that() -> None:
    """And is saved under its id."""
    talk = structs.replace(TALK, title=None, id="c:1~2")
    assert (await text_of(as_markdown(talk, pages()))) == "# Conversation\n"
    assert 'filename="c-1-2.json"' in headers(talk, "json")["Content-Disposition"]
