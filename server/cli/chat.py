"""`parley chat`: a conversation in the terminal, which survives its connections."""

import argparse
import asyncio
import os
import re
import signal
import sys
from io import TextIOWrapper
from typing import TextIO

from websockets.exceptions import InvalidStatus

from protocol.client_states import State
from protocol.codes import CloseCode
from protocol.frames.from_client import VISIBLE, ClientInfo
from protocol.text import well_formed
from protocol.types import ID_PATTERN, Outcome
from server import VERSION
from server.cli import access
from server.cli.access import AccessFailed
from server.cli.link import HungUp, Link, LinkStopped
from server.cli.prompt import Prompt
from server.cli.talk import Talk
from server.cli.terminal import Terminal
from server.config.settings import Settings

INTERRUPTED = 128 + signal.SIGINT
INFO = ClientInfo(name="parley-chat", version=VERSION)

_TOKEN = re.compile(r"[!-~]{1,8192}")  # what a header can bring too
ATTEMPTS = 4  # at a server that hangs up; with the pauses between them some seconds

FINAL: dict[int, str] = {
    CloseCode.TOKEN_EXPIRED: "The token has ended. Bring another by --token or PARLEY_TOKEN.",
    CloseCode.UNAUTHENTICATED: "The server does not accept the token."
    " `parley token --user NAME` prints one that it does.",
    CloseCode.FORBIDDEN: "The server does not let this user chat.",
    CloseCode.CONNECTION_LIMIT: "This user has too many connections; close one and try again.",
    CloseCode.REPLACED: "Another connection took the place of this one.",
    CloseCode.REVOKED: "This user's access was revoked.",
    CloseCode.ERASED: "This user's data were erased.",
    CloseCode.UNSUPPORTED_VERSION: "The server speaks another version of the protocol."
    " Bring client and server to the same version.",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`chat` and what it takes."""
    parser = subparsers.add_parser(
        "chat",
        help="talk to a server",
        description="Talks to a Parley server. With a message: prints the answer as it comes and"
        " ends with 0 (complete), 1 (failed or interrupted) or 130 (stopped by Ctrl-C)."
        " Without: asks for messages; /help lists what else can be said.",
    )
    parser.add_argument("message", nargs="?", help="what to say; - reads it from standard input")
    parser.add_argument("--url", help="the server's address; default: the one that runs here")
    parser.add_argument("--token", help="who you are; default: PARLEY_TOKEN, else a local one")
    parser.add_argument("--conversation", metavar="ID", help="go on with this conversation")
    parser.add_argument("--model", metavar="NAME", help="the model that is to answer")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """The verb; its result is the process's exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an answer may hold what this screen has not
    terminal = Terminal(sys.stdout, sys.stderr, os.environ, asks=sys.stdin.isatty())
    try:
        args.token = args.token or os.environ.get("PARLEY_TOKEN")
        _check(args)
        found = access.find_server(args.url, settings)
        tokens = access.find_tokens(args.token, found, settings)
        return asyncio.run(chat(args, found.url, tokens, terminal, sys.stdin))
    except AccessFailed as failure:
        terminal.end_line()
        terminal.note(str(failure))
        return 1


def _check(args: argparse.Namespace) -> None:
    for what, text in (("token", args.token), ("model", args.model)):
        if not well_formed(text or ""):
            raise AccessFailed(f"The {what} is no text in UTF-8.")
    if args.token and not _TOKEN.fullmatch(args.token):
        raise AccessFailed(
            "The token is none: one has up to 8,192 visible characters of ASCII."
            " `parley token --user NAME` prints one."
        )
    if args.conversation is not None and not re.search(ID_PATTERN, args.conversation):
        raise AccessFailed(f"{args.conversation!r} is no id of a conversation.")
    if args.message == "-":
        args.message = sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")
    if args.message is not None and not re.search(VISIBLE, args.message):
        raise AccessFailed("The message is empty. Leave it out to be asked for messages.")


async def chat(
    args: argparse.Namespace,
    url: str,
    tokens: access.Tokens,
    terminal: Terminal,
    stdin: TextIO,
) -> int:
    """One answer, or as many as somebody asks for."""
    talk = Talk(
        terminal, conversation=args.conversation, model=args.model, prompts=args.message is None
    )

    async def renew() -> str | None:
        try:
            return await tokens()
        except AccessFailed as failure:
            terminal.note(str(failure))
            return None

    link = Link(
        access.socket_url(url), token=await tokens(), renew=renew, on_news=talk.hear, info=INFO
    )
    talk.link = link
    me = asyncio.current_task()
    assert me is not None
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, lambda: _interrupted(talk, terminal, me))
    try:
        async with link:
            await _greeted(link, talk, url)
            if args.message is None:
                await Prompt(talk, terminal).converse(link, stdin)
                return 0 if stdin.isatty() or not talk.asked else _status(talk)
            talk.say(args.message)
            await link.until(lambda: talk.idle or talk.broken is not None)
            talk.check()
            return _status(talk)
    except asyncio.CancelledError:
        terminal.end_line()
        left = args.message is None and talk.idle and link.welcome is not None
        return 0 if left else INTERRUPTED
    except LinkStopped as stopped:
        raise _final(stopped, link, url) from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)  # which asyncio does not


def _interrupted(talk: Talk, terminal: Terminal, me: "asyncio.Task[int]") -> None:
    """Ctrl-C: once for the answer, twice for all."""
    if talk.stopping or not talk.stop():
        me.cancel()
    elif talk.link.state is not State.OPEN:
        terminal.note("There is no connection to stop it by; Ctrl-C again leaves it running.")


async def _greeted(link: Link, talk: Talk, url: str) -> None:
    """Wait until the server has let us in; not for ever where there is none."""
    await link.until(
        lambda: (
            link.welcome is not None
            or talk.broken is not None
            or (link.state is State.WAITING and _is_no_server(link.trouble))
        )
    )
    if link.welcome is None:
        raise talk.broken or _no_welcome(link.trouble, url)
    if talk.conversation is not None:
        link.follow(talk.conversation)
        await link.until(lambda: talk.level or talk.broken is not None)
        talk.check()


def _is_no_server(trouble: Exception | None) -> bool:
    """Whether an attempt failed in a way that another one will not mend by itself."""
    if isinstance(trouble, HungUp):
        return trouble.times >= ATTEMPTS
    return trouble is not None and not isinstance(trouble, InvalidStatus)


def _no_welcome(trouble: Exception | None, url: str) -> AccessFailed:
    if not isinstance(trouble, HungUp):
        return access.no_server(url, trouble)
    return AccessFailed(
        f"What answers at {url} {trouble}, {trouble.times} times in a row. If it is a Parley"
        " server, its log may say why; else name one with --url."
    )


def _status(talk: Talk) -> int:
    """What the last answer came to."""
    if talk.stopped:
        return INTERRUPTED
    return 0 if talk.outcome is Outcome.COMPLETE else 1


def _final(stopped: LinkStopped, link: Link, url: str) -> AccessFailed:
    """Why the server will not have us, in words."""
    if isinstance(link.trouble, InvalidStatus) and link.welcome is None:
        status = link.trouble.response.status_code
        if status not in (401, 403, 426):
            return access.no_server(url, f"HTTP {status}")
    close = stopped.close or CloseCode.ABNORMAL
    return AccessFailed(FINAL.get(close, f"The server ended the connection for good ({close})."))
