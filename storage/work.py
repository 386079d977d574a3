"""Rows of what is done in the background, and of what is paid for."""

from enum import StrEnum

from protocol.types import Guarded
from storage.values import EMPTY_OBJECT, Json, Spent

JOB_ATTEMPTS = 8


class NewJob(Guarded, frozen=True, kw_only=True):
    """Work to be done later. An open job of the same tenant, kind and `dedupe` stands for it."""

    kind: str
    payload: Json = EMPTY_OBJECT
    tenant: str = ""  # the installation's own
    dedupe: str | None = None
    delay_ms: int = 0
    max_attempts: int = JOB_ATTEMPTS


class JobState(StrEnum):
    """`open` is waiting or leased; `dead` waits for a person."""

    OPEN = "open"
    DONE = "done"
    DEAD = "dead"


class Progress(Guarded, frozen=True, kw_only=True):
    """How far a job is; `total` is None while unknown."""

    done: int
    total: int | None = None
    text: str = ""


class Job(Guarded, frozen=True, kw_only=True):
    """A job as it stands. `lease` numbers its leases and is what a holder shows."""

    id: str
    tenant: str
    kind: str
    payload: Json
    dedupe: str | None
    state: JobState
    run_at: int
    attempts: int
    max_attempts: int
    holder: str | None
    lease: int
    last_error: str | None
    progress: Progress | None
    created_at: int
    finished_at: int | None


class Schedule(Guarded, frozen=True, kw_only=True):
    """A job to enqueue again and again, by one instance each time."""

    name: str
    kind: str
    every_ms: int
    payload: Json = EMPTY_OBJECT
    tenant: str = ""


class Expense(Guarded, frozen=True, kw_only=True):
    """One paid call. `key` is the caller's and makes it count once; see `step_key`."""

    key: str
    feature: str
    model: str
    provider: str
    spent: Spent
    answer: str | None = None


def step_key(answer: str, attempt: int, step: int) -> str:
    """The key of one step of one attempt at an answer."""
    return f"{answer}:{attempt}:{step}"


class SumBy(StrEnum):
    """What expenses can be summed by."""

    OWNER = "owner"
    DAY = "day"
    MODEL = "model"
    FEATURE = "feature"


class SpentBy(Guarded, frozen=True, kw_only=True):
    """A sum of expenses; the attributes summed over are None."""

    owner: str | None = None
    day: int | None = None  # days since 1970, UTC
    model: str | None = None
    feature: str | None = None
    calls: int
    spent: Spent
