"""What the README tells a newcomer to type works as it stands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from server.cli import VERBS
from tests.support.parley import ROOT, Parley, environment

README = (ROOT / "README.md").read_text()
CLIENT = re.search(r"```python\n(.*?)```", README, re.DOTALL)


def test_its_client_streams_an_answer(tmp_path: Path) -> None:
    """Copied out of the page, with the port of this test's server."""
    assert CLIENT is not None
    parley = Parley(tmp_path)
    with parley.serving() as serving:
        program = CLIENT[1].replace("127.0.0.1:8000", serving.url.removeprefix("http://"))
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
        )
    assert "hello" in ended.stdout


def test_its_commands_are_there(tmp_path: Path) -> None:
    """From whatever folder they are called, past one that is called like ours."""
    for name in re.findall(r"(?<=`)scripts/\w+(?=`)", README):
        assert os.access(ROOT / name, os.X_OK), name
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    for parley in (ROOT / "scripts" / "parley", ROOT / ".venv" / "bin" / "parley"):
        ended = subprocess.run(
            [parley, "schema"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True
        )
        assert ended.stdout.startswith("{")


def test_a_verb_means_the_server_of_its_own_folder(tmp_path: Path) -> None:
    """Called from elsewhere it takes that folder's `.env`, secret and data, and leaves nothing."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in ("scripts", ".venv/bin"):
        (project / folder).mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "parley", project / "scripts")
    (project / ".venv/bin/parley").symlink_to("../../scripts/parley")
    python = project / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)

    def called(*arguments: str) -> str:
        return subprocess.run(
            [project / ".venv/bin/parley", *arguments],
            cwd=elsewhere,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout

    parley = Parley(project, PARLEY_DATA_DIR="kept")
    parley.data = project / "kept"
    with parley.serving() as serving:
        assert f"process {serving.pid}" in called("doctor")
        assert f"(process {serving.pid}) holds the database" in called("migrate")
        token = called("token", "--user", "ann").strip()
        assert "hello" in called("chat", "hello", "--token", token)
    assert list(elsewhere.iterdir()) == []


def test_its_table_names_every_verb() -> None:
    """A new verb takes its place there."""
    assert set(re.findall(r"\| `parley (\w+)", README)) == set(VERBS)
