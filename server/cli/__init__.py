"""The verbs of `parley`, one module each; only the one that is asked for is loaded."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import IO

from server.config import ConfigError, Problem, Settings, dotenv, load

VERBS = ("serve", "chat", "token", "migrate", "doctor", "schema")
BAD_SETTINGS = 2  # as argparse ends over bad arguments
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; what it returns is the process's exit status."""
    _open_streams()
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()  # at the interpreter's end it would be too late for words
    except BrokenPipeError:  # as in `parley schema | head`; nobody reads what is left
        _drop(sys.stdout)
        return 1
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _drop(sys.stdout)
        try:
            print(f"The output cannot be written: {error.strerror}.", file=sys.stderr, flush=True)
        except OSError:
            _drop(sys.stderr)
        return 1


def _run(given: Sequence[str]) -> int:
    args = _parser(given).parse_args(given)
    try:
        status: int = args.run(args, settings_here())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return BAD_SETTINGS
    return status


def _open_streams() -> None:
    """Those that were closed before we began, as by `>&-`: a socket would get their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            opened = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, opened)


def _drop(stream: IO[str]) -> None:
    """What it still holds goes nowhere, instead of failing once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def settings_here() -> Settings:
    """What the environment and `.env` in the working folder say."""
    try:
        env_file = dotenv.legible(Path(".env").read_bytes())
    except FileNotFoundError:
        env_file = None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError([Problem(".env", f"The file cannot be read: {why}.")]) from None
    return load(os.environ, env_file)


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parley",
        description="A chat server for language models, and what goes with it. Settings come from "
        "the environment and from .env; README.md lists them.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in given[:1] if given and given[0] in VERBS else VERBS:
        import_module(f"server.cli.{verb}").add_parser(verbs)
    return parser
