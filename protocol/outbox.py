"""What a client has asked and what has no answer yet, in order.

A frame leaves when nothing older is in its lane: frames about one conversation's following and
those that change its branch (messages, other answers, a chosen leaf) go one at a time, so that one
refused for now is not overtaken by the next, which means the conversation as that one leaves it,
and no reference stands for two frames at once. Only an attachment passes those that wait: they may
wait for the end of the very answer that it is to show. Everything else goes side by side.
"""

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.session import ANSWERED_BY, STARTS_ANSWER, named_by, reference

REQUESTS = 100  # of the application, at once

AnyRequest: TypeAlias = (
    c.Chat
    | c.Regenerate
    | c.Edit
    | c.Stop
    | c.Select
    | c.Approve
    | c.ToolResult
    | c.GiveFeedback
    | c.ReadHistory
)


class Request(Struct, eq=False):
    """A frame that will have exactly one answer."""

    frame: c.AnyClientFrame
    ref: str
    lanes: frozenset[str]
    sent: bool = False  # on this connection, and not refused since
    known: bool = False  # it left at least once, so the server may have taken it
    refusals: int = 0
    not_before: float = 0.0


class Outbox:
    """Requests without an answer, oldest first."""

    def __init__(self, most: int = REQUESTS) -> None:
        self._most = most
        self._requests: list[Request] = []

    def __repr__(self) -> str:
        """Show how many there are, and never what they say."""
        sent = sum(request.sent for request in self._requests)
        return f"<Outbox sent={sent} waiting={len(self._requests) - sent}>"

    def __len__(self) -> int:
        """How many requests have no answer yet."""
        return len(self._requests)

    @property
    def full(self) -> bool:
        """Whether the application must wait for answers before it asks for more."""
        return sum(isinstance(r.frame, AnyRequest) for r in self._requests) >= self._most

    def add(self, frame: c.AnyClientFrame, into: str | None = None) -> Request:
        """Put a frame at the end, in the lane of the conversation that it goes into."""
        request = _request(frame, into)
        self._requests.append(request)
        return request

    def greet(self, told: list[c.Attach], left: list[c.Attach]) -> None:
        """Begin with the attachments: told by `hello`, and those left over."""
        first = [_request(frame) for frame in (*told, *left)]
        for request in first[: len(told)]:
            request.sent = request.known = True
        self._requests[:0] = first

    def next(self, now: float, *, starts: bool) -> Request | None:
        """The oldest request that may leave now; without `starts`, none that starts an answer."""
        return next((r for r in self._free(starts) if r.not_before <= now), None)

    def due(self, *, starts: bool) -> float:
        """When `next` has something; infinity if only an answer can change that."""
        return min((request.not_before for request in self._free(starts)), default=float("inf"))

    def match(self, answer: s.ServerFrame) -> Request | None:
        """The request that `answer` belongs to; None for one that nobody asked for."""
        ref = named_by(answer)
        for request in self._requests:
            if request.sent and request.ref == ref:
                fitting = ANSWERED_BY[type(request.frame)]
                if isinstance(answer, s.Error) or type(answer) is fitting:
                    return request
        return None

    def remove(self, request: Request) -> None:
        """It has its answer, or none is wanted any more."""
        self._requests.remove(request)

    def retry(self, request: Request, at: float) -> None:
        """It was refused for now: it keeps its place and leaves again at `at`."""
        request.sent = False
        request.refusals += 1
        request.not_before = at

    def lost(self) -> None:
        """The connection ended: the application's requests leave again on the next one.

        What concerned this one alone is dropped: the next `hello` says the same, or leaves it out.
        """
        self._requests = [r for r in self._requests if isinstance(r.frame, AnyRequest)]
        for request in self._requests:
            request.sent = False

    def asked(self) -> list[Request]:
        """The application's requests."""
        return [request for request in self._requests if isinstance(request.frame, AnyRequest)]

    def under_way(self) -> list[Request]:
        """The application's requests that this connection has sent and not answered."""
        return [r for r in self._requests if r.sent and isinstance(r.frame, AnyRequest)]

    def about(self, conversation: str, *kinds: type[c.ClientFrame]) -> list[Request]:
        """The requests of these kinds that name the conversation."""
        return [r for r in self._requests if isinstance(r.frame, kinds) and r.ref == conversation]

    def forget(self, conversation: str, kind: type[c.ClientFrame]) -> None:
        """Drop the requests of this kind about the conversation that have not left."""
        for request in self.about(conversation, kind):
            if not request.sent:
                self.remove(request)

    def _free(self, starts: bool) -> Iterator[Request]:
        taken = {lane for request in self._requests if request.sent for lane in request.lanes}
        awaited: set[str] = set()  # by what the application asked; that may wait for minutes
        for request in self._requests:
            if request.sent:
                continue
            message = isinstance(request.frame, STARTS_ANSWER)
            ahead = taken if isinstance(request.frame, c.Attach) else taken | awaited
            if ahead.isdisjoint(request.lanes) and (starts or not message):
                yield request
            if isinstance(request.frame, AnyRequest):
                awaited |= request.lanes
            else:
                taken |= request.lanes


def _request(frame: c.AnyClientFrame, into: str | None = None) -> Request:
    ref = reference(frame)
    if ref is None:
        raise ValueError(f"{type(frame).__name__} names nothing that an answer could refer to")
    if into is None and isinstance(frame, c.Chat | c.Select):
        into = frame.conversation
    return Request(frame, ref, frozenset({ref} if into is None else {ref, into}))
