"""Finding a text in what was said, whatever the case of its letters, on both engines alike.

Each engine has its own idea of case, and neither knows all scripts in every build. So a text
becomes a pattern that names every case of each letter, `[sSſ]`, which SQLite's GLOB and the regular
expressions of PostgreSQL understand without knowing anything of case.
"""

from storage.sql.database import Connection, Dialect, Value
from storage.store import SEARCHED

# What Unicode takes for the same as another character, and neither upper nor lower case leads to.
OTHER_FORMS = (
    "\u00b5\u017f\u0345\u0390\u03b0\u03c2\u03d0\u03d1\u03d5\u03d6\u03f0\u03f1\u03f4\u03f5\u1c80\u1c81"
    "\u1c82\u1c83\u1c84\u1c85\u1c86\u1c87\u1c88\u1e9b\u1e9e\u1fbe\u1fd3\u1fe3\u2126\u212a\u212b\ufb05"
    "\ufb06"
)
OPERATOR: dict[Dialect, str] = {"sqlite": "GLOB", "postgresql": "~"}


def forms(character: str) -> list[str]:
    """All characters that differ from it by case alone, its own among them."""
    folded = character.casefold()
    near = [character, character.lower(), character.upper(), character.title()]
    near += [folded, folded.upper(), folded.title(), *OTHER_FORMS]
    return sorted({each for each in near if len(each) == 1 and each.casefold() == folded})


def patterns(text: str, dialect: Dialect) -> list[str]:
    """What finds the text anywhere in another, by the dialect's `OPERATOR`: one of them must.

    SQLite leaps to the next character that a pattern begins with, if it is one and no choice: that
    takes a tenth of the time, so there is a pattern for each.
    """
    if dialect == "postgresql":
        return ["".join(_expression(each) for each in text)]
    rest = "".join(_choice(forms(each)) for each in text[1:])
    return [f"*{_choice([first])}{rest}*" for first in forms(text[0])]


def _choice(alike: list[str]) -> str:
    """In brackets no character has a meaning, but for `]` and `^`, which stand alone there."""
    if len(alike) == 1 and alike[0] not in "*?[":
        return alike[0]
    return f"[{''.join(alike)}]"


def _expression(character: str) -> str:
    alike = forms(character)
    if len(alike) > 1:  # letters, none of which has a meaning in brackets
        return f"[{''.join(alike)}]"
    return f"\\{character}" if character.isascii() and not character.isalnum() else character


async def found(c: Connection, text: str, which: str, binds: dict[str, Value]) -> list[str]:
    """The ids of conversations with that text, of the last changed ones among `which`."""
    sought = {f"sought{n}": each for n, each in enumerate(patterns(text, c.dialect))}

    def matches(column: str) -> str:
        return " OR ".join(f"{column} {OPERATOR[c.dialect]} :{bind}" for bind in sought)

    hits = await c.all(
        f"""
        SELECT lately.id FROM (
            SELECT c.tenant, c.id, c.title FROM conversations c WHERE {which}
            ORDER BY c.updated_at DESC, c.id DESC LIMIT :searched
        ) lately
        WHERE {matches("lately.title")} OR EXISTS (
            SELECT 1 FROM messages m
            WHERE m.tenant = lately.tenant AND m.conversation = lately.id
                AND ({matches("m.content")}))
        """,
        searched=SEARCHED,
        **sought,
        **binds,
    )
    return [row["id"] for row in hits]
