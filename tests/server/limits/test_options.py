"""What can be set about limits."""

from server.auth.policy import LIMITS
from server.auth.principal import Tier
from server.limits.options import Options
from tests.support.people import person


def test_a_person_has_the_limits_of_the_tier_unless_they_are_set_for_all() -> None:
    """0 leaves them to the tier."""
    ann = person("ann", tier=Tier.STARTER)
    assert Options().limits_of(ann) == LIMITS[Tier.STARTER]
    limits = Options(sockets_per_person=3, typing_per_minute=9).limits_of(ann)
    assert (limits.sockets, limits.typing_per_minute) == (3, 9)
    assert limits.messages_per_minute == LIMITS[Tier.STARTER].messages_per_minute


def test_there_is_always_room_for_one_who_has_yet_to_say_who_they_are() -> None:
    """Else nobody could come in."""
    assert Options().unknown_sockets == 1000
    assert Options(sockets=5).unknown_sockets == 1
