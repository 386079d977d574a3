"""Conversations over HTTP: what a socket does to them, and what only a list or a file needs."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from protocol.codes import ErrorCode
from protocol.frames import from_client as c
from protocol.frames import objects as o
from protocol.types import ID_PATTERN
from server.auth.principal import Principal
from server.conversations import Conversations
from server.errors import ChatError, RateLimited
from server.http import cursors, export
from server.http.asked import (
    Changing,
    Creating,
    ExportQuery,
    Format,
    ListQuery,
    MessagesPlace,
    MessagesQuery,
    NoQuery,
    Rated,
    TimePlace,
    TitlePlace,
)
from server.http.bearer import Bearer
from server.http.bodies import JsonResponse, read_json, read_query, single
from server.limits.options import Options
from server.limits.rates import Rates
from server.limits.shares import Shares
from server.streams import shapes
from server.streams.pages import page
from storage.errors import NotFound, Overloaded, Unavailable
from storage.records import Change, Conversation, Cursor, ListedBy, Listing, NewConversation
from storage.store import Store
from storage.values import EMPTY_OBJECT, Json, Owner, Spent

BODY_BYTES = 32 * 1024  # a prompt of 8 KiB may be written in escapes alone
EXPORT_PAGE = 50  # messages that are in memory at once
EXPORT_PAUSES_S = (0.5, 1.0, 2.0, 4.0)  # before a page that was refused is asked for again

T = TypeVar("T")

_ID = re.compile(ID_PATTERN)
_NOTHING: dict[str, Any] = {
    "model": None,
    "metadata": {},
    "last_message": None,
    "usage": Spent().usage(),
    "cost_usd": 0.0,
}


class ConversationDesk:
    """`/api/v1/conversations` and what is below it, each for its owner alone."""

    def __init__(
        self,
        bearer: Bearer,
        conversations: Conversations,
        store: Store,
        rates: Rates,
        options: Options,
        *,
        reads: Shares,
        changes: Shares,
        searches: Shares,
        body_s: float,
    ) -> None:
        self._bearer = bearer
        self._conversations = conversations
        self._store = store
        self._rates = rates
        self._options = options
        self._reads = reads
        self._changes = changes
        self._searches = searches
        self._body_s = body_s

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def list(self, request: Request) -> Response:
        """A page of the caller's conversations."""
        owner = (await self._reader(request)).owner
        query = read_query(request, ListQuery)
        listing = Listing(
            status=query.status, text=query.q, by=query.sort, descending=query.descending
        )
        kind: type[Cursor] = TitlePlace if query.sort is ListedBy.TITLE else TimePlace
        after = None if query.cursor is None else cursors.read(query.cursor, kind, listing)
        shares = self._reads if query.q is None else self._searches
        async with shares.one(owner):
            if query.q is not None and await request.is_disconnected():
                raise ClientDisconnect  # who typed on has left, and searches anew
            found = await self._store.conversations.list(
                owner, listing, after=after, limit=query.limit
            )
        following = None if found.next is None else cursors.spell(found.next, listing)
        return _listed([_told(each) for each in found.items], following, found.total)

    async def read(self, request: Request) -> Response:
        """One of them."""
        owner, id = (await self._reader(request)).owner, _id(request)
        read_query(request, NoQuery)
        async with self._reads.one(owner):
            return JsonResponse(_told(await self._store.conversations.get(owner, id)))

    async def messages(self, request: Request) -> Response:
        """A page of one branch, as `history` has it: the newest page first, its oldest first."""
        principal, id = await self._reader(request), _id(request)
        owner, query = principal.owner, read_query(request, MessagesQuery)
        before, total = query.before, None
        if query.cursor is not None:
            place = cursors.read(query.cursor, MessagesPlace, id)
            before, total = place.before, place.total
        limits = self._options.limits_of(principal)
        async with self._reads.one(owner):
            branch = await self._conversations.history(
                owner, id, limits, before=before, leaf=query.leaf, limit=query.limit
            )
            if total is None:
                path = await self._store.history.path(owner, id, leaf=query.leaf or before)
                total = len(path) - (before is not None)
        items, cut = page(branch.messages)
        following = None
        if cut or branch.more:
            following = cursors.spell(MessagesPlace(items[0].id, total), id)
        return _listed(items, following, total)

    async def export(self, request: Request) -> Response:
        """The whole conversation as a file."""
        owner, id = (await self._reader(request)).owner, _id(request)
        wanted = read_query(request, ExportQuery).format
        async with self._reads.one(owner):
            row = await self._store.conversations.get(owner, id)
        shown = shapes.conversation(row)
        if wanted is Format.JSON:
            kind, pieces = "json", export.as_json(_told(row), self._tree(owner, id))
        else:
            kind, pieces = "md", export.as_markdown(shown, self._branch(owner, id))
        headers = export.headers(shown, kind)
        return StreamingResponse(() if request.method == "HEAD" else pieces, headers=headers)

    async def _tree(self, owner: Owner, id: str) -> AsyncIterator[Sequence[o.Message]]:
        history, after = self._store.history, 0
        while True:
            rows = await self._part(
                owner, partial(history.made, owner, id, after=after, limit=EXPORT_PAGE)
            )
            yield [shapes.message(row) for row in rows]
            if len(rows) < EXPORT_PAGE:
                return
            after = rows[-1].number

    async def _branch(self, owner: Owner, id: str) -> AsyncIterator[Sequence[o.Message]]:
        path = await self._part(owner, partial(self._store.history.path, owner, id))
        for begin in range(0, len(path), EXPORT_PAGE):
            part = path[begin : begin + EXPORT_PAGE]
            branch = await self._part(
                owner,
                partial(self._store.history.branch, owner, id, leaf=part[-1], limit=len(part)),
            )
            yield [shapes.message(row) for row in branch.messages]

    async def _part(self, owner: Owner, read: Callable[[], Awaitable[T]]) -> T:
        """Part of a file that has begun, which nothing that passes may cut off."""
        for pause_s in EXPORT_PAUSES_S:
            with suppress(Overloaded, Unavailable):
                async with self._reads.one(owner):
                    return await read()
            await asyncio.sleep(pause_s)
        async with self._reads.one(owner):
            return await read()

    # ── changing ─────────────────────────────────────────────────────────────────────────────────

    async def create(self, request: Request) -> Response:
        """An empty one; the same `Idempotency-Key` again finds it."""
        principal, key = await self._changer(request), _key(request)
        asked = await self._body(request, Creating)
        new = NewConversation(
            title=asked.title,
            model=asked.model,
            system_prompt=asked.system_prompt,
            collection=asked.collection,
            metadata=_json(asked.metadata),
        )
        limits = self._options.limits_of(principal)
        async with self._changes.one(principal.owner):
            made = await self._conversations.create(principal, key, new, limits)
        return JsonResponse(_told(made), 201)

    async def change(self, request: Request) -> Response:
        """Its title, its status, and what its answers are made with."""
        principal, id = await self._changer(request), _id(request)
        asked = await self._body(request, Changing)
        change = Change(
            title=asked.title,
            status=asked.status,
            model=asked.model,
            system_prompt=asked.system_prompt,
            collection=asked.collection,
            metadata=UNSET if asked.metadata is UNSET else _json(asked.metadata),
        )
        limits = self._options.limits_of(principal)
        async with self._changes.one(principal.owner):
            changed = await self._conversations.change(principal, id, change, limits)
        return JsonResponse(_told(changed))

    async def delete(self, request: Request) -> Response:
        """Gone, on all devices."""
        owner, id = (await self._changer(request)).owner, _id(request)
        async with self._changes.one(owner):
            await self._conversations.delete(owner, id)
        return Response(status_code=204)

    async def feedback(self, request: Request) -> Response:
        """What the caller thinks of a message of it."""
        owner, id = (await self._changer(request)).owner, _id(request)
        key, asked = _key(request), await self._body(request, Rated)
        frame = c.GiveFeedback(
            id=key, message=asked.message, rating=asked.rating, comment=asked.comment
        )
        async with self._changes.one(owner):
            saved = await self._conversations.feedback(owner, frame, conversation=id)
        told = {"conversation": id, "message": saved.message}
        return JsonResponse(told | msgspec.to_builtins(shapes.feedback(saved)))

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    async def _reader(self, request: Request) -> Principal:
        most = self._options.reads_per_minute
        return await self._caller(request, self._rates.read, most)

    async def _changer(self, request: Request) -> Principal:
        most = self._options.changes_per_minute
        principal = await self._caller(request, self._rates.change, most)
        read_query(request, NoQuery)  # what changes something is said in the path and the body
        return principal

    async def _caller(
        self, request: Request, wait_ms: Callable[[Owner], int], per_minute: int
    ) -> Principal:
        """Who asks, if they have not asked too often."""
        principal = await self._bearer.principal(request)
        wait = wait_ms(principal.owner)
        if wait:
            raise RateLimited("Too many requests; come back later.", wait, per_minute)
        return principal

    async def _body(self, request: Request, type: type[c.Strict]) -> Any:
        return await read_json(request, type, most_bytes=BODY_BYTES, within_s=self._body_s)


