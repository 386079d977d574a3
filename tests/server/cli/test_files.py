"""Room for sockets among the files that the process may open."""

import resource
from collections.abc import Iterator

import pytest

from server.cli.files import SPARE, room_for


@pytest.fixture(autouse=True)
def bounds() -> Iterator[tuple[int, int]]:
    """Of this process, as they were afterwards too; the soft one is a usual one meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip(f"this machine lets a process open {hard} files alone")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield 1024, hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_bound_is_raised_to_what_the_sockets_need(bounds: tuple[int, int]) -> None:
    """And no further; the machine's own bound stays."""
    assert room_for(2000) == 2000
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (2000 + SPARE, bounds[1])


def test_a_bound_that_is_wide_enough_stays(bounds: tuple[int, int]) -> None:
    """It may have been set on purpose."""
    assert room_for(1024 - SPARE) == 1024 - SPARE
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == bounds


def test_where_the_machine_gives_less_it_says_for_how_many(bounds: tuple[int, int]) -> None:
    """So that the start can say so."""
    if bounds[1] == resource.RLIM_INFINITY:
        pytest.skip("this machine sets no bound")
    assert room_for(bounds[1]) == bounds[1] - SPARE
