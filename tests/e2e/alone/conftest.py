"""Two servers for all dialogues, and a person for each."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.alone.place import House, Person, fresh


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server with its defaults, but for how much one user may say in a minute."""
    here = House(tmp_path_factory.mktemp("house"), PARLEY_LIMITS_MESSAGES_PER_MINUTE="100000")
    here.open()
    yield here
    here.kill()


@pytest.fixture(scope="session")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server whose clocks run out soon and whose log is short."""
    here = House(
        tmp_path_factory.mktemp("hasty"),
        PARLEY_SOCKET_HELLO_S="1",
        PARLEY_SOCKET_HEARTBEAT_S="1",
        PARLEY_SOCKET_PONG_S="1",
        PARLEY_SOCKET_EXPIRED_GRACE_S="0.3",
        PARLEY_LIMITS_MESSAGES_PER_MINUTE="6",
        PARLEY_LOG_ENTRIES="8",
    )
    here.open()
    yield here
    here.kill()


@pytest.fixture(params=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> str:
    """Each of the two."""
    return str(request.param)


@pytest.fixture
async def ada(house: House, encoding: str) -> AsyncIterator[Person]:
    """A user of the first server."""
    async with Person(house, encoding, fresh("ada")) as person:
        yield person


@pytest.fixture
async def eve(house: House, encoding: str) -> AsyncIterator[Person]:
    """Another user of the first server."""
    async with Person(house, encoding, fresh("eve")) as person:
        yield person


@pytest.fixture
async def hurried(hasty: House) -> AsyncIterator[list[Person]]:
    """Users of the second server, one for each encoding, who spend their time together."""
    one, two = (Person(hasty, encoding, fresh("hurried")) for encoding in ("json", "msgpack"))
    async with one, two:
        yield [one, two]


@pytest.fixture(scope="session")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that tests end and start again."""
    here = House(tmp_path_factory.mktemp("mortal"))
    here.open()
    yield here
    here.kill()


@pytest.fixture
async def owners(mortal: House) -> AsyncIterator[list[Person]]:
    """Users of the server that is theirs to end, one for each encoding."""
    one, two = (Person(mortal, encoding, fresh("owner")) for encoding in ("json", "msgpack"))
    async with one, two:
        yield [one, two]
