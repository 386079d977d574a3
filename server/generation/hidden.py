"""Signs that no reader sees, taken out before a model reads a text.

They are stored as sent. Shown to a model they carry what a person beside the screen cannot notice:
orders spelt in tags, words that begin where the eye sees none, text that reads backwards.
"""

import re
import unicodedata

# Marks on one base sign; no script stacks more, and a thousand are one sign to the eye.
MOST_MARKS = 8

# Zero-width signs and fillers, direction controls, tags, and whatever else Unicode lets be ignored.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
# Joiners shape letters of Arabic and Indic scripts and hold emoji together; elsewhere they hide.
_IDLE_JOINER = re.compile(
    "(?<![^\0-\x7f\u200c\u200d])[\u200c\u200d]|[\u200c\u200d](?![^\0-\x7f\u200c\u200d])"
)


def visible(text: str) -> str:
    """The text as a reader sees it."""
    if text.isascii():
        return text
    return _unpiled(_IDLE_JOINER.sub("", _HIDDEN.sub("", text)))


def _unpiled(text: str) -> str:
    kept = []
    marks = 0
    for sign in text:
        marks = marks + 1 if sign > "\u02ff" and unicodedata.category(sign) == "Mn" else 0
        if marks <= MOST_MARKS:
            kept.append(sign)
    return "".join(kept)
