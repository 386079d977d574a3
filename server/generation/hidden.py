"""Signs that no reader sees, taken out before a model reads a text.

They are stored as sent. Shown to a model they carry what a person beside the screen cannot notice:
orders spelt in tags, words that begin where the eye sees none, text that reads backwards.
"""

import re
import unicodedata
from functools import cache

# Marks on one base sign; no script stacks more, and a thousand are one sign to the eye.
MOST_MARKS = 8

# Zero-width signs and fillers, direction controls, tags, and whatever else Unicode lets be ignored.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
# Joiners shape letters of Arabic and Indic scripts and hold emoji together; elsewhere they hide.
# The joiner itself comes first, so that texts without one are gone through quickly.
_IDLE_JOINER = re.compile(
    "[\u200c\u200d](?:(?<![^\0-\x7f\u200c\u200d].)|(?![^\0-\x7f\u200c\u200d]))"
)
# Marks lie between these, but for hidden ones, and are neither of words nor space; a run so long is
# rare, and may be piled marks.
_MARKS_BEGIN, _MARKS_END = 0x300, 0x1F000
_RUN = re.compile(rf"[^\w\s\0-\u02ff\U0001f000-\U0010ffff]{{{MOST_MARKS + 1}}}")


def visible(text: str) -> str:
    """The text as a reader sees it."""
    if text.isascii():
        return text
    text = _IDLE_JOINER.sub("", _HIDDEN.sub("", text))
    return _piled().sub(r"\1", text) if _RUN.search(text) else text


@cache
def _piled() -> re.Pattern[str]:
    """Too many marks on one sign. Made when first wanted: going through Unicode takes 10 ms."""
    ranges: list[list[int]] = []
    for code in range(_MARKS_BEGIN, _MARKS_END):
        if unicodedata.category(chr(code)) != "Mn":
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    mark = "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
    return re.compile(f"([{mark}]{{{MOST_MARKS}}})[{mark}]+")
