"""Finding a text in what was said, whatever the case of its letters, on both engines alike.

Each engine has its own idea of case, and neither knows all scripts in every build. So a text
becomes a pattern that names every case of each letter, `[sSſ]`, which SQLite's GLOB and the regular
expressions of PostgreSQL understand without knowing anything of case.
"""

from collections.abc import Sequence
from time import monotonic

from storage.errors import TooMuch, TooSlow
from storage.sql import rows
from storage.sql.database import Connection, Database, Dialect, Row, Value
from storage.store import SEARCH_S, SEARCHED

TOGETHER = 25  # conversations in one statement: one that takes too long costs no more than these

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


async def found(db: Database, text: str, which: str, binds: dict[str, Value]) -> list[str]:
    """The ids of conversations with that text, of the last changed ones among `which`.

    Each look is a unit of its own, so that others have their turn between two of them.
    """
    over = monotonic() + SEARCH_S
    lately = await db.look(
        f"""
        SELECT c.tenant, c.id FROM conversations c WHERE {which}
        ORDER BY c.updated_at DESC, c.id DESC LIMIT :searched
        """,
        searched=SEARCHED,
        **binds,
    )
    hits, all_of_it = list[str](), True
    for begin in range(0, len(lately), TOGETHER):
        if monotonic() > over:
            all_of_it = False
            break
        try:
            hits += await _among(db, text, lately[begin : begin + TOGETHER])
        except TooSlow:
            all_of_it = False
    if not hits and not all_of_it:
        raise TooMuch("the conversations")
    return hits


async def _among(db: Database, text: str, lately: Sequence[Row]) -> list[str]:
    sought = {f"sought{n}": each for n, each in enumerate(patterns(text, db.dialect))}

    def matches(column: str) -> str:
        return " OR ".join(f"{column} {OPERATOR[db.dialect]} :{bind}" for bind in sought)

    async def work(c: Connection) -> list[str]:
        hits = await c.all(
            f"""
            SELECT c.id FROM conversations c
            WHERE c.tenant = :tenant AND c.id IN {rows.among(c, "ids")} AND (
                {matches("c.title")} OR EXISTS (
                    SELECT 1 FROM messages m
                    WHERE m.tenant = c.tenant AND m.conversation = c.id
                        AND ({matches("m.content")})))
            """,
            tenant=lately[0]["tenant"],
            ids=rows.ids(each["id"] for each in lately),
            **sought,
        )
        return [row["id"] for row in hits]

    return await db.read(work)
