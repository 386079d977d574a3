"""`parley schema`: the wire as documents that programs read."""

import argparse
import json
import sys

from protocol.documents import asyncapi, schema
from server.config import Settings

_DOCUMENTS = {"frames": schema.document, "asyncapi": asyncapi.document}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`schema` and what it takes."""
    parser = subparsers.add_parser(
        "schema",
        help="print the JSON Schema of the frames, or the AsyncAPI document",
        description="Prints the JSON Schema of every frame, or the AsyncAPI document.",
    )
    parser.add_argument("document", nargs="?", choices=list(_DOCUMENTS), default="frames")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """The verb; its result is the process's exit status."""
    document = _DOCUMENTS[args.document]()
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return 0
