"""The same harness over one server of Redis and over a Cluster."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import pytest

H = TypeVar("H")


def over_redis(
    harness: Callable[[str], AbstractAsyncContextManager[H]],
) -> dict[str, Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[H]]]:
    """By name, for a suite's parameters; `harness` is opened with an address."""
    return {
        "redis": lambda request: harness(request.getfixturevalue("redis_url")),
        "cluster": lambda request: harness(request.getfixturevalue("redis_cluster").url()),
    }
