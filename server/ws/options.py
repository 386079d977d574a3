"""How sockets are kept."""

from typing import Annotated

from msgspec import Meta, Struct


class Options(Struct, frozen=True, kw_only=True):
    """How sockets are kept."""

    heartbeat_s: Annotated[
        int, Meta(ge=1, le=3600, description="seconds between pings of the server")
    ] = 25
    pong_s: Annotated[
        float, Meta(gt=0, le=600, description="seconds a pong may take before the socket is closed")
    ] = 10.0
    hello_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds in which `hello` must come")
    ] = 5.0
    verify_s: Annotated[
        float, Meta(gt=0, le=60, description="seconds in which credentials must be verified")
    ] = 10.0
    idle_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="seconds without a frame after which it is closed; 0: never",
        ),
    ] = 0.0
    expiring_s: Annotated[
        float, Meta(ge=1, le=3600, description="seconds before a token's end that a client is told")
    ] = 60.0
    expired_grace_s: Annotated[
        float, Meta(ge=0, le=600, description="seconds after a token's end until the socket closes")
    ] = 30.0
    outbox_bytes: Annotated[
        int,
        Meta(ge=64 * 1024, le=1 << 30, description="live frames that may wait for a slow reader"),
    ] = 1024 * 1024
    waiting_bytes: Annotated[
        int,
        Meta(
            ge=1 << 20,
            le=1 << 34,
            description="bytes of any kind, snapshots and answers too, that may wait for a reader",
        ),
    ] = 32 << 20
    drain_batches: Annotated[
        int, Meta(ge=1, le=1000, description="batches in which `goaway` is sent when draining")
    ] = 20
    drain_pause_s: Annotated[
        float, Meta(ge=0, le=60, description="seconds between two of these batches")
    ] = 0.5
    drain_spread_s: Annotated[
        float,
        Meta(ge=0, le=3600, description="clients are asked to come back within so many seconds"),
    ] = 5.0
    drain_grace_s: Annotated[
        float,
        Meta(ge=0, le=3600, description="seconds that live answers have to end when draining"),
    ] = 30.0
