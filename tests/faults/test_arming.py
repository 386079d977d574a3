"""`FAIL_AT` has a server killed at a place, and only one that is being developed."""

from pathlib import Path

import pytest

from tests.faults.house import SECRET
from tests.support.parley import Parley, StartFailed

PUBLIC = {
    "PARLEY_ENV": "staging",
    "PARLEY_JWT_SECRET": SECRET,
    "PARLEY_JWT_ISSUER": "https://issuer.example",
    "PARLEY_JWT_AUDIENCE": "parley",
    "PARLEY_ALLOWED_ORIGINS": "https://chat.example",
    "PARLEY_HOST": "127.0.0.1",
}


def test_an_armed_server_says_so(tmp_path: Path) -> None:
    """Nobody should wonder later why it died."""
    parley = Parley(tmp_path)
    try:
        parley.start(FAIL_AT="committed:kill:3")
        assert (
            "FAIL_AT=committed:kill:3 has this process killed or held there"
            in parley.log.read_text()
        )
    finally:
        parley.kill()


def test_a_place_that_does_not_exist_ends_the_start(tmp_path: Path) -> None:
    """With words that name the variable and the places, not with a test that never kills."""
    with pytest.raises(StartFailed, match=r"FAIL_AT: .*'nowhere:kill'.* committed") as failed:
        Parley(tmp_path).start(FAIL_AT="nowhere:kill")
    assert "Traceback" not in str(failed.value)


def test_a_public_server_cannot_be_armed(tmp_path: Path) -> None:
    """Whatever stands in its environment."""
    parley = Parley(tmp_path, **PUBLIC)
    try:
        parley.start(FAIL_AT="nowhere:kill")
        assert "FAIL_AT" not in parley.log.read_text()
    finally:
        parley.kill()