def _listed(items: Sequence[Any], following: str | None, total: int) -> Response:
    return JsonResponse({"items": items, "next_cursor": following, "total": total})


def _told(row: Conversation) -> dict[str, Any]:
    """As frames show it, with what they leave out where there is nothing to say."""
    shown: dict[str, Any] = msgspec.to_builtins(shapes.conversation(row))
    for name, nothing in _NOTHING.items():
        shown.setdefault(name, nothing)
    return shown


def _id(request: Request) -> str:
    """The conversation that the path names; what cannot be an id is nobody's."""
    id: str = request.path_params["id"]
    if not _ID.fullmatch(id):
        raise NotFound("conversation", id)
    return id


def _key(request: Request) -> str:
    """The request's id; one that has none is not repeated."""
    key = single(request, "idempotency-key")
    if key is None:
        return secrets.token_hex(16)
    if not _ID.fullmatch(key):
        words = "The header `Idempotency-Key` has 1 to 64 of A-Z, a-z, 0-9 and `._:~-`."
        raise ChatError(ErrorCode.INVALID_FIELD, words)
    return key


def _json(metadata: object) -> Json:
    # In one order, for an `Idempotency-Key` stands for what the body says.
    return EMPTY_OBJECT if metadata is None else Raw(msgspec.json.encode(metadata, order="sorted"))
