"""A database that is restored from an old dump: whoever was ahead of it is told so."""

import asyncio
import random
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conftest import LONG
from tests.faults.device import Device
from tests.faults.plans import script
from tests.faults.town import Town
from tests.faults.view import Frame
from tests.support.programs import environment, find

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


async def restored(database: str, file: Path) -> None:
    """What was done since is gone."""
    parts = urlsplit(database)
    name = parts.path[1:]
    connection = await asyncpg.connect(parts._replace(path="/postgres").geturl())
    try:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    await asyncio.to_thread(filled, database, file)


async def say(device: Device, conversation: str | None = None) -> Frame:
    """A message and its whole answer."""
    into = {} if conversation is None else {"conversation": conversation}
    own = f" {device.name}.{len(device.requests)}"
    ack = await device.ask({"type": "chat", "content": script(own, 3), **into})
    await device.until(lambda: device.at_rest)
    return ack


def contents(device: Device, conversation: str) -> list[str]:
    """What a device shows of a conversation."""
    view = device.view.conversations[conversation]
    shown = [message["content"] for message in view.messages.values()]
    return shown + [answer.text for answer in view.answers.values()]


@pytest.mark.row(35)
@pytest.mark.xfail(reason="a log that is ahead of its database is not noticed yet", strict=True)
async def test_who_knows_more_than_a_restored_database_is_told_that_it_is_gone(
    town: Town, database: str, tmp_path: Path, seeds: range, capsys: pytest.CaptureFixture[str]
) -> None:
    """`recovered: false` with what there is, `not_found` of what is not; then all goes on."""
    await town.start_all()
    for seed in seeds:
        chance = random.Random(seed)
        early, late = [await town.connected(f"{name}{seed}") for name in ("early", "late")]
        ack = await say(early)
        for _ in range(chance.randint(0, 2)):
            await say(early, ack["conversation"])
        kept = set(contents(early, ack["conversation"]))
        file = tmp_path / f"dump{seed}"
        await asyncio.to_thread(dumped, database, file)
        for _ in range(chance.randint(1, 4)):
            await say(early, ack["conversation"])
        gone = await say(late)
        for each in town.instances:
            await each.kill()
        await restored(database, file)
        await town.start_all()

        lost = early.view.lost_positions
        await town.connect(early)
        assert early.view.lost_positions == lost + 1
        shown = set(contents(early, ack["conversation"]))
        assert shown <= kept
        assert shown

        late.view.conversations.clear()
        late.requests.clear()
        await town.connect(late)
        late.write({"type": "attach", "conversation": gone["conversation"]})
        await late.until(lambda: late.refusals["not_found"] > 0)  # noqa: B023

        for _ in range(3):
            await say(early, ack["conversation"])
        again = await town.connected(early.user)
        await again.ask({"type": "attach", "conversation": ack["conversation"], "history": 100})
        assert set(contents(early, ack["conversation"])) <= set(
            contents(again, ack["conversation"])
        )
        assert early.view.faults + again.view.faults == []
    with capsys.disabled():
        print(f"\nrestored databases: n {len(seeds)}, 3/n {3 / len(seeds):.4f}")  # noqa: T201
