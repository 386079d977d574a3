"""Whose tokens were voided before they end: known here within seconds, asked for free."""

from collections.abc import Callable

from msgspec import Struct

from server.auth.options import Options
from server.auth.principal import Principal
from storage.accounts import User
from storage.ids import wall_clock
from storage.store import Accounts
from storage.values import Owner

# What was written by a transaction that began so long ago may become visible only now.
OVERLAP_MS = 60_000


class _Void(Struct, frozen=True):
    """All tokens of who is `disabled`, else those issued before `until` (milliseconds)."""

    until: int
    disabled: bool


class Revocations:
    """A copy of what the store knows. While the store is away, what was known stays so."""

    def __init__(
        self, accounts: Accounts, options: Options, *, clock: Callable[[], int] = wall_clock
    ) -> None:
        self._accounts = accounts
        # A token issued longer ago has ended by itself.
        longest_s = max(options.token_life_s, options.visitor_life_s)
        self._memory_ms = (longest_s + options.leeway_s) * 1000
        self._clock = clock
        self._void: dict[Owner, _Void] = {}
        self._seen: int | None = None

    def is_void(self, principal: Principal) -> bool:
        """Whether the token it came with counts no more.

        A token's date has whole seconds, so one made in the second in which older ones were voided
        is void too: better one sign-in too many than one voided token too few.
        """
        void = self._void.get(principal.owner)
        return void is not None and (void.disabled or principal.issued_at * 1000 < void.until)

    async def refresh(self) -> list[Owner]:
        """Learn what is new, and name whose sockets are to be looked at again with `is_void`.

        The first time all that still counts is read. StorageError: nothing changed.
        """
        oldest = self._clock() - self._memory_ms
        if self._seen is None:
            users = [*await self._accounts.disabled(), *await self._accounts.ended_since(oldest)]
        else:
            users = await self._accounts.ended_since(max(self._seen - OVERLAP_MS, oldest))
        news = [user for user in users if self._learn(user)]
        self._seen = max([self._seen or oldest, *(user.sessions_from for user in users)])
        self._forget(oldest)
        return [Owner(user.tenant, user.id) for user in news]

    def _learn(self, user: User) -> bool:
        owner, void = Owner(user.tenant, user.id), _Void(user.sessions_from, user.disabled)
        if self._void.get(owner) == void:
            return False
        self._void[owner] = void
        return True

    def _forget(self, oldest: int) -> None:
        old = [
            owner for owner, void in self._void.items() if not void.disabled and void.until < oldest
        ]
        for owner in old:
            del self._void[owner]
