"""Which model a name means."""

import pytest

from protocol.codes import ErrorCode
from server.errors import ChatError
from server.providers.base import Model
from server.providers.catalogue import Catalogue
from server.providers.offline import Offline
from server.providers.scripted import Scripted

OFFLINE = Model("offline", Offline())
SCRIPTED = Model("scripted", Scripted(), calls_tools=True)


def test_a_name_finds_its_model_and_none_the_default() -> None:
    """Clients that do not care name none."""
    catalogue = Catalogue([SCRIPTED, OFFLINE], "offline", ["scripted"])
    assert catalogue.find("scripted") is SCRIPTED
    assert catalogue.find(None) is OFFLINE
    assert catalogue.default is OFFLINE
    assert catalogue.fallbacks == (SCRIPTED,)
    assert catalogue.offered == ("scripted", "offline")


@pytest.mark.parametrize("name", ["", "Offline", "offline ", "vendor/large", "x" * 128])
def test_another_name_is_refused_with_what_there_is(name: str) -> None:
    """The words name what is offered, and do not repeat what was sent."""
    with pytest.raises(ChatError) as refused:
        Catalogue([OFFLINE, SCRIPTED], "offline").find(name)
    assert refused.value.code is ErrorCode.INVALID_FIELD
    assert refused.value.message == "`model` is not offered here. These are: offline, scripted."


@pytest.mark.parametrize(("default", "fallbacks"), [("none", []), ("offline", ["none"])])
def test_what_is_configured_must_be_offered(default: str, fallbacks: list[str]) -> None:
    """The start ends there, not the first answer."""
    with pytest.raises(ValueError, match=r"'none' is not offered here; offline are\."):
        Catalogue([OFFLINE], default, fallbacks)


def test_a_name_is_offered_once() -> None:
    """Else one of the two could never be asked."""
    with pytest.raises(ValueError, match="offered twice"):
        Catalogue([OFFLINE, OFFLINE], "offline")
