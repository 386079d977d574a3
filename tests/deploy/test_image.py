"""The image, as far as it can be judged without building it."""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from server.cli.serving import recorded
from server.config.variables import VARIABLES
from tests.deploy.files import ROOT, copied, environment, image, the
from tests.support import parley, services

SECRETS = {
    "PARLEY_JWT_SECRET": "for an image that is never built, 32 characters and more",
    "PARLEY_JWT_ISSUER": "https://id.example.org",
    "PARLEY_JWT_AUDIENCE": "https://chat.example.org",
}


def let_through(path: str) -> bool:
    """By .dockerignore, which keeps everything out that it does not name."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return f"!{path.rstrip('/')}" in lines


def test_what_is_copied_is_there_and_let_through() -> None:
    """And nothing else is: no `.env`, no data, no history."""
    assert all((ROOT / path).exists() and let_through(path) for path in copied())
    named = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert named == {path.rstrip("/") for path in copied()} | {"requirements.lock"}


def test_it_serves_with_what_is_copied_and_says_that_it_lives(tmp_path: Path) -> None:
    """From a folder like the image's, with its environment; its own check asks."""
    for path in copied():
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        copy(ROOT / path, tmp_path / path)
    data = tmp_path / "data"
    elsewhere = {"PARLEY_PORT": str(services.free_port()), "PARLEY_DATA_DIR": str(data)}
    variables = {**parley.environment(), **settings(), **SECRETS, **elsewhere, "PYTHONPATH": ""}
    assert not lives(variables)
    command = [sys.executable, *the("ENTRYPOINT").words[1:], *the("CMD").words, "--migrate"]
    process = subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.DEVNULL)
    try:
        while recorded(data) is None:
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended with {process.wait(parley.POLL_SECONDS)}")
        assert lives(variables)
        process.terminate()
        assert process.wait(parley.STOP_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    assert not lives(variables)


def lives(variables: dict[str, str]) -> bool:
    """What the image's check finds."""
    python, *check = the("HEALTHCHECK").words
    assert python == "python"
    command = [sys.executable, *check]
    done = subprocess.run(command, env=variables, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def settings() -> dict[str, str]:
    """What the image tells the server."""
    return {name: text for name, text in environment().items() if name.startswith("PARLEY_")}


def test_it_sets_what_the_server_knows() -> None:
    """And as a place for the public."""
    assert settings().keys() <= {variable.name for variable in VARIABLES}
    assert settings()["PARLEY_ENV"] == "production"


def test_it_runs_as_nobody_special_and_ends_by_a_drain() -> None:
    """With forms that no shell stands between: the signal reaches the server."""
    assert the("USER").text == "parley"
    assert the("STOPSIGNAL").text == "SIGTERM"
    assert the("ENTRYPOINT").text.startswith("[")
    assert the("CMD").text.startswith("[")
    assert environment()["PARLEY_PORT"] == the("EXPOSE").text


def test_its_packages_are_those_of_the_lock() -> None:
    """By their hashes, as wheels; what installs them stays behind."""
    text = (ROOT / "Dockerfile").read_text()
    bases = [line.split()[1] for line in text.splitlines() if line.startswith("FROM ")]
    assert all(":" in base and not base.endswith(":latest") for base in bases)
    assert "--require-hashes --only-binary :all: -r requirements.lock" in text
    installs = [each for each in image() if each.name == "RUN" and " install " in each.text]
    assert ["pip install" in each.text for each in installs] == [False]
