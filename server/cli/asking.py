"""Questions to a server over HTTP, without a proxy and without waiting long."""

from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

TIMEOUT_S = 3.0
BYTES = 64 * 1024


class NoAnswer(Exception):
    """Nothing answers there as it should; says why."""

    def __init__(self, words: str, why: str = "") -> None:
        super().__init__(words)
        self.why = why


def get(url: str, path: str) -> bytes:
    """The body's first 64 KiB, whatever the status."""
    return _ask("GET", url, path, None, {})[1]


def post(url: str, path: str, body: bytes) -> tuple[int, bytes]:
    """The status, and the first 64 KiB of what answers a body of JSON."""
    return _ask("POST", url, path, body, {"Content-Type": "application/json"})


def _ask(
    method: str, url: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, bytes]:
    try:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        with closing(kind(parts.netloc, timeout=TIMEOUT_S)) as connection:
            connection.request(method, parts.path + path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(BYTES)
    # ValueError: no address at all, which a file may hold that somebody changed.
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NoAnswer(f"{url} does not answer: {why}", why) from None
