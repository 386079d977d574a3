"""Tasks with one owner: failures are told, and none outlives it."""

import asyncio

import pytest

from server.background import Background


class Faults(list[tuple[str, BaseException]]):
    """What was told."""

    def __call__(self, name: str, error: BaseException) -> None:
        self.append((name, error))


async def fail() -> None:
    """Fail."""
    raise ValueError("a test")


async def test_what_fails_is_told_by_its_name() -> None:
    """And the loop that fell is known, for readiness."""
    faults = Faults()
    background = Background(faults)
    background.spawn(fail())
    background.loop("appends", fail())
    await background.finish(5)
    await asyncio.sleep(0)
    assert sorted(name for name, _ in faults) == ["appends", "fail"]
    assert background.fallen == ("appends",)
    await background.close()


async def test_closing_ends_everything_and_tells_nothing() -> None:
    """Being cancelled is no fault."""
    faults = Faults()
    background = Background(faults)
    background.spawn(asyncio.Event().wait())  # type: ignore[arg-type] # what it returns is nobody's
    background.loop("for ever", asyncio.Event().wait())  # type: ignore[arg-type] # the same
    await asyncio.sleep(0)
    await background.close()
    assert faults == []


async def test_what_repeats_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure is told."""
    faults = Faults()
    background = Background(faults)
    calls = 0
    thrice = asyncio.Event()
    real = asyncio.sleep
    monkeypatch.setattr("server.background.asyncio.sleep", lambda _: real(0))

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            thrice.set()
        if calls < 3:
            await fail()

    background.every("sweep", 60.0, work)
    await asyncio.wait_for(thrice.wait(), 5)
    assert [name for name, _ in faults] == ["sweep", "sweep"]
    await background.close()
