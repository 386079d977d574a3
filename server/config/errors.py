"""What is told of settings that are not right: all of it at once, and never a secret's value."""

from collections.abc import Sequence

from msgspec import Struct


class Problem(Struct, frozen=True):
    """What is wrong with one variable, and how a right one looks."""

    variable: str
    sentence: str
    example: str | None = None

    def __str__(self) -> str:
        example = f"\n      For example: {self.example}" if self.example else ""
        return f"  {self.variable}: {self.sentence}{example}"


class ConfigError(Exception):
    """The settings do not let the server start."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(*problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        count = len(self.problems)
        first = "One setting is not right" if count == 1 else f"{count} settings are not right"
        return "\n".join([f"{first}:", *map(str, self.problems)])
