"""From a peer's bytes to messages: the websockets library's framing, with a bound on all of it."""

import logging
from typing import TypeAlias, cast

from msgspec import Struct
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.typing import BytesLike

from protocol.codes import CloseCode
from server.net.meter import Meter
from server.net.options import Options

# How much is parsed before its frames are counted: one read may bring 256 KiB, or 40,000 frames.
SLICE_BYTES = 4096

# At DEBUG the library would log every frame, which is people's words.
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.setLevel(logging.ERROR)


class Pong(Struct, frozen=True):
    """The peer's answer to the ping that carried the same."""

    payload: bytes


Event: TypeAlias = str | bytes | Pong


class Reader:
    """Reads one peer's frames, and knows how their exchange ends; after each call, `replies`."""

    __slots__ = ("_conn", "_fragments", "_meter", "_textual")

    def __init__(self, options: Options) -> None:
        self._meter = Meter(options)
        self._conn = Protocol(
            SERVER, state=OPEN, max_size=options.message_bytes, logger=_library_log
        )
        self._fragments: bytearray | None = None
        self._textual = False

    @property
    def ended(self) -> bool:
        """Whether the peer closed or broke a rule: after the replies nothing is to be said."""
        return self._conn.eof_sent

    @property
    def code(self) -> int:
        """The code it ended with: the peer's own, or that of its fault."""
        close = self._conn.close_rcvd or self._conn.close_sent
        return CloseCode.ABNORMAL if close is None else close.code

    def read(self, data: bytes, now: float) -> list[Event]:
        """What the bytes complete, up to the peer's close or its first fault."""
        events: list[Event] = []
        fault = None if self._meter.read(len(data), now) else CloseCode.RATE_LIMITED
        for start in range(0, len(data), SLICE_BYTES):
            if fault is not None or self.ended:
                break
            self._conn.receive_data(data[start : start + SLICE_BYTES])
            for frame in cast(list[Frame], self._conn.events_received()):
                fault = self._take(frame, events)
                if fault is not None:
                    break
        if fault is not None:
            self._conn.fail(fault, fault.reason)
        return events

    def close(self, code: CloseCode) -> None:
        """Start the closing handshake."""
        self._conn.send_close(code, code.reason)

    def replies(self) -> list[bytes]:
        """The frames to send now, each whole: pongs, and at the end the close."""
        return self._conn.data_to_send()

    def _take(self, frame: Frame, events: list[Event]) -> CloseCode | None:
        """Count the frame and add what it completes; the code if it may not be."""
        if not self._meter.frame(control=frame.opcode in CTRL_OPCODES):
            return CloseCode.RATE_LIMITED
        if frame.opcode is Opcode.PONG:
            events.append(Pong(bytes(frame.data)))
        if frame.opcode in CTRL_OPCODES:  # the library has answered pings and closes
            return None
        message = self._joined(frame)
        if message is None:
            return None
        try:
            events.append(bytes(message).decode() if self._textual else bytes(message))
        except UnicodeDecodeError:
            return CloseCode.INVALID_TEXT
        return None

    def _joined(self, frame: Frame) -> BytesLike | None:
        """The message that the frame completes; fragments are joined, so empty ones are free."""
        if frame.opcode is not Opcode.CONT:
            self._textual = frame.opcode is Opcode.TEXT
            if frame.fin:
                return frame.data
            self._fragments = bytearray()
        assert self._fragments is not None  # the library refuses a continuation of nothing
        self._fragments += frame.data
        if not frame.fin:
            return None
        whole, self._fragments = self._fragments, None
        return whole
