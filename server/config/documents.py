"""What is generated from the settings: `.env.example`, and the tables in the README."""

from itertools import groupby
from textwrap import wrap

from server.config.variables import VARIABLES, Variable, spelled

BEGIN = "<!-- settings: generated from server/config/settings.py by scripts/generate -->"
END = "<!-- end of settings -->"

_SECTIONS = {
    "": "The server",
    "net": "Connections",
    "http": "HTTP beside the socket",
    "auth": "Tokens, tickets and visitors",
    "limits": "Limits",
    "socket": "Sockets of clients",
    "answers": "Answers",
    "streams": "Followed conversations",
    "log": "Logs of conversations",
    "database": "The database",
    "redis": "Redis",
}
_HEAD = """\
# Settings of Parley. Copy this file to .env, and take the # from what is to be otherwise.
# The environment goes before this file. What is marked as a secret may also come in a file:
# NAME_FILE=/path/to/it instead of NAME.
"""


def env_example() -> str:
    """Every setting with what it is, commented out."""
    lines = [_HEAD]
    for section, variables in groupby(VARIABLES, lambda variable: variable.section):
        lines.append(f"\n# == {_SECTIONS[section]} ==\n")
        lines += [_assignment(variable) for variable in variables]
    return "\n".join(lines)


def in_readme(readme: str) -> str:
    """The README with the tables of today between its two marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md lacks the line {BEGIN!r} or {END!r}")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """One table for each section."""
    texts = []
    for section, variables in groupby(VARIABLES, lambda variable: variable.section):
        rows = [_row(variable) for variable in variables]
        head = ["| variable | default | what it is |", "|---|---|---|"]
        texts.append("\n".join([f"**{_SECTIONS[section]}**", "", *head, *rows, ""]))
    return "\n".join(texts)


def _assignment(variable: Variable) -> str:
    comment = wrap(_words(variable), 98, initial_indent="# ", subsequent_indent="# ")
    if variable.example is not None:
        comment.append(f"# For example: {variable.example}")
    return "\n".join([*comment, f"#{variable.name}={spelled(variable.default)}", ""])


def _row(variable: Variable) -> str:
    default = f"`{spelled(variable.default)}`" if spelled(variable.default) else "–"
    example = f" For example `{variable.example}`." if variable.example is not None else ""
    return f"| `{variable.name}` | {default} | {_words(variable)}{example} |"


def _words(variable: Variable) -> str:
    words = [variable.description]
    if variable.secret:
        words.append("a secret")
    if variable.wanted != "a text":
        words.append(variable.wanted)
    return " ".join(map(_sentence, words))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].removesuffix('.')}."
