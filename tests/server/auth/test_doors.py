"""Hosts, Origins, and tokens in URLs."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth.doors import Doors, is_loopback, normal_origin, token_in_query

CHAT = "https://chat.example.com"
PRODUCTION = Doors(
    development=False,
    origins=[CHAT, "https://intranet.example:8443/", "https://xn--bcher-kva.example"],
)
DEVELOPMENT = Doors(development=True, origins=[CHAT])
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"

# H3–H5 and their kin: none of these is https://chat.example.com or another one that is let in.
FOREIGN = [
    "https://evil.example",
    "null",
    "NULL",
    "",
    " ",
    "*",
    "chat.example.com",
    "//chat.example.com",
    "http://chat.example.com",
    "https://chat.example.com:444",
    "https://chat.example.com:",
    "https://chat.example.com:443443",
    "https://chat.example.com.",
    "https://chat.example.com..",
    "https://chat.example.com/",
    "https://chat.example.com/path",
    "https://chat.example.com?",
    "https://chat.example.com#",
    "https://chat.example.com\\.evil.example",
    "https://chat.example.com.evil.example",
    "https://chat.example.com@evil.example",
    "https://user@chat.example.com",
    "https://user:secret@chat.example.com",
    "https://evil.example#chat.example.com",
    "https://evilchat.example.com",
    "https://sub.chat.example.com",
    "https://chat-example.com",
    "https://chat.example.co",
    "https://chàt.example.com",
    "https://chаt.example.com",  # Cyrillic а
    "https://chat.example.\u212aom",  # lowers to an ASCII k
    "https://chat\uff0eexample\uff0ecom",  # full-width dots
    "https://xn--cht-8cd.example.com",
    "https://bücher.example",
    "https://chat.example.com https://chat.example.com",
    "https://chat.example.com,https://evil.example",
    "https://chat.example.com\n",
    "\thttps://chat.example.com",
    "https://chat.example.com\0",
    "https://chat%2eexample.com",
    "https://" + "a" * 400,
    "file://",
    "javascript:alert(1)",
    "https://localhost",
    "http://127.0.0.1:8000",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_an_origin_that_is_not_configured_to_the_letter_is_refused(origin: str) -> None:
    """However much it looks like one that is."""
    assert PRODUCTION.refuse("chat.example.com", origin, browser=False) is not None


@pytest.mark.parametrize(
    "origin",
    [
        CHAT,
        "https://chat.example.com:443",
        "HTTPS://Chat.Example.COM",
        "https://intranet.example:8443",
        "https://xn--bcher-kva.example",
    ],
)
def test_another_spelling_of_a_configured_origin_is_let_in(origin: str) -> None:
    """Case and the scheme's own port are no difference."""
    assert PRODUCTION.refuse("chat.example.com", origin, browser=True) is None


def test_without_an_origin_only_those_come_in_who_are_no_page() -> None:
    """What they bring as a credential is looked at later."""
    assert PRODUCTION.refuse("chat.example.com", None, browser=False) is None
    assert PRODUCTION.refuse("chat.example.com", None, browser=True) is not None


@pytest.mark.parametrize("host", ["chat.example.com", "10.0.0.1:8000", "evil.example", "", None])
def test_in_public_any_host_is_served(host: str | None) -> None:
    """Proxies rewrite it, and those who watch a machine ask it by its address."""
    assert PRODUCTION.refuse(host, CHAT, browser=True) is None


def test_pages_of_sites_are_let_in_as_long_as_they_are_known() -> None:
    """What is no origin in a site's settings lets nobody in."""
    doors = Doors(development=False)
    assert not doors.lets("https://shop.example")
    doors.learn(["https://Shop.example", "null", "*", ""])
    assert doors.lets("https://shop.example:443")
    assert not doors.lets("null")
    doors.learn([])
    assert not doors.lets("https://shop.example")


