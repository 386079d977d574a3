"""The test tree mirrors the source tree."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    path.relative_to(ROOT)
    for package in ("protocol", "storage", "server")
    for path in sorted((ROOT / package).rglob("*.py"))
]
TESTS = ROOT / "tests"


def is_trivial(source: Path) -> bool:
    """No function with a body: what only declares is tested by whoever uses it."""
    tree = ast.parse(source.read_text())
    return not any(has_body(node) for node in ast.walk(tree))


def has_body(node: ast.AST) -> bool:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not all(isinstance(statement, ast.Expr | ast.Pass) for statement in node.body)


def is_covered(module: Path) -> bool:
    """By its own test module, by one for its whole package, or by a suite of contracts."""
    package = module.parent
    name = package.name if module.name == "__init__.py" else module.stem
    suites = [
        TESTS / package / f"test_{name}.py",
        TESTS / package.parent / f"test_{package.name}.py",
        TESTS / "contracts" / f"test_{name}.py",
    ]
    return any(suite.exists() for suite in suites) or is_under_contract(package, name)


def is_under_contract(package: Path, name: str) -> bool:
    dotted = ".".join(package.parts)
    imports = re.compile(rf"\b{dotted}\.{name}\b|from {dotted} import .*\b{name}\b")
    return any(imports.search(suite.read_text()) for suite in (TESTS / "contracts").rglob("*.py"))


@pytest.mark.parametrize("module", SOURCES, ids=str)
def test_every_module_has_a_test_module(module: Path) -> None:
    """A reader finds the tests of a/b.py in tests/a/test_b.py, or in tests/contracts."""
    covered = is_trivial(ROOT / module) or is_covered(module)
    assert covered, f"{module} wants tests/{module.parent}/test_{module.stem}.py"


def test_every_folder_of_tests_is_a_package() -> None:
    """Without an __init__ at each level, tests/server would hide the package server."""
    folders = {path.parent for path in TESTS.rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
