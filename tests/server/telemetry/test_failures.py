"""An exception in the log: what and where, without its words."""

import errno
from collections.abc import Callable

import pytest

from protocol.codes import ErrorCode
from server.errors import ChatError
from server.telemetry.failures import MOST_FAILURES, MOST_FRAMES, told
from storage.errors import NotFound, Unavailable

CANARY = "my dog is called Wotan"


def caught(act: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as info:  # noqa: PT011 - whatever it is
        act()
    return info.value


def fail(error: BaseException) -> BaseException:
    def act() -> None:
        text = CANARY
        assert text
        raise error

    return caught(act)


def test_it_says_what_happened_and_where() -> None:
    """The innermost place first, as paths of the project."""
    [what, where, *_] = told(fail(ValueError("no"))).splitlines()
    assert what == "ValueError"
    assert where.startswith("  at tests/server/telemetry/test_failures.py:")
    assert where.endswith(" in fail.<locals>.act")


@pytest.mark.parametrize(
    "error",
    [
        ValueError(CANARY),
        KeyError(CANARY),
        UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, "no"),
    ],
)
def test_it_says_nothing_that_the_exception_said_or_held(error: BaseException) -> None:
    """Neither its words nor the values of variables on the way."""
    assert CANARY not in told(fail(error))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NotFound("answer", "msg_1"), "NotFound: no answer 'msg_1'"),
        (Unavailable("closed"), "Unavailable: the store is unavailable (closed)"),
        (ChatError(ErrorCode.INVALID_FIELD, f"no such {CANARY}"), "ChatError: invalid_field"),
        (OSError(errno.ENOSPC, CANARY, f"/{CANARY}"), "OSError: ENOSPC"),
        (OSError(CANARY), "OSError"),
        (OSError(99999, CANARY), "OSError: 99999"),
    ],
)
def test_sentences_of_ids_and_codes_are_kept(error: BaseException, sentence: str) -> None:
    """Those of the store are made of ids by its own rule; an OSError has a number."""
    assert told(error) == sentence


def test_causes_and_parts_of_a_group_are_told() -> None:
    """Each once, also where they go in a circle."""
    first, second = KeyError(CANARY), ValueError(CANARY)
    first.__cause__, second.__context__ = second, first
    group = ExceptionGroup(CANARY, [first, TypeError(CANARY)])
    assert told(group).splitlines() == ["ExceptionGroup", "KeyError", "TypeError", "ValueError"]


def test_what_was_suppressed_is_left_out() -> None:
    """`raise … from None` means it."""
    error = ValueError()
    error.__context__, error.__suppress_context__ = KeyError(), True
    assert told(error) == "ValueError"


def test_it_stays_short() -> None:
    """A recursion has a thousand frames, a group any number of parts."""

    def deeper() -> None:
        deeper()

    assert len(told(caught(deeper)).splitlines()) == 1 + MOST_FRAMES
    many = ExceptionGroup("", [ValueError() for _ in range(100)])
    assert len(told(many).splitlines()) == MOST_FAILURES


def test_a_library_is_named_by_its_path_alone() -> None:
    """Where it is installed is nobody's business."""
    import msgspec

    error = caught(lambda: msgspec.structs.asdict(1))  # type: ignore[arg-type]
    assert "site-packages" not in told(error)
    assert "/" not in told(error).replace("tests/server/telemetry/", "")
