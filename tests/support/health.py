"""A server that says of itself what a test wants it to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Asked:
    """Where it is."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"


@contextmanager
def saying(body: object) -> Iterator[Asked]:
    """Answer everything with this as JSON, in a thread of its own."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Nothing is written to the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        asked = Asked(server.server_address[1])
        # Looks often whether it shall end, or each test would wait for it.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def health(instance: str, **rest: object) -> dict[str, object]:
    """What `/health` answers."""
    about = {"name": "parley", "version": "0.1.0", "instance": instance, "schema_version": 2}
    return {**about, "uptime_s": 1, "sockets": 3, "answers": 1, "draining": False, **rest}
