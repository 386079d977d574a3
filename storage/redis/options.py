"""How Redis is used."""

from typing import Annotated

from msgspec import Meta, Struct


class Options(Struct, frozen=True, kw_only=True):
    """How Redis is used."""

    timeout_s: Annotated[
        float,
        Meta(
            ge=0.05,
            le=1.0,
            description="Seconds that a call to Redis may take; then it counts as out of reach.",
        ),
    ] = 0.8  # who meets a Redis that hangs waits for two of them, and is answered within 2 s
    connections: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Connections to each server of Redis, beside one that listens.",
        ),
    ] = 16
    pause_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=5.0,
            description="Seconds between two tries whether a Redis that did not answer does again.",
        ),
    ] = 0.25
    prefix: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=32,
            pattern=r"^[A-Za-z0-9._-]+$",
            description="What keys and channels begin with; two installations on one Redis need "
            "two.",
        ),
    ] = "parley"
