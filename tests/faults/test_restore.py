"""A database that is restored from an old dump: whoever was ahead of it is told so."""

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conftest import LONG
from tests.faults.device import PATIENCE_S, Cut, Device
from tests.faults.plans import script
from tests.faults.town import Town
from tests.faults.view import Frame
from tests.support import tally
from tests.support.programs import environment, find
from tests.support.waiting import pause

SEEDS = range(50 if LONG else 3)


def dumped(database: str, file: Path) -> None:
    """As `pg_dump` writes it, while servers serve."""
    program = find("pg_dump")
    command = [str(program), "--format=custom", f"--file={file}", database]
    subprocess.run(command, env=environment(program), check=True)


def filled(database: str, file: Path) -> None:
    """As it was then."""
    program = find("pg_restore")
    command = [str(program), "--no-owner", f"--dbname={database}", str(file)]
    subprocess.run(command, env=environment(program), check=True)


@asynccontextmanager
async def connected(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Beside the servers."""
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


async def restored(database: str, file: Path) -> None:
    """What was done since is gone; whoever is connected is cut off."""
    parts = urlsplit(database)
    name = parts.path[1:]
    async with connected(parts._replace(path="/postgres").geturl()) as connection:
        await connection.execute(f'CREATE DATABASE "{name}_again"')
        again = parts._replace(path=f"/{name}_again").geturl()
        await asyncio.to_thread(filled, again, file)
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await connection.execute(f'ALTER DATABASE "{name}_again" RENAME TO "{name}"')


async def beaten(database: str) -> None:
    """Until each server that lives has said so once more."""
    async with connected(database) as connection, asyncio.timeout(PATIENCE_S):

        async def beats() -> dict[str, int]:
            found = await connection.fetch("SELECT id, beat_at FROM incarnations")
            return {row["id"]: row["beat_at"] for row in found}

        before = await beats()
        while not all(now > before[each] for each, now in (await beats()).items()):
            await pause()


async def say(device: Device, conversation: str | None = None) -> Frame:
    """A message and its whole answer."""
    ack = await device.ask(message(device, 3, conversation=conversation))
    await device.until(lambda: device.at_rest)
    return ack


async def begin(device: Device, conversation: str) -> None:
    """A message and the beginning of its answer."""
    ack = await device.ask(message(device, 1000, every_ms=10, conversation=conversation))
    await device.until(lambda: text_of(device, ack["answer"]) != "")


def message(device: Device, tokens: int, *, conversation: str | None, every_ms: float = 0) -> Frame:
    """One that nobody else sends, into that conversation or a new one."""
    own = f" {device.name}.{len(device.requests)}"
    into = {} if conversation is None else {"conversation": conversation}
    return {"type": "chat", "content": script(own, tokens, every_ms), **into}


def text_of(device: Device, answer: str) -> str:
    """What a device shows of an answer."""
    shown = device.view.answer(answer)
    return "" if shown is None else shown.text


def contents(device: Device, conversation: str) -> set[str]:
    """What a device shows of a conversation; answers are empty messages first."""
    view = device.view.conversations[conversation]
    shown = {message["content"] for message in view.messages.values()}
    return (shown | {answer.text for answer in view.answers.values()}) - {""}


async def not_found(town: Town, device: Device, conversation: str) -> None:
    """The device comes back, and learns that there is no such conversation."""
    device.view.conversations.clear()
    device.requests.clear()
    await town.connect(device)
    device.write({"type": "attach", "conversation": conversation})
    await device.until(lambda: device.refusals["not_found"] > 0)


async def same(town: Town, conversation: str, *devices: Device) -> None:
    """All that a reload shows is shown by each of these, once it has come, and nothing else."""
    again = await town.connected(devices[0].user)
    await again.ask({"type": "attach", "conversation": conversation, "history": 100})
    whole = contents(again, conversation)
    for device in devices:
        await device.until(lambda: contents(device, conversation) == whole)  # noqa: B023
        assert device.view.faults == []


@pytest.mark.row(35)
async def test_who_knows_more_than_a_restored_database_is_told_that_it_is_gone(
    town: Town, database: str, tmp_path: Path, seeds: range
) -> None:
    """`recovered: false` with what there is, `not_found` of what is not; then all goes on."""
    await town.start_all()
    for seed in seeds:
        chance = random.Random(seed)
        early, late = [await town.connected(f"{name}{seed}") for name in ("early", "late")]
        talk = (await say(early))["conversation"]
        for _ in range(chance.randint(0, 2)):
            await say(early, talk)
        kept = contents(early, talk)
        file = tmp_path / f"dump{seed}"
        await asyncio.to_thread(dumped, database, file)
        for _ in range(chance.randint(1, 4)):
            await say(early, talk)
        gone = (await say(late))["conversation"]
        for each in town.instances:
            await each.kill()
        await restored(database, file)
        await town.start_all()

        lost = early.view.lost_positions
        await town.connect(early)
        assert early.view.lost_positions == lost + 1
        assert contents(early, talk) == kept
        await not_found(town, late, gone)
        for _ in range(3):
            await say(early, talk)
        await same(town, talk, early)
    tally.count(len(seeds), said="restored databases")


@pytest.mark.row(35)
async def test_a_message_is_told_to_a_log_that_is_ahead_of_it(
    town: Town, database: str, tmp_path: Path, seeds: range
) -> None:
    """Its sender did not attach, others did since: its numbers told something else before."""
    await town.start_all()
    ada, bob = town.instances
    for seed in seeds:
        chance = random.Random(seed)
        early = await town.connected(f"early{seed}")
        talk = (await say(early))["conversation"]
        file = tmp_path / f"dump{seed}"
        await asyncio.to_thread(dumped, database, file)
        for _ in range(seed % 3):
            await say(early, talk)
        await begin(early, talk)
        for each in town.instances:
            await each.kill()
        await restored(database, file)
        await town.start_all()

        sender, watcher = [await town.connected(early.user, to) for to in (ada, bob)]
        await watcher.ask({"type": "attach", "conversation": talk, "history": 100})
        for _ in range(chance.randint(1, 2)):
            await say(sender, talk)
        lost = early.view.lost_positions
        await town.connect(early)
        assert early.view.lost_positions == lost + 1
        await say(early, talk)
        await sender.ask({"type": "attach", "conversation": talk, "history": 100})
        await same(town, talk, early, watcher, sender)
    tally.count(len(seeds), said="restored databases")


@pytest.mark.row(35)
async def test_who_follows_while_the_database_is_swapped_is_told(
    town: Town, database: str, tmp_path: Path, seeds: range
) -> None:
    """The servers live on: nobody says a word, and yet no socket goes on showing what is gone."""
    await town.start_all()
    ada, bob = town.instances
    for seed in seeds:
        chance = random.Random(seed)
        early = await town.connected(f"early{seed}", ada)
        talk = (await say(early))["conversation"]
        twin, late = [await town.connected(user, bob) for user in (early.user, f"late{seed}")]
        await twin.ask({"type": "attach", "conversation": talk, "history": 100})
        kept = contents(early, talk)
        file = tmp_path / f"dump{seed}"
        await asyncio.to_thread(dumped, database, file)
        for _ in range(chance.randint(1, 3)):
            await say(early, talk)
        gone = (await say(late))["conversation"]
        await beaten(database)
        lost = [each.view.lost_positions for each in (early, twin)]
        await restored(database, file)

        for before, each in zip(lost, (early, twin), strict=True):
            await each.until(lambda: each.view.lost_positions > before)  # noqa: B023
            assert contents(each, talk) == kept
        with pytest.raises(Cut):
            await late.until(lambda: False)
        assert late.closes == [4005]
        await not_found(town, late, gone)
        await say(twin, talk)
        await say(early, talk)
        await same(town, talk, early, twin)
    tally.count(len(seeds), said="restored databases")
