"""How logs are written and followed."""

from typing import Annotated

from msgspec import Meta, Struct


class Options(Struct, frozen=True, kw_only=True):
    """How logs are written and followed."""

    gather_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="milliseconds between two appends of one answer, in which tokens gather; "
            "0: one frame per token",
        ),
    ] = 10.0
    gather_most_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="milliseconds to which that grows while many answers make the process busy",
        ),
    ] = 25.0
    gathered_bytes: Annotated[
        int,
        Meta(ge=1024, le=16 << 20, description="text gathered before the model is made to wait"),
    ] = 64 * 1024
    hold_bytes: Annotated[
        int,
        Meta(ge=0, le=64 << 20, description="deliveries held while a log is read; 0: none"),
    ] = 256 * 1024
    check_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="time between looks at whether followed logs moved on"),
    ] = 4.0  # so that what was missed is found, and told, within 5 s
    page: Annotated[int, Meta(ge=1, le=100_000, description="entries read at once")] = 1000
    idle_streams: Annotated[
        int,
        Meta(ge=0, le=10_000_000, description="logs not in use whose position is remembered"),
    ] = 10_000
