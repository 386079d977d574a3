"""What waits to be told of an answer, piece by piece: texts, and frames in their places (pure)."""

from collections.abc import Iterable, Iterator, Sequence

from protocol.frames.from_server import Chunk, Logged, Reset, Status, Thought, Tool
from protocol.text import utf16_length, utf16_slice

# Characters of a chunk or thought: even if each takes six bytes as an escape, it fits a frame.
CHUNK_CHARACTERS = 32 * 1024


def chunks(answer: str, text: str, offset: int) -> list[Chunk]:
    """The text as frames."""
    cut = []
    for begin in range(0, len(text), CHUNK_CHARACTERS):
        part = text[begin : begin + CHUNK_CHARACTERS]
        cut.append(Chunk(answer=answer, offset=offset, text=part))
        offset += utf16_length(part)
    return cut


def gathered(queue: Sequence[str | Logged]) -> Iterator[str | Logged]:
    """With adjacent texts as one."""
    texts: list[str] = []
    for item in queue:
        if isinstance(item, str):
            texts.append(item)
            continue
        if texts:
            yield "".join(texts)
            texts.clear()
        yield item
    if texts:
        yield "".join(texts)


def taken_back(frames: Iterable[Logged]) -> list[str | Logged]:
    """What was made ready and has to wait again."""
    return [frame.text if isinstance(frame, Chunk) else frame for frame in frames]


def promised(queue: Sequence[str | Logged], units: int) -> list[str | Logged]:
    """What is told also if the rest is dropped: so much of the text, and what SQL has committed to.

    Tool calls and resets stand in SQL, where a reload finds them.
    """
    kept: list[str | Logged] = []
    for item in queue:
        if isinstance(item, str):
            if units > 0:
                text = before(item, units)
                kept.append(text)
                units -= utf16_length(text)
        elif isinstance(item, Tool | Reset) or (units > 0 and isinstance(item, Status)):
            kept.append(item)
    return kept


def without(queue: Sequence[str | Logged], units: int) -> list[str | Logged]:
    """What is left when so much of the text is told elsewhere."""
    left: list[str | Logged] = []
    for item in queue:
        if isinstance(item, str) and units > 0:
            rest = behind(item, units)
            units -= utf16_length(item)
            if rest:
                left.append(rest)
        else:
            left.append(item)
    return left


def characters(item: str | Logged) -> int:
    """Those that a model made, and whose number nothing else bounds."""
    if isinstance(item, str):
        return len(item)
    return len(item.text) if isinstance(item, Thought) else 0


def before(text: str, units: int) -> str:
    """Its first units, or all of it if it has no more."""
    return text if utf16_length(text) <= units else _slice(text, 0, units)


def behind(text: str, units: int) -> str:
    """The text without its first units."""
    return text if units <= 0 else _slice(text, min(units, utf16_length(text)), None)


def _slice(text: str, start: int, end: int | None) -> str:
    part = utf16_slice(text, start, utf16_length(text) if end is None else end)
    assert part is not None, "what is stored ends between code points"
    return part
