"""What a socket was opened with, and who that is."""

from protocol.codes import CloseCode, ErrorCode
from server.auth.principal import Kind, Principal
from server.auth.tokens import TokenRefused
from server.errors import ChatError
from server.ws.parts import Parts
from storage.accounts import Act
from storage.errors import StorageError


class Credentials:
    """Of one socket: a header's token or a one-time ticket; a token in `hello` goes before both."""

    def __init__(
        self,
        parts: Parts,
        trace: str,
        *,
        origin: str | None,
        bearer: str | None,
        ticket: str | None,
    ) -> None:
        self._parts = parts
        self._trace = trace
        self._origin = origin
        self._bearer = bearer
        self._ticket = ticket

    async def verify(self, token: str | None) -> Principal:
        """Who speaks; `TokenRefused` if nobody does."""
        token = token or self._bearer
        self._bearer = None  # once is enough, and it need not be kept
        if token is not None:
            return await self._parts.tokens.verify(token, origin=self._origin)
        if self._ticket is not None:
            return await self._redeem(self._ticket)
        raise TokenRefused(CloseCode.UNAUTHENTICATED, "there is none")

    async def _redeem(self, ticket: str) -> Principal:
        try:
            return await self._parts.tickets.redeem(ticket, self._origin)
        except TokenRefused as refused:
            if refused.replayed is not None:  # somebody has got hold of what was another's
                owner = refused.replayed
                act = Act(actor=owner.user, action="ticket.replayed", object=owner.user)
                try:
                    await self._parts.store.internal.audit.append(owner.tenant, act)
                except StorageError as error:  # whatever the store says, the ticket was used
                    self._parts.fault(self._trace, error)
            raise

    async def become(self, before: Principal, now: Principal) -> None:
        """Whether the socket may be the other's from now on: its own, or the visitor's that was.

        What a visitor said goes with them to the user that the host's token names.
        """
        if now.owner == before.owner:
            return
        named = before.kind is Kind.VISITOR and now.kind is Kind.USER
        if not named or now.tenant != before.tenant:
            words = "A socket stays its user's; open another one for other credentials."
            raise ChatError(ErrorCode.FORBIDDEN, words)
        await self._parts.store.internal.accounts.become(now.tenant, before.user, now.user)
