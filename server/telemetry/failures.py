"""An exception as a log may hold it: what it was and where, never what it said or held.

Exceptions quote what they choke on: a driver the row, a parser the text. So a log gets types and
places, no values of variables, and only those sentences that are known to be made of ids and codes.
"""

import errno
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import FrameType

from server.errors import ChatError
from server.telemetry.scrub import words
from storage.errors import StorageError

MOST_FRAMES = 20  # the innermost; a recursion has a thousand
MOST_FAILURES = 6  # an exception, its causes, and the parts of a group

_ROOT = str(Path(__file__).parents[2]) + "/"


def told(error: BaseException) -> str:
    """What happened and where, the outermost exception first."""
    lines = []
    for failure in _family(error):
        lines.append(f"{type(failure).__name__}{_sentence(failure)}")
        frames = list(traceback.walk_tb(failure.__traceback__))[-MOST_FRAMES:]
        for frame, line in reversed(frames):
            lines.append(f"  at {_place(frame, line)}")
    return "\n".join(lines)


def stands(frame: FrameType) -> list[str]:
    """Where a thread is that has not failed, the innermost place first."""
    frames = islice(traceback.walk_stack(frame), MOST_FRAMES)
    return [_place(each, line) for each, line in frames]


def _family(error: BaseException) -> Iterator[BaseException]:
    """The exception, what caused it and what it groups, each once, as many as are of use."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < MOST_FAILURES:
        failure = waiting.pop(0)
        if id(failure) in seen:
            continue
        seen.add(id(failure))
        yield failure
        if isinstance(failure, BaseExceptionGroup):
            waiting += failure.exceptions
        cause = failure.__cause__ or (None if failure.__suppress_context__ else failure.__context__)
        if cause is not None:
            waiting.append(cause)


def _sentence(failure: BaseException) -> str:
    match failure:
        case StorageError():  # made of ids by its own rule
            return f": {words(str(failure))}"
        case ChatError():  # its words may quote what a client sent
            return f": {failure.code.value}"
        case OSError(errno=int(number)):
            return f": {errno.errorcode.get(number, number)}"
    return ""


def _place(frame: FrameType, line: int) -> str:
    code = frame.f_code
    _, _, library = code.co_filename.rpartition("site-packages/")
    return f"{library.removeprefix(_ROOT)}:{line} in {code.co_qualname}"
