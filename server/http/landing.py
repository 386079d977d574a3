"""What a person sees who opens the server's address in a browser."""

from collections.abc import Awaitable, Callable
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<base href="{base}">
<title>Parley</title>
<h1>Parley is running</h1>
<p>It is a chat server; clients talk to it over a WebSocket at <code>ws</code>, beside this page.
<p>At a terminal, <code>parley chat "hello"</code> streams an answer.
<ul>
<li><a href="health">health</a>: what runs here
<li><a href="health/ready">health/ready</a>: whether it can do its work
<li><a href="schema/frames.json">schema/frames.json</a>: every frame of the socket
<li><a href="asyncapi.json">asyncapi.json</a>: the socket as a document
</ul>
</html>
"""


def landing(base_path: str) -> Callable[[Request], Awaitable[Response]]:
    """A page without script, style or picture; its links hold below the base path."""
    page = PAGE.replace("{base}", escape(f"{base_path}/"))

    async def serve(_: Request) -> Response:
        return HTMLResponse(page)

    return serve
