"""Ids raced for by processes that know nothing of each other."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from storage.records import Sent
from tests.support.rows import World

ROOT = Path(__file__).parents[2]
PROCESSES = 4
MESSAGES = 250


async def racer(url: str, tenant: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.racer", url, tenant, str(MESSAGES)),
        cwd=ROOT,
        stdin=PIPE,
        stdout=PIPE,
    )


@pytest.mark.parametrize("kind", ["postgresql", "pgbouncer"], indirect=True)
async def test_a_thousand_sends_from_four_processes_are_one_message_per_id(
    world: World, rows_url: str
) -> None:
    """Each id is sent by all four at once; one of them made the message, all know it."""
    racers = [await racer(rows_url, world.tenant) for _ in range(PROCESSES)]
    for process in racers:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    results = await asyncio.gather(*(process.communicate(b"go\n") for process in racers))
    told = [msgspec.json.decode(output, type=list[Sent]) for output, _ in results]
    for same in zip(*told, strict=True):
        assert len({(sent.message, sent.answer, sent.numbers) for sent in same}) == 1
        assert Counter(sent.duplicate for sent in same) == {False: 1, True: PROCESSES - 1}
    (row,) = await world.rows(
        "SELECT COUNT(*) AS n FROM messages WHERE tenant = :tenant", tenant=world.tenant
    )
    assert row == {"n": 2 * MESSAGES}
