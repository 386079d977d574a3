"""What bounds a connection, before and after it becomes a WebSocket."""

from typing import Annotated

from msgspec import Meta, Struct

from protocol.limits import CLIENT_FRAME_BYTES


class Options(Struct, frozen=True, kw_only=True):
    """Settings of the server's sockets; nothing may be 0."""

    backlog: Annotated[
        int, Meta(ge=1, le=65535, description="Connections that may wait to be accepted.")
    ] = 4096
    user_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="Seconds after which the kernel drops a peer that takes nothing "
            "(TCP_USER_TIMEOUT).",
        ),
    ] = 25.0
    header_s: Annotated[
        float, Meta(ge=0.1, le=60, description="Seconds for the head of a request to be complete.")
    ] = 8.0
    header_bytes: Annotated[
        int, Meta(ge=1024, le=1024 * 1024, description="Bytes of a request's line and headers.")
    ] = 16 * 1024
    header_count: Annotated[int, Meta(ge=8, le=1000, description="Headers of a request.")] = 64
    body_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="Seconds in which each further 16 KiB of a request's body, or its end, "
            "must come.",
        ),
    ] = 20.0
    keep_alive_s: Annotated[
        int, Meta(ge=1, le=600, description="Seconds an HTTP connection may wait between requests.")
    ] = 5
    send_buffer_bytes: Annotated[
        int, Meta(ge=4096, le=4 * 1024 * 1024, description="Bytes of the kernel's send buffer.")
    ] = 32 * 1024
    high_water_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=4 * 1024 * 1024,
            description="Bytes waiting for the kernel at which a WebSocket stops being writable.",
        ),
    ] = 32 * 1024
    low_water_bytes: Annotated[
        int,
        Meta(ge=1, le=4 * 1024 * 1024, description="Bytes at which it is writable again."),
    ] = 8 * 1024
    message_bytes: Annotated[
        int,
        Meta(ge=1024, le=CLIENT_FRAME_BYTES, description="Bytes of a message from a client."),
    ] = CLIENT_FRAME_BYTES
    bytes_per_s: Annotated[
        int,
        Meta(
            ge=64 * 1024,
            le=1 << 30,
            description="Bytes that a WebSocket may send us in one second.",
        ),
    ] = 4 * 1024 * 1024
    frames_per_s: Annotated[
        int,
        Meta(
            ge=10,
            le=1_000_000,
            description="Frames of any kind, fragments too, that it may send us in one second.",
        ),
    ] = 1000
    control_frames_per_s: Annotated[
        int, Meta(ge=10, le=1_000_000, description="How many of those may be pings and pongs.")
    ] = 100
    close_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=60,
            description="Seconds for a peer to answer our close, or to take our last bytes, "
            "before it is cut off.",
        ),
    ] = 5.0
    graceful_s: Annotated[
        int,
        Meta(
            ge=1,
            le=600,
            description="Seconds that requests and sockets have to end after the drain.",
        ),
    ] = 4
