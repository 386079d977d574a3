"""`parley token` prints what the server with the same settings takes."""

from pathlib import Path

import pytest

from protocol.codes import CloseCode
from server.auth.principal import Kind, Role, Tier
from server.auth.tokens import TokenRefused
from server.cli import settings_here
from server.config import secured, tokens_of
from tests.server.cli.conftest import Call


async def test_the_token_is_good_for_whom_it_names(call: Call, started: Path) -> None:
    """User, tenant, roles, tier and life are as they were asked for."""
    _, printed, _ = call(
        *("token", "--user", "ann", "--tenant", "acme", "--role", "curator", "--role", "admin"),
        *("--ttl", "60", "--tier", "professional"),
    )
    principal = await tokens_of(secured(settings_here())).verify(printed.strip(), origin=None)
    assert (principal.user, principal.tenant, principal.kind) == ("ann", "acme", Kind.USER)
    assert principal.roles == {Role.USER, Role.CURATOR, Role.ADMIN}
    assert principal.tier is Tier.PROFESSIONAL
    assert principal.expires_at - principal.issued_at == 60


def test_where_no_server_was_started_there_is_no_token(call: Call, folder: Path) -> None:
    """No secret is made: the server, wherever it is, would know nothing of it."""
    status, printed, complaint = call("token", "--user", "ann")
    assert (status, printed) == (1, "")
    assert f"no server was started on {folder / 'data'} yet" in complaint
    assert all(
        word in complaint for word in ("scripts/run", "PARLEY_DATA_DIR", "PARLEY_JWT_SECRET")
    )
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_read_is_no_folder_without_a_server(
    call: Call, folder: Path
) -> None:
    """What is wrong with it is said instead."""
    (folder / "data").touch()
    status, _, complaint = call("token", "--user", "ann")
    assert status == 2
    assert "data is no folder" in complaint


async def test_another_folder_has_another_secret(call: Call, started: Path) -> None:
    """A token of this machine's other server is none of ours."""
    _, printed, _ = call("token", "--user", "ann")
    (started / ".env").write_text("PARLEY_DATA_DIR=elsewhere")
    with pytest.raises(TokenRefused) as refused:
        await tokens_of(secured(settings_here())).verify(printed.strip(), origin=None)
    assert refused.value.close is CloseCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--ttl", "90000"], "A token is good for 1 to 86400 seconds"),
        (["--ttl", "0"], "A token is good for 1 to 86400 seconds"),
        (["--user", "x" * 300], "There can be no such token"),
        (["--user", ""], "There can be no such token"),
        (["--tenant", "a b"], "There can be no such token"),
        (["--tenant", ""], "There can be no such token"),
    ],
)
def test_what_no_server_would_take_is_not_made(
    call: Call, started: Path, arguments: list[str], sentence: str
) -> None:
    """The sentence says why."""
    status, printed, complaint = call("token", "--user", "ann", *arguments)
    assert (status, printed) == (1, "")
    assert sentence in complaint


def test_where_an_issuer_signs_we_cannot(call: Call, folder: Path) -> None:
    """Its private key is not here."""
    (folder / ".env").write_text("PARLEY_JWKS_URL=https://id.example.org/keys")
    status, _, complaint = call("token", "--user", "ann")
    assert status == 1
    assert "issuer" in complaint
