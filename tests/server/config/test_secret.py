"""The secret that development makes for itself."""

from pathlib import Path

import pytest

from server.config import (
    ConfigError,
    Environment,
    NoSecretYet,
    Settings,
    load,
    secured,
    with_kept_secret,
)


def test_development_makes_a_secret_and_keeps_it(tmp_path: Path) -> None:
    """A restart takes the same, so the tokens of before are good."""
    settings = Settings(data_dir=tmp_path / "data")
    first = secured(settings)
    assert first.jwt_secret is not None
    assert secured(settings) == first


def test_who_is_no_server_finds_a_secret_and_makes_none(tmp_path: Path) -> None:
    """Where there is none, nothing is left behind; a secret that was set needs no folder."""
    settings = Settings(data_dir=tmp_path / "data")
    with pytest.raises(NoSecretYet, match="no server was started on"):
        with_kept_secret(settings)
    assert not (tmp_path / "data").exists()
    made = secured(settings)
    assert with_kept_secret(settings) == made
    given = Settings(data_dir=tmp_path / "elsewhere", jwt_secret="y" * 32)
    assert with_kept_secret(given) is given


def test_production_refuses_what_development_made(tmp_path: Path) -> None:
    """Nobody serves the public with a secret that was never meant for it."""
    made = secured(Settings(data_dir=tmp_path)).jwt_secret
    assert made is not None
    environ = {
        "PARLEY_ENV": "production",
        "PARLEY_JWT_ISSUER": "https://id.example.org",
        "PARLEY_JWT_AUDIENCE": "https://chat.example.org",
    }
    with pytest.raises(ConfigError, match="made for development"):
        load({**environ, "PARLEY_JWT_SECRET": made})
    load({**environ, "PARLEY_JWT_SECRET": "x" * 32})


def test_a_secret_that_was_set_is_left_alone(tmp_path: Path) -> None:
    """Nothing is made, and outside development never."""
    folder = tmp_path / "data"
    given = Settings(data_dir=folder, jwt_secret="y" * 32)
    public = Settings(data_dir=folder, env=Environment.PRODUCTION)
    assert secured(given) is given
    assert secured(public) is public
    assert not folder.exists()


def test_a_secret_others_may_read_stops_the_start(tmp_path: Path) -> None:
    """The sentence says which file it is and what to do."""
    secured(Settings(data_dir=tmp_path))
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        secured(Settings(data_dir=tmp_path))
