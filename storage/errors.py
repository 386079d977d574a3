"""What storage can fail with.

StorageError
├── NotFound                   no such row, or not the asker's to see
├── Conflict                   a rule of the schema refused the change
│   ├── IdConflict             the same id with another content
│   ├── ApprovalExpired        the time to decide a tool call has passed
│   ├── DecidedOtherwise       the tool call was decided, and not so
│   ├── NotEditable            the message is a model's
│   └── TooMany                there are as many as there may be
├── Busy                       another holds what was asked for
├── Fenced                     the writer no longer owns what it writes
├── Overloaded                 nothing was done in time; try again
│   └── TooSlow                a statement of it took too long, or a lock was held
├── TooMuch                    there is more to look through than there is time for
├── Unavailable                the store is away; try again
├── Corrupt                    what was stored cannot be read
├── Unsupported                this store cannot do that, ever
└── MigrationError             the schema is not one this code can bring up to date

Attributes first; the sentence is made of them. A sentence may reach an operator's log, so no error
carries a row's text, a bind, or a URL's password.
"""


class StorageError(Exception):
    """The store did not do what was asked of it."""


class NotFound(StorageError):
    """There is no such row, or the asker may not know of it: the two look alike."""

    def __init__(self, what: str, key: str) -> None:
        super().__init__(what, key)
        self.what = what
        self.key = key

    def __str__(self) -> str:
        return f"no {self.what} {self.key!r}"


class Conflict(StorageError):
    """A rule of the schema refused the change; the unit of work left nothing behind.

    `rule` is one of unique, foreign_key, check, not_null, other. `constraint` is PostgreSQL's name
    of it, or the columns where SQLite tells them.
    """

    def __init__(self, rule: str, constraint: str | None = None) -> None:
        super().__init__(rule, constraint)
        self.rule = rule
        self.constraint = constraint

    def __str__(self) -> str:
        return f"the change breaks the schema's rule {self.rule} ({self.constraint or 'unnamed'})"


class IdConflict(Conflict):
    """The id is taken by the same sender for another content."""

    def __init__(self, key: str) -> None:
        super().__init__("unique", "id")
        self.key = key

    def __str__(self) -> str:
        return f"the id {self.key!r} was used for another content; a new content needs a new id"


class ApprovalExpired(Conflict):
    """The time to decide has passed."""

    def __init__(self, call: str) -> None:
        super().__init__("other", "expired")
        self.call = call

    def __str__(self) -> str:
        return f"the time to decide tool call {self.call!r} has passed; it will not run"


class DecidedOtherwise(Conflict):
    """The call was decided otherwise, awaits no such decision, or has other arguments."""

    def __init__(self, call: str) -> None:
        super().__init__("other", "decided")
        self.call = call

    def __str__(self) -> str:
        return f"tool call {self.call!r} was decided otherwise, or has other arguments"


class NotEditable(Conflict):
    """The message is a model's; people rewrite their own words alone."""

    def __init__(self, message: str) -> None:
        super().__init__("other", "role")
        self.message = message

    def __str__(self) -> str:
        return f"message {self.message!r} is an answer; only what a user said is edited"


class TooMany(Conflict):
    """There are as many of a kind as there may be in one place."""

    def __init__(self, what: str, place: str, most: int) -> None:
        super().__init__("other", "too many")
        self.what = what
        self.place = place
        self.most = most

    def __str__(self) -> str:
        return f"{self.place!r} has {self.most} {self.what}, and may have no more"


class Busy(StorageError):
    """What was asked for is held by another; `holder` names it where it is known."""

    def __init__(self, what: str, holder: str | None = None, remedy: str = "") -> None:
        super().__init__(what, holder, remedy)
        self.what = what
        self.holder = holder
        self.remedy = remedy

    def __str__(self) -> str:
        sentence = f"{self.what} is held by {self.holder or 'another'}"
        return f"{sentence}. {self.remedy}" if self.remedy else sentence


class Fenced(StorageError):
    """The writer's fence is not the current one: it lost what it owned and must stop writing."""

    def __init__(self, what: str, fence: int) -> None:
        super().__init__(what, fence)
        self.what = what
        self.fence = fence

    def __str__(self) -> str:
        return f"fence {self.fence} of {self.what} is no longer valid: another owner took over"


class Overloaded(StorageError):
    """Nothing was done, because it could not be done in time; worth trying again."""

    def __init__(self, reason: str, retry_after_ms: int = 1000) -> None:
        super().__init__(reason, retry_after_ms)
        self.reason = reason
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"the store is overloaded ({self.reason}); try again in {self.retry_after_ms} ms"


class TooSlow(Overloaded):
    """A statement was given up for the time it took."""

    def __init__(self) -> None:
        super().__init__("a statement took too long, or a lock was held")


class TooMuch(StorageError):
    """It was not all looked through in the time there is, and what was had nothing of it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} are too much to look through at once"


class Unavailable(StorageError):
    """The store is away. With `outcome_unknown` the change may have been made all the same."""

    def __init__(self, reason: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(reason, outcome_unknown)
        self.reason = reason
        self.outcome_unknown = outcome_unknown

    def __str__(self) -> str:
        sentence = f"the store is unavailable ({self.reason})"
        if self.outcome_unknown:
            return f"{sentence}; whether the change was made is not known, so look before repeating"
        return sentence


class Corrupt(StorageError):
    """What was stored cannot be read as what it should be."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} is damaged; restore it from a backup"


class Unsupported(StorageError):
    """This store cannot do that, and trying again will not change it."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what = what
        self.why = why

    def __str__(self) -> str:
        return f"{self.what} is not possible here: {self.why}"


class MigrationError(StorageError):
    """The database's schema and this code's migrations do not fit together."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}"
