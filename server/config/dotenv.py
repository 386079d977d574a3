r"""The file `.env`: lines of `NAME=value`, as a shell would read them, and no more than that.

A value stands bare (up to ` #` or the line's end), in single quotes (as it is) or in double quotes
(where `\n`, `\t`, `\r`, `\"`, `\\`, `\$` and `` \` `` stand for one character). A quoted value may
span lines. Nothing is substituted: `$NAME` is five characters.
"""

import re

from server.config.errors import ConfigError, Problem

_BLANK = r"[^\S\n]"
_NOTHING = re.compile(rf"{_BLANK}*(?:\#[^\n]*)?(?:\n|\Z)")
_NAME = re.compile(rf"{_BLANK}*(?:export{_BLANK}+)?([A-Za-z_][A-Za-z0-9_]*){_BLANK}*=")
_QUOTED = re.compile(
    rf"""{_BLANK}*(?:'([^']*)'|"((?:[^"\\]|\\.)*)")(?:{_BLANK}+\#[^\n]*|{_BLANK}*)(?:\n|\Z)""",
    re.DOTALL,
)
_BARE = re.compile(rf"(?!{_BLANK}*['\"])([^\n]*)(?:\n|\Z)")
_COMMENT = re.compile(rf"{_BLANK}\#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$", "`": "`"}


def legible(raw: bytes) -> str:
    """The file's text; `ConfigError` where it has none, with the line at which that shows."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _no_text(raw[: error.start].count(b"\n")) from None
    if "\0" in text:
        raise _no_text(text.count("\n", 0, text.index("\0")))
    return text


def _no_text(lines_before: int) -> ConfigError:
    sentence = "is not text in UTF-8; save the file as that."
    return ConfigError([Problem(f".env, line {lines_before + 1}", sentence)])


def parse(text: str) -> tuple[dict[str, str], list[Problem]]:
    """What the file sets, by the last line of each name, and the lines that cannot be read."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    values: dict[str, str] = {}
    problems: list[Problem] = []
    at = 0
    while at < len(text):
        if nothing := _NOTHING.match(text, at):
            at = nothing.end()
        elif entry := _entry(text, at):
            name, value, at = entry
            values[name] = value
        else:
            # It may be half of a secret, so the line is named by its number alone.
            line = text.count("\n", 0, at) + 1
            sentence = "is not NAME=value, or its quotation mark is not closed."
            problems.append(Problem(f".env, line {line}", sentence, "PARLEY_PORT=8000"))
            end = text.find("\n", at)
            at = len(text) if end < 0 else end + 1
    return values, problems


def _entry(text: str, at: int) -> tuple[str, str, int] | None:
    """A name, its value, and where the next line begins."""
    name = _NAME.match(text, at)
    if name is None:
        return None
    if quoted := _QUOTED.match(text, name.end()):
        single, double = quoted.groups()
        return name[1], _unescaped(double) if single is None else single, quoted.end()
    if bare := _BARE.match(text, name.end()):
        return name[1], _COMMENT.sub("", bare[1]).strip(), bare.end()
    return None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[0]), text)
