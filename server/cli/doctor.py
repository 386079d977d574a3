"""`parley doctor`: what is configured, what answers, and what is wrong, in words."""

import argparse
import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from server import VERSION
from server.auth import secret
from server.auth.keys import KeysAway, PublishedKeys
from server.cli.asking import NoAnswer, get
from server.cli.folder import obstacle
from server.cli.port import NoPort, listening, url_of
from server.cli.serving import Health, Serving, leaving, living, recorded, why_not
from server.config import Settings
from storage.errors import StorageError
from storage.sql import open_database
from storage.sql.dsn import path_of
from storage.sql.migrate import pending
from storage.sql.sqlite import has_wal_reset_bug

MIB = 1 << 20
ENOUGH = 1024 * MIB
TOO_LITTLE = 64 * MIB


class Mark(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    NOTE = "note"
    WRONG = "WRONG"


class Finding(Struct, frozen=True):
    """A sentence about one thing, and what to do about it."""

    mark: Mark
    about: str
    sentence: str
    remedy: str = ""

    def __str__(self) -> str:
        words = f"{self.sentence} {self.remedy}" if self.remedy else self.sentence
        return f"{self.mark:<6} {self.about:<12} {words}"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`doctor` takes nothing."""
    parser = subparsers.add_parser(
        "doctor",
        help="say what is configured, what answers and what is wrong",
        description="Says what is configured, what answers and what is wrong. Changes nothing. "
        "Ends with 1 if something is wrong.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """The verb; its result is the process's exit status."""
    wrong = False
    for finding in findings(settings):
        print(finding, flush=True)
        wrong = wrong or finding.mark is Mark.WRONG
    return 1 if wrong else 0


def findings(settings: Settings) -> Iterator[Finding]:
    """What there is to say, as it is found."""
    here = living(settings)
    yield from _configured(settings)
    yield from _secret(settings)
    yield from _data_dir(settings)
    left = None
    if here is not None:
        yield from _held(settings, here[0])
    if here is None or not settings.store_url.startswith("sqlite:"):
        try:
            yield from asyncio.run(_database(settings))
        except StorageError as error:
            left = leaving(settings, error)
            yield _no_database(settings, error, left)
    if settings.redis_url is not None:
        yield from asyncio.run(_redis(settings, settings.redis_url))
    yield from _server(settings, here, left)
    if settings.jwks_url is not None:
        yield asyncio.run(_issuer(settings, settings.jwks_url))


def _configured(settings: Settings) -> Iterator[Finding]:
    yield Finding(
        Mark.OK,
        "settings",
        f"Parley {VERSION}, {settings.env}, model {settings.model}, "
        f"data in {settings.data_dir.absolute()}.",
    )
    for warning in settings.warnings:
        yield Finding(Mark.NOTE, "settings", warning)


def _secret(settings: Settings) -> Iterator[Finding]:
    about = "secret"
    if settings.jwt_secret is not None:
        size = len(settings.jwt_secret.encode())
        yield Finding(Mark.OK, about, f"Tokens are signed with a secret of {size} bytes.")
    elif not settings.development:
        sentence = "There is none, so no visitor can be let in; users' tokens are the issuer's."
        yield Finding(Mark.NOTE, about, sentence, "PARLEY_JWT_SECRET would change that.")
    elif obstacle(settings.data_dir) is not None:
        yield Finding(Mark.NOTE, about, "Without a data folder none can be made.")
    elif not _exists(settings.data_dir / secret.NAME):
        yield Finding(Mark.OK, about, "The first start will make one, in the data folder.")
    else:
        try:
            secret.development_secret(settings.data_dir)
        except secret.SecretUnfit as unfit:
            yield Finding(Mark.WRONG, about, str(unfit))
        else:
            yield Finding(Mark.OK, about, "It is in the data folder, for this user alone.")


def _data_dir(settings: Settings) -> Iterator[Finding]:
    about, folder = "data folder", settings.data_dir
    why = obstacle(folder)
    if why is not None:
        yield Finding(Mark.WRONG, about, why, "Move it away, or change PARLEY_DATA_DIR.")
        return
    place = folder
    while not _exists(place) and place != place.parent:
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        sentence = f"{place.absolute()} is not this user's to write."
        yield Finding(Mark.WRONG, about, sentence, "Change its owner, or PARLEY_DATA_DIR.")
    elif place != folder:
        sentence = f"{folder.absolute()} is not there: no server was started on it yet."
        remedy = "The first start makes it; if there was one, PARLEY_DATA_DIR must say where."
        yield Finding(Mark.NOTE, about, sentence, remedy)
    elif folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        sentence = "Other users of this machine may look into it."
        yield Finding(Mark.NOTE, about, sentence, f"`chmod 700 {folder}` keeps them out.")
    else:
        yield Finding(Mark.OK, about, "It is for this user alone.")
    free = shutil.disk_usage(place).free
    sentence = f"{free // MIB:,} MiB are free."
    if free < ENOUGH:
        mark = Mark.WRONG if free < TOO_LITTLE else Mark.NOTE
        yield Finding(mark, "disk", sentence, "Make room: without it no message is accepted.")
    else:
        yield Finding(Mark.OK, "disk", sentence)


def _exists(path: Path) -> bool:
    """Whether it can be seen: not behind a folder that is closed, nor under a name too long."""
    try:
        return path.exists()
    except OSError:
        return False


class _Ready(Struct, frozen=True):
    dependencies: dict[str, str] = {}


def _held(settings: Settings, serving: Serving) -> Iterator[Finding]:
    """What a server says of the file that it opened, which may not be the one that is there."""
    if not settings.store_url.startswith("sqlite:"):
        return
    try:
        ready = msgspec.json.decode(get(serving.url, "/health/ready"), type=_Ready)
    except (NoAnswer, msgspec.DecodeError, UnicodeDecodeError):
        return  # as the line on the server will say
    if ready.dependencies.get("database", "ok") != "ok":
        path = path_of(settings.store_url)
        sentence = (
            f"The server cannot use {path}: another file has its place, or its log says why."
            if _exists(path)
            else f"{path} was deleted or moved under the server, which accepts nothing now."
        )
        remedy = "Put the file back, or stop the server and start it on what is there."
        yield Finding(Mark.WRONG, "database", sentence, remedy)


def _no_database(settings: Settings, error: StorageError, left: Serving | None) -> Finding:
    if left is not None:
        return Finding(Mark.NOTE, "database", why_not(settings, error))
    sentence = f"It cannot be used: {str(error).removesuffix('.')}."
    return Finding(Mark.WRONG, "database", sentence, "DATABASE_URL says where it is.")


async def _database(settings: Settings) -> list[Finding]:
    """What an open one shows; `StorageError` if it cannot be opened."""
    about, url = "database", settings.store_url
    if url.startswith("sqlite:") and not _exists(path_of(url)):
        why = obstacle(path_of(url).parent)
        if why is not None:
            return [Finding(Mark.WRONG, about, f"It cannot be made: {why}")]
        sentence = f"{path_of(url)} is not there yet."
        return [Finding(Mark.OK, about, sentence, "`parley migrate` makes it.")]
    db = await open_database(url, settings.database)
    try:
        todo = await pending(db)
    finally:
        await db.close()
    found = [Finding(Mark.OK, about, f"It answers: {db.dialect} {db.version}.")]
    if db.dialect == "sqlite" and has_wal_reset_bug(db.version):
        sentence = f"SQLite {db.version} can damage a file that two connections write at once."
        remedy = "Parley writes by one; let no other program write it, or take SQLite 3.51.3."
        found.append(Finding(Mark.NOTE, about, sentence, remedy))
    if todo:
        sentence = f"It lacks migrations: {', '.join(map(str, todo))}."
        found.append(Finding(Mark.WRONG, about, sentence, "Run `parley migrate`."))
    return found


async def _redis(settings: Settings, url: str) -> list[Finding]:
    # Only here: who has none need not load what speaks to it.
    from storage.redis.link import open_link  # noqa: PLC0415
    from storage.redis.roundtrip import RoundTrip  # noqa: PLC0415

    about = "redis"
    try:
        async with open_link(url, settings.redis) as link:
            await RoundTrip(link).ask()
            kind, version, policy = await link.about()
    except StorageError as error:
        remedy = "Start it, or say in REDIS_URL where it is; without it nobody is served."
        return [Finding(Mark.WRONG, about, f"It cannot be used: {error}.", remedy)]
    found = [Finding(Mark.OK, about, f"What is said there is heard: {kind} {version}.")]
    if policy != "noeviction":
        sentence = f"Short of memory it gives up what clients resume from ({policy})."
        remedy = "`maxmemory-policy noeviction` has it refuse new messages instead."
        found.append(Finding(Mark.NOTE, about, sentence, remedy))
    return found


def _server(
    settings: Settings, here: tuple[Serving, Health] | None, left: Serving | None
) -> Iterator[Finding]:
    about = "server"
    if here is not None:
        serving, health = here
        state = "drains" if health.draining else "serves"
        sentence = (
            f"It {state} at {serving.url}: process {serving.pid} since {serving.started}, version "
            f"{health.version}, instance {health.instance}, migration {health.schema_version}, "
            f"{health.sockets} sockets, {health.answers} answers."
        )
        yield Finding(Mark.OK, about, sentence)
        if health.version != VERSION:
            sentence = f"It runs version {health.version}, and this is {VERSION}."
            yield Finding(Mark.NOTE, about, sentence, "Restart it to bring it level.")
        return
    left_behind = recorded(settings.data_dir)
    if left is not None:
        sentence = f"Process {left.pid}, which served at {left.url}, takes nobody any more."
        yield Finding(Mark.NOTE, about, sentence)
    elif left_behind is not None:
        sentence = f"Process {left_behind.pid} served at {left_behind.url}, and does not answer."
        yield Finding(Mark.NOTE, about, sentence, "If it was killed, the next start goes on.")
    else:
        yield Finding(Mark.OK, about, "None runs from this data folder.")
    try:
        listening(settings).close()
    except NoPort as error:
        yield Finding(Mark.WRONG, "port", str(error))
    else:
        free = f"{url_of(settings, settings.port)} is free." if settings.port else "Any free one."
        yield Finding(Mark.OK, "port", free)


async def _issuer(settings: Settings, url: str) -> Finding:
    away: list[KeysAway] = []
    await PublishedKeys(url, settings.auth, report=away.append).find("", "RS256")
    if not away:
        return Finding(Mark.OK, "issuer", f"Its keys are at {url}.")
    remedy = "See PARLEY_JWKS_URL; without keys no user's token is taken."
    return Finding(Mark.WRONG, "issuer", f"No keys from {url}: {away[0]}.", remedy)
