"""Where the keys come from that verify tokens."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from server.auth.options import Options
from server.auth.signatures import Key, KeyUnfit, published_key, secret_key

if TYPE_CHECKING:  # imported where it is needed: a server with a secret starts without it
    import httpx

DOCUMENT_BYTES = 256 * 1024
KEYS = 64


class Keys(Protocol):
    """An issuer's keys."""

    async def find(self, id: str | None, algorithm: str) -> Key | None:
        """The one key that may verify a token with this header, or None."""


class OneKey:
    """That of a configured secret. With one there is nothing to choose: no name is read."""

    def __init__(self, key: Key) -> None:
        self.key = key

    @classmethod
    def of_secret(cls, secret: bytes) -> "OneKey":
        """HS256."""
        return cls(secret_key(secret))

    async def find(self, id: str | None, algorithm: str) -> Key | None:
        """The key, if the token is of its algorithm."""
        return self.key if algorithm == self.key.algorithm else None


def derived(secret: bytes, purpose: str) -> bytes:
    """A secret for one purpose alone: what is signed for one is void for every other."""
    return hmac.digest(secret, f"parley {purpose}".encode(), hashlib.sha256)


class KeysAway(Exception):
    """The issuer's keys could not be fetched; says why."""


class _Document(Struct):
    keys: list[dict[str, object]]


class PublishedKeys:
    """The keys that an issuer publishes (a JWK set), fetched when they are needed.

    Fetched anew once they are no longer fresh, or a token names a key that is not among them; never
    more often than the pause lets, and by one request at a time. While the issuer is away, known
    keys serve on until they are stale. Nothing is ever fetched from where a token says.
    """

    def __init__(
        self,
        url: str,
        options: Options,
        *,
        report: Callable[[KeysAway], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self._url = url
        self._options = options
        self._report = report
        self._clock = clock
        self._transport = transport
        self._keys: dict[tuple[str, str], Key] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, id: str | None, algorithm: str) -> Key | None:
        """The key of exactly that name for that algorithm."""
        if id is None:
            return None
        if self._age() >= self._options.keys_fresh_s or (id, algorithm) not in self._keys:
            await self._fetch_unless_just_tried()
        if self._age() >= self._options.keys_stale_s:
            return None
        return self._keys.get((id, algorithm))

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    async def _fetch_unless_just_tried(self) -> None:
        if self._fetching is None:
            if self._clock() - self._tried_at < self._options.keys_pause_s:
                return
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch(), name="fetching an issuer's keys")
            self._fetching.add_done_callback(self._fetched)
        # Who asked first may leave; the others still want the keys.
        await asyncio.shield(self._fetching)

    def _fetched(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._options.keys_timeout_s):
                document = await self._download()
            self._keys = usable(document)
            self._fetched_at = self._clock()
        except KeysAway as away:
            self._report(away)
        except TimeoutError:
            self._report(KeysAway(f"no answer in {self._options.keys_timeout_s:g} s"))

    async def _download(self) -> bytes:
        import httpx  # noqa: PLC0415 - see above

        body = bytearray()
        try:
            async with (
                httpx.AsyncClient(transport=self._transport, timeout=None) as client,  # noqa: S113
                client.stream("GET", self._url, headers={"Accept": "application/json"}) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise KeysAway(f"the issuer answered {answer.status_code} instead of 200")
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > DOCUMENT_BYTES:
                        raise KeysAway(f"the document has more than {DOCUMENT_BYTES} bytes")
        # OSError: a file of trusted certificates that is not there; ValueError: no name DNS knows.
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise KeysAway(f"the request failed: {type(error).__name__}") from error
        return bytes(body)


def usable(document: bytes) -> dict[tuple[str, str], Key]:
    """The keys of a document by name and algorithm, without those that fit no token of ours."""
    try:
        published = msgspec.json.decode(document, type=_Document).keys
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise KeysAway("the document is no JWK set") from error
    found: dict[tuple[str, str], Key] = {}
    for one in published[:KEYS]:
        id = one.get("kid")
        if not isinstance(id, str):
            continue
        try:
            key = published_key(one)
        except KeyUnfit:
            continue
        found.setdefault((id, key.algorithm), key)
    return found
