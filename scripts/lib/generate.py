"""Writes every generated file, or with --check names those that are stale."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protocol.documents import asyncapi, fields, schema, typescript, vectors
from server.config import documents as settings

ROOT = Path(__file__).parents[2]
VECTORS = Path("protocol/vectors")


def generated() -> dict[Path, str]:
    """Each generated file, by its path in the repository, and the text it must have."""
    encodings = _completed("encodings.json", vectors.encodings)
    return {
        Path("protocol/schema/frames.json"): _pretty(schema.document()),
        Path("protocol/schema/asyncapi.json"): _pretty(asyncapi.document()),
        VECTORS / "encodings.json": vectors.rows_as_text(encodings),
        VECTORS / "text.json": vectors.rows_as_text(_completed("text.json", vectors.text)),
        VECTORS / "closes.json": vectors.rows_as_text(_completed("closes.json", vectors.closes)),
        VECTORS / "fields.json": vectors.rows_as_text(fields.rows()),
        Path("client-js/src/frames.ts"): typescript.frames(),
        Path("client-js/src/codes.ts"): typescript.codes(),
        Path("client-js/test/vectors.generated.ts"): vectors.literals(encodings),
        Path(".env.example"): settings.env_example(),
        Path("README.md"): settings.in_readme((ROOT / "README.md").read_text(encoding="utf-8")),
    }


def stale() -> list[Path]:
    """The generated files whose text is not what the code gives."""
    return [path for path, text in generated().items() if _current(ROOT / path) != text]


def main(arguments: list[str]) -> str | None:
    """Write, or with --check compare; the complaint, if there is one."""
    if arguments == ["--check"]:
        return "\n".join(f"{path} is stale: run scripts/generate" for path in stale()) or None
    if arguments:
        return "usage: scripts/generate [--check]"
    for path, text in generated().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8", newline="\n")
    return None


def _completed(name: str, complete: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """The rows of a file of vectors with what follows from the parts that a person writes."""
    return complete(json.loads((ROOT / VECTORS / name).read_text(encoding="utf-8")))


def _current(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _pretty(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
