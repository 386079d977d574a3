"""What can be set about limits."""

from typing import Annotated

from msgspec import Meta, Struct, structs

from protocol.limits import Limits
from server.auth.policy import limits_of
from server.auth.principal import Principal


class Options(Struct, frozen=True, kw_only=True):
    """Rates and counts. A limit of a person that is 0 is left to the person's tier."""

    messages_per_minute: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Messages a person may send; 0: as the tier says."),
    ] = 0
    typing_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="`typing` frames a person may send; 0: as the tier says.",
        ),
    ] = 0
    sockets_per_person: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Sockets of one person; 0: as the tier says."),
    ] = 0
    requests_at_once: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Requests of a person at a time: so many that read, so many that change.",
        ),
    ] = 4
    burst_s: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="Seconds' worth of a rate that may be used at once.",
        ),
    ] = 60.0
    handshakes_per_minute: Annotated[
        int,
        Meta(ge=1, le=10_000_000, description="Handshakes of one address (IPv6: of one /64)."),
    ] = 6000
    handshakes_burst: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Handshakes of one address that may come at once."),
    ] = 1000
    handshakes_per_s: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Handshakes that this process takes in a second, from everywhere; fewer "
            "while it does not keep up. Some wait for it, the others are told when to come back.",
        ),
    ] = 1000
    arrivals_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Visitors who may come from one address, new or again.",
        ),
    ] = 600
    reads_per_minute: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Requests of a person over HTTP that read."),
    ] = 600
    changes_per_minute: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Requests of a person over HTTP that change rows."),
    ] = 120
    remembered: Annotated[
        int,
        Meta(
            ge=100,
            le=10_000_000,
            description="Persons, and addresses, whose rates are remembered at once.",
        ),
    ] = 100_000
    memory_mib: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 24,
            description="MiB of memory from which on this process takes no new messages and "
            "sockets; 0: 85 % of what its control group or the machine has.",
        ),
    ] = 0
    loop_held_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=60,
            description="Seconds that the event loop may be held before that is logged and this "
            "process counts as not ready.",
        ),
    ] = 2.0
    loop_smooth_s: Annotated[
        float,
        Meta(ge=0, le=600, description="Seconds after which it is ready again."),
    ] = 5.0
    sockets: Annotated[int, Meta(ge=1, le=1_000_000, description="Sockets of this process.")] = (
        10_000
    )
    sockets_per_address: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Sockets of one address (IPv6: of one /64).")
    ] = 2000
    sockets_per_tenant: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Sockets of one tenant; 0: as many as there may be."),
    ] = 0
    unknown_share: Annotated[
        float,
        Meta(
            gt=0,
            le=0.1,
            description="Part of all sockets that may be open without having said who they are.",
        ),
    ] = 0.1

    @property
    def unknown_sockets(self) -> int:
        """How many sockets may be open that have not said who they are."""
        return max(1, int(self.sockets * self.unknown_share))

    def limits_of(self, principal: Principal) -> Limits:
        """What bounds this principal, as `welcome` tells it: the tier's, unless set for all."""
        set_for_all = {
            "messages_per_minute": self.messages_per_minute,
            "typing_per_minute": self.typing_per_minute,
            "sockets": self.sockets_per_person,
        }
        return structs.replace(
            limits_of(principal), **{name: most for name, most in set_for_all.items() if most}
        )
