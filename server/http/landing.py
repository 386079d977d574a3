"""What a person sees who opens the server's address in a browser."""

from collections.abc import Awaitable, Callable
from html import escape
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server.http.assets import assets

# The strictest that the page can have. `connect-src 'self'` includes the socket.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}


def landing(base_path: str) -> Callable[[Request], Awaitable[Response]]:
    """The page with the chat, whose links hold below the base path and name the files' versions."""
    page = (files("server") / "static" / "index.html").read_text(encoding="utf-8")
    for asset in assets().values():
        page = page.replace(f'"{{base}}{asset.name}"', f'"{{base}}{asset.address}"')
    page = page.replace("{base}", escape(f"{base_path}/"))

    async def serve(_: Request) -> Response:
        return HTMLResponse(page, headers=HEADERS)

    return serve
