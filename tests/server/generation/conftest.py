"""Scenes over one migrated database per module, a tenant of its own for each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from storage.sql import Options, open_database
from storage.sql.migrate import migrate
from tests.server.generation.scene import Scene
from tests.support.rows import World

_tenants = count(1)

Makes = Callable[..., Awaitable[Scene]]


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Rows of a test's own."""
    db = await open_database(f"sqlite:///{tmp_path}/test.db", Options(exclusive=False, turn=60.0))
    await migrate(db)
    yield World(db, f"tenant-{next(_tenants)}")
    await db.close()


@pytest.fixture
async def make(world: World) -> AsyncIterator[Makes]:
    """Makes a scene; settings are those of `generation.options`, others are the scene's own."""
    async with AsyncExitStack() as stack:

        async def make(*, own: dict[str, Any] | None = None, **settings: Any) -> Scene:
            scene = Scene(world, **settings)
            for name, value in (own or {}).items():
                setattr(scene, name, value)
            await scene.open()
            stack.push_async_callback(scene.close)
            return scene

        yield make


@pytest.fixture
async def scene(make: Makes) -> Scene:
    """The usual one."""
    return await make()
