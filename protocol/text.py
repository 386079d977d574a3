"""Text as the wire counts it: UTF-16 code units, well-formed, without U+0000.

Browsers index strings by UTF-16 code units, so every offset and length on the wire does too.
"""

import re
from zlib import crc32 as _crc32

_UNPAIRED = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"


def utf16_length(text: str) -> int:
    """The length of `text` in UTF-16 code units."""
    # One pass in C: characters beyond the BMP are the ones that take two units.
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def utf16_slice(text: str, start: int, end: int) -> str | None:
    """The part between two UTF-16 offsets; None if one cuts a code point or lies outside."""
    if text.isascii():
        return text[start:end] if 0 <= start <= end <= len(text) else None
    units = text.encode("utf-16-le")
    if not 0 <= start <= end <= len(units) // 2:
        return None
    try:
        # Each side must decode by itself, else an offset stands between the halves of a pair.
        units[: start * 2].decode("utf-16-le")
        return units[start * 2 : end * 2].decode("utf-16-le")
    except UnicodeDecodeError:
        return None


def crc32(text: str, so_far: int = 0) -> int:
    """CRC-32 of the text's UTF-8 bytes; `so_far` continues from an earlier part."""
    return _crc32(text.encode(), so_far)


def well_formed(text: str) -> bool:
    """Whether `text` may travel: no U+0000 and no unpaired surrogate."""
    return "\0" not in text and (text.isascii() or not _UNPAIRED.search(text))


def mend(text: str) -> str:
    """A vendor's broken text made fit to travel: pairs joined, unpaired halves and NUL replaced."""
    if well_formed(text):
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _UNPAIRED.sub(REPLACEMENT, joined).replace("\0", REPLACEMENT)
