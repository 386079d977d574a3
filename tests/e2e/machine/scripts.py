"""What the scripted model is told to do, small enough to be reckoned out by hand."""

import msgspec
from hypothesis import strategies as st
from msgspec import Struct, structs

# Of one, two and three bytes, of two UTF-16 units, and what JSON has to escape.
TEXTS = ("a ", "é", "€ ", "\N{GRINNING FACE}", '"\\\n')
TOOL = "clock"
ARGUMENTS = {"at": 1}
DECLARED: list[dict[str, object]] = [
    {"name": TOOL, "description": "", "parameters": {"type": "object"}}
]


class Script(Struct, frozen=True):
    """A message's content, and what its answer comes to if nobody meddles with it.

    `tool` says who has to do what before its call is settled: `auto` nobody, `missing` nobody, for
    there is none of that name, `ask` a person, `client` its client, `both` one after the other.
    """

    tokens: int
    text: str
    every_ms: int = 0
    fail: str | None = None
    at: int = 0
    tool: str | None = None
    thought: bool = False
    cites: bool = False

    def content(self, number: int) -> str:
        """As it is sent; the number makes it the only one of its kind."""
        fields: dict[str, object] = {
            "tokens": self.tokens,
            "text": self.text,
            "every_ms": self.every_ms,
            "fail": self.fail,
            "at": self.at,
        }
        if self.tool is not None:
            fields["tool"] = {
                "name": TOOL,
                "arguments": ARGUMENTS,
                "approval": self.tool in ("ask", "both"),
                "result": "noon" if self.tool in ("auto", "ask") else None,
            }
        if self.thought:
            fields["thought"] = "hm €"
        if self.cites:
            fields["citations"] = [{"start": 0, "end": units(self.text), "sources": SOURCES}]
        return msgspec.json.encode(fields).decode() + " " * number

    @property
    def said(self) -> str:
        """The whole text."""
        return self.text * (self.tokens if self.fail is None else self.at)

    @property
    def declared(self) -> list[dict[str, object]] | None:
        """The tools that its sender offers to run."""
        return DECLARED if self.tool in ("client", "both") else None

    def where(self, *, declared: bool) -> "Script":
        """The same where that tool was declared before, by whom was asked, or by nobody."""
        becomes = {"client": "missing", "both": "missing"}
        if declared:
            becomes = {"auto": "client", "missing": "client", "ask": "both"}
        return structs.replace(self, tool=becomes.get(self.tool or "", self.tool))

    @property
    def waits(self) -> tuple[str, ...]:
        """For what it is parked, one after the other: states of its call."""
        parked = {
            "ask": ("awaiting_approval",),
            "client": ("requested",),
            "both": ("awaiting_approval", "requested"),
        }
        return parked.get(self.tool or "", ())


SOURCES = [{"document": "d", "title": "D"}]


def units(text: str) -> int:
    """How long it is, as clients count."""
    return len(text.encode("utf-16-le")) // 2


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Any script, most often one that ends by itself."""
    tokens = draw(st.integers(0, 6))
    fail = draw(st.sampled_from([None, None, "stall", "error", "cut"]))
    tool = draw(st.sampled_from([None, None, None, "ask", "client", "both", "auto", "missing"]))
    return Script(
        tokens=tokens,
        text=draw(st.sampled_from(TEXTS)),
        every_ms=draw(st.sampled_from([0, 0, 2])),
        fail=fail,
        at=draw(st.integers(0, tokens)),
        tool=tool,
        thought=draw(st.booleans()),
        cites=bool(tokens) and fail is None and tool is None and draw(st.booleans()),
    )
