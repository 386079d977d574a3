"""The verbs of `parley`, one module each; only the one that is asked for is loaded."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from server.config import ConfigError, Problem, Settings, dotenv, load

VERBS = ("serve", "chat", "token", "migrate", "doctor", "schema")
BAD_SETTINGS = 2  # as argparse ends over bad arguments


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; what it returns is the process's exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser(given).parse_args(given)
    try:
        status: int = args.run(args, settings_here())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return BAD_SETTINGS
    except BrokenPipeError:  # as in `parley schema | head`; nobody reads what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return status


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
        "the environment and from .env in this folder; README.md lists them.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in given[:1] if given and given[0] in VERBS else VERBS:
        import_module(f"server.cli.{verb}").add_parser(verbs)
    return parser
