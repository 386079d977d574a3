"""Each import contract of pyproject.toml is kept, and catches what it is there for."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("server", "storage", "protocol")


class Violation(NamedTuple):
    contract: str
    module: str
    line: str


VIOLATIONS = {
    "protocol may not look up to storage": Violation(
        "Imports go downward: server > storage > protocol", "protocol/text.py", "import storage"
    ),
    "storage may not look up to server": Violation(
        "Imports go downward: server > storage > protocol", "storage/errors.py", "import server"
    ),
    "storage may not know a frame": Violation(
        "Of protocol, storage knows types and text alone",
        "storage/errors.py",
        "from protocol import frames",
    ),
    "storage may not know a module that protocol grows later": Violation(
        "Of protocol, storage knows types and text alone",
        "storage/errors.py",
        "from protocol import planted",
    ),
    "the shared types may not lean on the wire": Violation(
        "What storage knows of protocol leans on nothing else there",
        "protocol/types.py",
        "from protocol import planted",
    ),
    "the protocol may not wait": Violation(
        "The protocol is pure: no loop, clock, socket, chance or logging",
        "protocol/planted.py",
        "import asyncio",
    ),
    "the protocol may not read the clock": Violation(
        "The protocol is pure: no loop, clock, socket, chance or logging",
        "protocol/planted.py",
        "from time import monotonic",
    ),
    "the errors of server may not know who raises them": Violation(
        "Inside server, imports go downward", "server/errors.py", "import server.streams"
    ),
    "a new module of server must take its place in the layers": Violation(
        "Inside server, imports go downward", "server/planted.py", ""
    ),
    "server may not name an engine": Violation(
        "Only what puts a server together names a concrete engine",
        "server/streams/planted.py",
        "import storage.sql",
    ),
    "storage's interfaces may not name an engine": Violation(
        "Only what puts a server together names a concrete engine",
        "storage/errors.py",
        "import storage.memory",
    ),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, to harm; planted modules are there, and harmless."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "protocol" / "planted.py").touch()
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def plant(folder: Path, module: str, line: str) -> None:
    path = folder / module
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as source:
        source.write(f"\n{line}\n")


def test_the_packages_keep_every_contract(copy: Path) -> None:
    """Without a planted import nothing is broken, so what breaks below is what was planted."""
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout


def test_every_contract_has_a_violation_here() -> None:
    """A new contract comes with the proof that it catches something."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    assert {c["name"] for c in contracts} == {v.contract for v in VIOLATIONS.values()}


@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_planted_import_breaks_the_contract_that_forbids_it(
    copy: Path, violation: Violation
) -> None:
    """lint-imports fails and names the contract."""
    plant(copy, violation.module, violation.line)
    result = lint_imports(copy)
    assert result.returncode != 0
    assert f"{violation.contract} BROKEN" in result.stdout, result.stdout
