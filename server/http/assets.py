"""The files for browsers: the built client, and what the page at `/` is made of.

They are public. Pages of whatever site load them as modules, which browsers do by CORS: so they may
be read from every Origin, also from one that may ask nothing else here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from gzip import compress
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from server.http.documents import knows

TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
PUBLIC = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
# Who embeds `/widget.js` once and for all gets a new one within minutes of the server's change, and
# most of the pages that a visitor opens one after another do not ask. Under the name that has the
# content's own hash there is never another content.
PLAIN = "public, max-age=300, must-revalidate"
# Of another version, as in a rolling deploy: nobody is to keep this content under that name.
OTHER = "no-store"
VERSIONED = "public, max-age=31536000, immutable"
# What the chat loads later has its content's hash in its name (client-js/scripts/bundle.ts).
PARTS = "parts/"
_NEVER = re.compile(r"q=0(\.0*)?")


@dataclass(frozen=True)
class Asset:
    """A file of `server/static` or of its `parts`, read once, and compressed once."""

    name: str
    content: bytes
    gzipped: bytes
    version: str

    @property
    def address(self) -> str:
        """Where exactly this content is served, relative to the base path."""
        return f"{self.name}?v={self.version}"

    async def serve(self, request: Request) -> Response:
        """The file, as the browser takes it, or 304 where it has it already."""
        zipped = takes_gzip(request.headers.get("accept-encoding", ""))
        # A strong tag names bytes: those of one encoding.
        tag = f'"{self.version}-gzip"' if zipped else f'"{self.version}"'
        headers = {
            **PUBLIC,
            "ETag": tag,
            "Cache-Control": self._kept(request.query_params.get("v")),
            "Vary": "Accept-Encoding",
        }
        if knows(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        if zipped:
            headers["Content-Encoding"] = "gzip"
        content = self.gzipped if zipped else self.content
        return Response(content, headers=headers, media_type=TYPES[_ending(self.name)])

    def _kept(self, asked: str | None) -> str:
        if self.name.startswith(PARTS):
            return VERSIONED
        return {None: PLAIN, self.version: VERSIONED}.get(asked, OTHER)


@cache
def assets() -> Mapping[str, Asset]:
    """All of them, by their path; a server reads them at its start."""
    static = files("server") / "static"
    there = {f"{folder}{file.name}": file for folder in ("", PARTS) for file in _in(static, folder)}
    return {
        f"/{name}": _asset(name, file.read_bytes())
        for name, file in there.items()
        if _ending(name) in TYPES
    }


def takes_gzip(accepted: str) -> bool:
    """Whether this Accept-Encoding has gzip in it, and not at a weight of 0."""
    pairs = (each.partition(";") for each in accepted.lower().replace(" ", "").split(","))
    weights = {name: weight for name, _, weight in pairs}
    weight = weights.get("gzip", weights.get("*"))
    return weight is not None and not _NEVER.fullmatch(weight)


def _in(static: Traversable, folder: str) -> list[Traversable]:
    within = static / folder
    return sorted(within.iterdir(), key=lambda file: file.name) if within.is_dir() else []


def _asset(name: str, content: bytes) -> Asset:
    version = sha256(content).hexdigest()[:32]
    return Asset(name, content, compress(content, 9, mtime=0), version)


def _ending(name: str) -> str:
    return name.rpartition(".")[2]
