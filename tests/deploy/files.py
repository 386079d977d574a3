"""The files that a deployment is made of, read as Docker reads them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<how>[?-])(?P<rest>[^}]*))?\}")


class Instruction(Struct, frozen=True):
    """One of a Dockerfile, without its comments and continuations."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Of an exec form, what is run; of any other, its words."""
        _, bracket, rest = self.text.partition("[")
        if bracket and self.name in {"CMD", "ENTRYPOINT", "HEALTHCHECK"}:
            words: list[str] = json.loads(bracket + rest)
            return words
        return self.text.split()


def image() -> list[Instruction]:
    """The Dockerfile's last stage, which is what is shipped."""
    text = (ROOT / "Dockerfile").read_text()
    plain = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", plain).splitlines()
    parts = [line.split(None, 1) for line in lines if line]
    instructions = [Instruction(name, rest) for name, rest in parts]
    last = max(n for n, each in enumerate(instructions) if each.name == "FROM")
    return instructions[last:]


def the(name: str) -> Instruction:
    """The image's one instruction of that name."""
    [found] = [each for each in image() if each.name == name]
    return found


def copied() -> list[str]:
    """What of this project goes into the image."""
    copies = [each.words for each in image() if each.name == "COPY"]
    return [path for words in copies if not words[0].startswith("--from") for path in words[:-1]]


def environment() -> dict[str, str]:
    """What the image sets."""
    pairs = (word.partition("=") for word in the("ENV").words)
    return {name: value for name, _, value in pairs}


def composition(variables: Mapping[str, str]) -> Any:
    """docker-compose.yml, with these variables; KeyError with what it says of a missing one."""

    def value(variable: re.Match[str]) -> str:
        name, how, rest = variable["name"], variable["how"], variable["rest"]
        if variables.get(name):
            return variables[name]
        if how == "-":
            return rest
        raise KeyError(f"{name}: {rest}")

    text = (ROOT / "docker-compose.yml").read_text()
    told = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    return yaml.safe_load(_VARIABLE.sub(value, told))
