"""These tests run on the event loop that serves, whose selector knows clients from all else."""

from server.net.selector import Loop


def pytest_asyncio_loop_factories() -> dict[str, type[Loop]]:
    """See pytest-asyncio."""
    return {"ours": Loop}