LOOPBACK = ["127.0.0.1", "localhost", "LOCALHOST:8000", "127.0.0.1:65535", "[::1]", "[::1]:8000"]
ELSEWHERE = [
    *("0.0.0.0", "127.0.0.1.evil.example", "localhost.evil.example", "localhost."),
    *("evil.example", "127.1", "2130706433", "0x7f.1", "0x7f000001", "[::]", "[::1", "::1"),
    *("localhost:", "localhost:x", "user@localhost", "localhost@evil.example", "", "10.0.0.1"),
    *(
        "[::1]evil",
        "[::ffff:10.0.0.1]",
        "\u24dbocalhost",
        "\uff11\uff12\uff17.0.0.1",
        "sub.localhost",
    ),
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_in_development_loopback_is_let_in_from_every_port(host: str) -> None:
    """As a Host and in an Origin."""
    assert is_loopback(host)
    assert DEVELOPMENT.refuse(host, f"http://{host}", browser=True) is None
    assert DEVELOPMENT.refuse(host, f"https://{host}", browser=False) is None
    assert DEVELOPMENT.refuse(host, None, browser=False) is None


@pytest.mark.parametrize("host", ELSEWHERE)
def test_in_development_nobody_else_is(host: str) -> None:
    """A name that anybody's DNS may point at us is not loopback (DNS rebinding)."""
    assert not is_loopback(host)
    assert DEVELOPMENT.refuse(host, "http://localhost", browser=False) is not None
    assert DEVELOPMENT.refuse("localhost:8000", f"http://{host}", browser=False) is not None


@pytest.mark.parametrize("origin", ["null", "file://", CHAT, "ftp://localhost", "localhost"])
def test_in_development_configured_origins_do_not_count(origin: str) -> None:
    """Loopback is all there is."""
    assert DEVELOPMENT.refuse("localhost:8000", origin, browser=False) is not None


def test_a_refusal_says_what_would_be_let_in() -> None:
    """In development no operator can add anything."""
    for doors, words in ((DEVELOPMENT, "In development"), (PRODUCTION, "PARLEY_ALLOWED_ORIGINS")):
        host = "localhost" if doors is DEVELOPMENT else "chat.example.com"
        assert words in str(doors.refuse(host, "https://evil.example", browser=True))
    assert "localhost" in str(DEVELOPMENT.refuse("evil.example", None, browser=False))


def test_in_development_a_host_is_demanded() -> None:
    """Without one nothing tells a page of another name apart."""
    assert DEVELOPMENT.refuse(None, "http://localhost", browser=False) is not None


@pytest.mark.parametrize("origin", ["*", "null", "chat.example.com", "https://a.example/x", ""])
def test_an_origin_that_no_browser_sends_is_a_fault_of_the_settings(origin: str) -> None:
    """Said with an example."""
    with pytest.raises(ValueError, match=r"https://chat\.example\.com"):
        Doors(development=False, origins=[origin])


@given(st.text())
def test_a_normal_origin_stays_as_it_is(text: str) -> None:
    """And any text at all is looked at without harm."""
    for origin in (text, f"https://{text}", f"http://{text}:80"):
        normal = normal_origin(origin)
        assert normal is None or normal_origin(normal) == normal
        DEVELOPMENT.refuse(text, origin, browser=True)
        PRODUCTION.refuse(text, origin, browser=True)


@pytest.mark.parametrize(
    "query",
    [
        f"token={JWT}",
        f"ticket={JWT}",
        f"a=b&x={JWT}",
        JWT,
        f"{JWT}=1",
        f"x={JWT.replace('.', '%2E')}",
        f"x={JWT.replace('.', '%252E')}",
        f"x=Bearer%20{JWT}",
        f"x={JWT}.more.parts",
        "token=",
        "TOKEN=x",
        "a=1;token=x",
        "%74oken=x",
        "access_token=abc",
        "jwt=1",
        "id_token=1",
        "authorization=Bearer+x",
        "x=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
    ],
)
def test_a_token_in_a_query_is_seen(query: str) -> None:
    """By its name or by its look, however it is spelt."""
    assert token_in_query(query)


@pytest.mark.parametrize(
    "query",
    ["", "ticket=Zm9vYmFyYmF6", "x=1&y=2", "tokens=5", "q=what+is+a+token", "v=1.2.3", "x=eyJ"],
)
def test_a_ticket_and_other_things_are_no_token(query: str) -> None:
    """A ticket is meant to travel there."""
    assert not token_in_query(query)


@pytest.mark.parametrize("piece", ["eyJ", "eyJ-", "eyJaaaaaaaa", ".eyJaaaaaaaa", "&", "%25", "="])
def test_no_query_holds_everybody_up(piece: str) -> None:
    """H26: of 16 KiB, which any stranger may send; the best of several, for others run too."""
    query, took = piece * (16 * 1024 // len(piece)), list[float]()
    for _ in range(3):
        started = time.thread_time()
        token_in_query(query)
        took.append(time.thread_time() - started)
    assert min(took) < 0.05
