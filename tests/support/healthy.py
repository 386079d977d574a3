"""A client that does nothing wrong, as a process of its own: it pings all the time, then chats.

Apart from the tests, so that their own work is not measured as the server's.
"""

import base64
import json
import os
import select
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct

ROOT = Path(__file__).parents[2]
PAUSE_S = 0.004
PATIENCE_S = 30.0
WORD = "all-is-well-and-nobody-logs-it "
SAID = json.dumps({"tokens": 3, "text": WORD})


class Pong(Struct, frozen=True):
    """One that took long: when it was asked for (in wall time), and how long it took.

    `busy_s` is for how long the server computed meanwhile. Where that is less, it had nothing to do
    with it: the machine was busy with others.
    """

    at: float
    took_s: float
    busy_s: float

    @property
    def own_s(self) -> float:
        """What the server took."""
        return min(self.took_s, self.busy_s)


class Report(Struct, frozen=True):
    """How it went."""

    pongs: int
    worst: list[Pong]  # worst first
    text: str  # of the answer to its chat at the end
    outcome: str


class Healthy:
    """The client, seen from the test."""

    def __init__(self, port: int, token: str, pid: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.healthy", str(port), str(pid)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{token}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ready\n"

    def end(self) -> Report:
        """Stop pinging, chat once more, and say how it went."""
        out, _ = self._process.communicate(timeout=PATIENCE_S)
        assert self._process.returncode == 0, out
        return msgspec.json.decode(out, type=Report)

    def kill(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def healthy(port: int, token: str, pid: int) -> Any:
    """A healthy client for the block."""
    client = Healthy(port, token, pid)
    try:
        yield client
    finally:
        client.kill()


class Socket:
    """A blocking WebSocket, as small as can be."""

    def __init__(self, port: int) -> None:
        self._raw = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self._raw.sendall(
            (
                f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        self._file = self._raw.makefile("rb")
        assert self._file.readline().split()[1] == b"101"
        while self._file.readline() != b"\r\n":
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    def send(self, frame: dict[str, Any], opcode: int = 1) -> None:
        """Send a frame, masked with zeros."""
        self._send(opcode, json.dumps(frame).encode())

    def receive(self) -> dict[str, Any]:
        """The next frame; the server's pings are answered on the way."""
        while True:
            opcode, payload = self._next()
            if opcode == 9:
                self._send(10, payload)
                continue
            assert opcode == 1, (opcode, payload)
            frame: dict[str, Any] = json.loads(payload)
            return frame

    def await_type(self, type: str) -> dict[str, Any]:
        """The next frame of that type."""
        while (frame := self.receive())["type"] != type:
            assert frame["type"] != "error", frame
        return frame

    def _next(self) -> tuple[int, bytes]:
        first, length = self._file.read(2)
        if length >= 126:
            length = int.from_bytes(self._file.read(2 if length == 126 else 8), "big")
        return first & 0xF, self._file.read(length)

    def _send(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        head = bytes([0x80 | opcode, 0x80 | length]) if length < 126 else b""
        head = head or bytes([0x80 | opcode, 0x80 | 126]) + length.to_bytes(2, "big")
        self._raw.sendall(head + bytes(4) + payload)


def main(port: int, pid: int) -> None:
    """Ping until nothing is to be read any more from those who started it."""
    token = sys.stdin.readline().strip()
    with suppress(PermissionError):
        os.nice(-10)  # its own waiting for a processor would be measured as the server's
    with Socket(port) as client:
        client.send({"type": "hello", "token": token})
        client.await_type("welcome")
        say("ready")
        pongs = 0
        worst: list[Pong] = []
        while not ended(within_s=PAUSE_S):
            began, busy = time.time(), computed_s(pid)
            asked = time.perf_counter()
            client.send({"type": "ping", "id": f"p{pongs}"})
            pong = client.await_type("pong")
            took = time.perf_counter() - asked
            assert pong["id"] == f"p{pongs}", pong
            pongs += 1
            if took > 0.02 or len(worst) < 5:
                worst.append(Pong(began, took, computed_s(pid) - busy))
        client.send({"type": "chat", "id": "last", "content": SAID, "model": "scripted"})
        text = ""
        while (frame := client.receive())["type"] != "complete":
            assert frame["type"] != "error", frame
            text += frame["text"] if frame["type"] == "chunk" else ""
        worst.sort(key=lambda pong: pong.took_s, reverse=True)
        report = Report(pongs, worst[:40], text, frame["outcome"])
    say(msgspec.json.encode(report).decode())


def say(line: str) -> None:
    """To those who started it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def ended(within_s: float) -> bool:
    """Whether those who started it close its input within that time."""
    return bool(select.select([0], [], [], within_s)[0])


def computed_s(pid: int) -> float:
    """For how long the process has computed, in all its threads."""
    nanoseconds = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def starved_s(pid: int) -> float:
    """For how long its first thread was ready to run and had no processor."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
