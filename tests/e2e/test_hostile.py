"""Hostile input, done to a real server over raw sockets, from the rows of the vectors.

All rows of a server are done at once, for most of them are a matter of milliseconds and some have
to wait; the tests look up what came of each.
"""

import asyncio
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
from msgspec import Struct

from tests.support.healthy import WORD, Pong, Report, healthy
from tests.support.hostile.rows import Verdict, attack, key_of, server_of
from tests.support.hostile.server import SERVERS, serving
from tests.support.lateness import within
from tests.support.vectors import Row, rows

ROWS = rows("refusals") + rows("fields")
PROMPT_S = 0.1
SHORT = 20  # characters: what is shorter may stand in a log by chance
WORDS = re.compile(rf"[\w-]{{{SHORT},}}", re.ASCII)

# What this server cannot decide yet, or decides otherwise because it offers less or more than the
# row supposes. A row that does as it says is to be taken from here.
NOT_YET = {
    "F11 a collection that is not there": "needs `retrieval`, which is not offered yet",
    "F18 an attachment of another user": "needs `attachments`, which are not offered yet",
    "F11 a tool of one's own where the server has none": "`client_tools` are offered",
    "F11 approve where the server has no approvals": "`approvals` are offered",
    "F11 tool_result where the server has no client tools": "`client_tools` are offered",
    "F21 tool arguments off the schema: 1 MB": "longer than a frame: only a model can say it",
}


class Attacked(Struct):
    """What came of an attack."""

    verdicts: dict[str, Verdict]
    healthy: Report
    status: int  # of the server's exit, when it was asked to end
    log: str
    secrets: list[str]
    trapped: list[str]

    def during(self, pong: Pong) -> list[str]:
        """The rows that were under way while a pong was awaited."""
        return [
            key
            for key, verdict in self.verdicts.items()
            if verdict.began < pong.at + pong.took_s and verdict.ended > pong.at
        ]


class Attack:
    """What came of attacks on servers, once for all tests."""

    def __init__(self, paths: pytest.TempPathFactory, request: pytest.FixtureRequest) -> None:
        self._paths, self._request = paths, request
        self._done: dict[str, Attacked] = {}

    def __call__(self, name: str) -> Attacked:
        """A server of that name after all its rows were done to it."""
        if name not in self._done:
            settings = {}
            if name == "accounts":  # whose rows are changed beside the server
                settings["DATABASE_URL"] = self._request.getfixturevalue("fresh_postgres")()
            self._done[name] = _attacked(name, self._paths.mktemp(name), settings)
        return self._done[name]

    def forget(self, name: str) -> None:
        """Who asks next is told of another attack."""
        del self._done[name]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Attack:
    """The attacks on this module's servers."""
    return Attack(tmp_path_factory, request)


def _attacked(name: str, folder: Path, settings: dict[str, str]) -> Attacked:
    with serving(name, folder, **settings) as server:
        with healthy(server.port, server.person("healthy").token, server.pid) as client:
            mine = [row for row in ROWS if server_of(row) == name]
            verdicts = asyncio.run(attack(server, mine))
            report = client.end()
        status = server.parley.stop(signal.SIGTERM)
        return Attacked(
            verdicts=verdicts,
            healthy=report,
            status=status,
            log=server.parley.log.read_text(),
            secrets=[*server.forge.made, *server.canaries, WORD],
            trapped=server.issuer.trapped,
        )


@pytest.mark.parametrize("row", [pytest.param(row, id=key_of(row)) for row in ROWS])
def test_the_server_does_as_the_row_says(attacked: Attack, row: Row) -> None:
    """One answer or one close, and whether the socket lives on."""
    verdict = attacked(server_of(row)).verdicts[key_of(row)]
    if key_of(row) in NOT_YET:
        assert verdict.wrong is not None, "can be decided by now: take it from the list"
    else:
        assert verdict.wrong is None, verdict.wrong


@pytest.mark.parametrize("name", SERVERS)
def test_the_server_lives_and_keeps_silent(attacked: Attack, name: str) -> None:
    """No failure of its own, no traceback, and nothing of what proves who somebody is."""
    result = attacked(name)
    assert result.status == 0
    failures = [line for line in result.log.splitlines() if '"level":"error"' in line]
    assert failures == []
    assert "Traceback" not in result.log
    said = {word[:SHORT] for word in WORDS.findall(result.log)}
    assert [secret for secret in result.secrets if beginnings(secret) & said] == []


def beginnings(secret: str) -> set[str]:
    """How it would begin in a log, whole or in the parts of a token, but for its header."""
    words = WORDS.findall(secret)
    return {word[:SHORT] for word in (words[1:] if secret.startswith("eyJ") else words)}


@pytest.mark.parametrize("name", ["usual", "issuer"])
def test_nothing_is_fetched_because_a_token_says_so(attacked: Attack, name: str) -> None:
    """Nobody asked at the attacker's address."""
    assert attacked(name).trapped == []


def test_each_row_has_a_name_of_its_own() -> None:
    """By which its verdict is found; and what is left out is among them."""
    assert [key for key, count in Counter(map(key_of, ROWS)).items() if count > 1] == []
    assert NOT_YET.keys() <= {key_of(row) for row in ROWS}


@pytest.mark.parametrize("name", SERVERS)
def test_a_healthy_client_notices_nothing(attacked: Attack, name: str) -> None:
    """Each of its pongs comes at once, and its chat works in the end.

    What counts is what the server computed meanwhile: a machine that is busy with others delays
    everybody's pongs.
    """
    result = attacked(name)
    report = result.healthy
    assert report.pongs > 10
    assert report.text == 3 * WORD
    assert report.outcome == "complete"
    slowest = max(report.worst, key=lambda pong: pong.own_s)
    if slowest.own_s > PROMPT_S:
        attacked.forget(name)  # which all others have looked at
    within(slowest.own_s, PROMPT_S, f"a pong, {result.during(slowest)}")
