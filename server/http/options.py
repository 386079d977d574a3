"""What can be set about the plain HTTP side."""

from typing import Annotated

from msgspec import Meta, Struct


class Options(Struct, frozen=True, kw_only=True):
    """Deadlines and bounds; nothing may be 0 unless it is said."""

    body_s: Annotated[
        float,
        Meta(ge=0.01, le=30, description="Seconds in which a small JSON body must be complete."),
    ] = 15.0
    probe_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=2,
            description="Seconds after which a dependency that does not answer counts as slow.",
        ),
    ] = 1.0
    probe_keep_s: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="Seconds for which what was found of the dependencies is told again;"
            " 0: look each time.",
        ),
    ] = 1.0
