"""What can be set about credentials."""

from typing import Annotated

from msgspec import Meta, Struct

DAY_S = 86_400


class Options(Struct, frozen=True, kw_only=True):
    """Lives, bounds and periods of credentials; nothing may be 0 unless it is said."""

    leeway_s: Annotated[
        int,
        Meta(
            ge=0,
            le=30,
            description="Seconds by which an issuer's clock may differ from ours; 0: none.",
        ),
    ] = 30
    token_life_s: Annotated[
        int,
        Meta(ge=60, le=DAY_S, description="Seconds that a token may be good for at most."),
    ] = DAY_S
    claims: Annotated[
        str,
        Meta(
            max_length=2048,
            description="Claims under other names, as `ours=theirs` separated by commas:"
            " `tenant=org_id,roles=realm_access.roles`. Empty: none.",
        ),
    ] = ""
    keys_fresh_s: Annotated[
        float,
        Meta(
            ge=1,
            le=300,
            description="Seconds after which the issuer's keys are fetched again; a key that it"
            " removed is refused after at most as long.",
        ),
    ] = 240.0
    keys_stale_s: Annotated[
        float,
        Meta(
            ge=3600,
            le=7 * DAY_S,
            description="Seconds that known keys serve while the issuer does not answer.",
        ),
    ] = 6 * 3600.0
    keys_pause_s: Annotated[
        float,
        Meta(ge=1, le=60, description="Seconds between two attempts to fetch the issuer's keys."),
    ] = 10.0
    keys_timeout_s: Annotated[
        float,
        Meta(ge=0.1, le=30, description="Seconds that fetching the issuer's keys may take."),
    ] = 5.0
    ticket_life_s: Annotated[
        float, Meta(ge=1, le=30, description="Seconds that a ticket is good for.")
    ] = 30.0
    tickets_per_user: Annotated[
        int, Meta(ge=1, le=1000, description="Tickets that one person may hold at once.")
    ] = 20
    tickets: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Tickets that may be out at once, in all.")
    ] = 10_000
    visitor_life_s: Annotated[
        int,
        Meta(ge=60, le=DAY_S, description="Seconds that a visitor's token is good for."),
    ] = 3600
    renewal_life_s: Annotated[
        int,
        Meta(
            ge=60,
            le=30 * DAY_S,
            description="Seconds after its last use that a visitor may come back as the same.",
        ),
    ] = 30 * DAY_S
    renewal_grace_s: Annotated[
        int,
        Meta(
            ge=0,
            le=60,
            description="Seconds that a used renewal secret stays good, for an answer that got"
            " lost; 0: not at all.",
        ),
    ] = 60
    revocations_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=5,
            description="Seconds between two looks at whose sessions were ended.",
        ),
    ] = 2.0
