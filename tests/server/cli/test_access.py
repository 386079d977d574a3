"""Where the server is, and who we are there."""

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from server.cli import access, settings_here
from server.cli.access import AccessFailed, Found, find_server, find_tokens
from server.cli.serving import Serving, announced
from server.config import Settings, secured, tokens_of
from tests.support.health import health, saying
from tests.support.services import free_port


def announced_at(url: str) -> Serving:
    """A server of this process."""
    return Serving(pid=os.getpid(), url=url, instance="one", version="1", started="now")


def test_the_server_of_this_folder_is_found(tmp_path: Path) -> None:
    """Also where it is named; another one is not ours."""
    settings = Settings(data_dir=tmp_path)
    with saying(health("one")) as asked, announced(tmp_path, announced_at(asked.url)):
        assert find_server(None, settings) == Found(asked.url, ours=True)
        assert find_server(f"{asked.url}/ws", settings) == Found(asked.url, ours=True)
        assert find_server("example.org", settings) == Found("http://example.org", ours=False)
        public = replace(settings, public_url="https://chat.example.org", base_path="/parley")
        assert find_server(None, public) == Found("https://chat.example.org/parley", ours=True)


def test_a_file_that_a_killed_server_left_names_none(tmp_path: Path) -> None:
    """Whoever has its port now gets no token of ours."""
    settings = Settings(data_dir=tmp_path, port=0)
    with saying(health("two")) as asked, announced(tmp_path, announced_at(asked.url)):
        assert find_server(None, settings) == Found("http://127.0.0.1:8000", ours=False)
        assert find_server(asked.url, settings) == Found(asked.url, ours=False)


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("wss://a.example/chat/ws?x=1", "https://a.example/chat"),
        ("http://[::1]:1/", "http://[::1]:1"),
        ("http://[fe80::1%eth0]", "http://[fe80::1%eth0]"),
        ("http://bücher.example/a%20b", "http://bücher.example/a%20b"),
    ],
)
def test_an_address_is_taken_in_any_form(named: str, url: str) -> None:
    """The socket's stands for the server's."""
    assert access.checked(named) == url
    assert access.socket_url(url) == f"ws{url[4:]}/ws"


@pytest.mark.parametrize(
    "named",
    [
        *("ftp://x", "http://", "http://x:99999", "http://[x", "a@b.org", "", "http://a b"),
        *("http://a..b", f"http://{'a' * 64}.b", "http://\udcff", "http://[::1]x:1"),
        *("http://a/ä", "http://a/b c", "http://a/\x01", "http://a/\udcff"),
    ],
)
def test_what_is_no_address_is_refused_in_words(named: str) -> None:
    """Not with a traceback."""
    with pytest.raises(AccessFailed, match="no address of a server") as failed:
        access.checked(named)
    str(failed.value).encode()


def test_a_reason_is_in_plain_words() -> None:
    """As the machine says it, without the numbers and tuples around it."""
    refused = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)")
    assert "at http://x (Connection refused)." in str(access.no_server("http://x", refused))
    assert "(nobody home)" in str(access.no_server("http://x", OSError("nobody home")))


async def test_for_our_own_server_a_token_is_made_of_its_secret(
    started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For whoever is logged in, and another when it ends."""
    monkeypatch.setenv("LOGNAME", "ann")
    tokens = find_tokens(None, Found("http://x", ours=True), settings_here())
    verifier = tokens_of(secured(settings_here()))
    for _ in range(2):
        principal = await verifier.verify(await tokens() or "", origin=None)
        assert principal.user == "ann"

    def nobody() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert access.user_here() == "local"


def test_without_its_secret_we_are_a_stranger_to_our_own_server(folder: Path) -> None:
    """One that we make would be none of the server's; nothing is left in the folder."""
    tokens = find_tokens(None, Found("http://x", ours=True), settings_here())
    assert isinstance(tokens, access.Visitor)
    assert list(folder.iterdir()) == []


async def test_a_token_that_was_given_is_used_once(folder: Path) -> None:
    """It cannot be renewed."""
    tokens = find_tokens("t", Found("http://x", ours=True), settings_here())
    assert [await tokens(), await tokens()] == ["t", None]


async def test_a_visitor_is_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the secret that came with the first token."""
    bodies: list[bytes] = []

    def post(url: str, path: str, body: bytes) -> tuple[int, bytes]:
        bodies.append(body)
        return 201, b'{"token":"t","visitor":"v","renewal":"r"}'

    monkeypatch.setattr(access, "post", post)
    visitor = find_tokens(None, Found("http://x", ours=False), Settings())
    assert [await visitor(), await visitor()] == ["t", "t"]
    assert bodies == [b"{}", b'{"renewal":"r"}']


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b'{"error":{"message":"Sign in."}}', "takes no visitor: Sign in. Bring a token"),
        (404, b"<html>", "No Parley server answers at http://x .HTTP 404."),
        (200, b"\xff", "No Parley server"),
    ],
)
async def test_who_is_not_let_in_hears_why(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, words: str
) -> None:
    """And what to do."""
    monkeypatch.setattr(access, "post", lambda *_: (status, body))
    with pytest.raises(AccessFailed, match=words):
        await access.Visitor("http://x")()


async def test_where_nobody_listens_there_is_no_visitor() -> None:
    """The sentence names the address and the remedy."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(AccessFailed, match=rf"at {url} \(Connection refused\). Start one with"):
        async with asyncio.timeout(10):
            await access.Visitor(url)()
