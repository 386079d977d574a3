"""One conversation between a person and the server: what is asked, shown and decided."""

import secrets
from collections import deque
from collections.abc import Callable

import msgspec
from websockets.exceptions import InvalidStatus

from protocol.client_states import State
from protocol.codec import Refusal, Unknown
from protocol.codes import CloseCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.frames.objects import ToolCall
from protocol.news import Answered, Delayed, Heard, Moved, News, Unfollowed, Updated
from protocol.text import mend
from protocol.types import Outcome, Role
from server.cli.access import AccessFailed
from server.cli.link import HungUp, Link
from server.cli.showing import Showing
from server.cli.terminal import Terminal

PROMPT = "> "


def new_id() -> str:
    """An id for a request, which nobody else has used."""
    return f"cli-{secrets.token_hex(10)}"


class Talk:
    """What a person does in a conversation. Hand `hear` to the link as its `on_news`.

    With `prompts` there is somebody to ask: for the next message, and whether a tool may run.
    """

    link: Link

    def __init__(
        self,
        terminal: Terminal,
        *,
        conversation: str | None = None,
        model: str | None = None,
        prompts: bool = False,
        ids: Callable[[], str] = new_id,
    ) -> None:
        self.conversation = conversation
        self.asked = False
        self.outcome: Outcome | None = None  # of the last answer; None too if it was refused
        self.stopped = False  # whether it was the person who ended that answer
        self.stopping = False
        self.broken: AccessFailed | None = None  # nothing good will come of waiting
        self._terminal = terminal
        self._model = model
        self._prompts = prompts
        self._ids = ids
        self._unanswered = 0  # requests for answers that have no `ack` yet
        self._later: deque[str] = deque()  # said before the conversation had its name
        self._showings: list[Showing] = []  # those that are not over, oldest first
        self._adopts = prompts and conversation is not None
        self._named: set[str] = set()  # calls that the person was told of
        self._decided: set[str] = set()
        self._lost = False
        self._resuming = False
        self._delayed = False  # and told so

    def __repr__(self) -> str:
        """Show which conversation it is, and what runs there."""
        return f"<Talk {self.conversation} {self._showings}>"

    @property
    def idle(self) -> bool:
        """Whether nothing was asked that is not over."""
        return not self._unanswered and not self._showings

    @property
    def level(self) -> bool:
        """Whether the conversation that was named is here."""
        replica = self.link.replicas.get(self.conversation or "")
        return replica is not None and replica.level

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls that wait for a decision of this person."""
        replica = self.link.replicas.get(self.conversation or "")
        waiting = [call for showing in self._showings for call in showing.awaiting(replica)]
        return [call for call in waiting if call.call not in self._decided]

    @property
    def here(self) -> str:
        """How to come back to this conversation."""
        return f"parley chat --conversation {self.conversation}"

    def check(self) -> None:
        """Raise what makes going on useless."""
        if self.broken is not None:
            raise self.broken

    # What a person does.

    def say(self, content: str) -> None:
        """Send a message; the first one of a conversation goes alone, for it makes it."""
        if self.conversation is None and self._unanswered:
            self._later.append(content)
            return
        self._ask(
            c.Chat(
                id=self._ids(),
                content=mend(content),
                conversation=self.conversation,
                model=self._model,
            )
        )

    def regenerate(self) -> None:
        """Ask for another answer beside the last one."""
        answer = self._last(Role.ASSISTANT)
        if answer is not None:
            self._ask(c.Regenerate(id=self._ids(), answer=answer, model=self._model))

    def edit(self, content: str) -> None:
        """Replace the last message of the person's by another, beside it."""
        message = self._last(Role.USER)
        if message is not None:
            self._ask(c.Edit(id=self._ids(), message=message, content=mend(content)))

    def stop(self) -> bool:
        """Stop what runs, or what was just asked; False if there is nothing."""
        if self.idle:
            return False
        self.stopping = True
        for showing in self._showings[:1]:
            self.link.submit(c.Stop(answer=showing.answer))
        return True

    def decide(self, *, allow: bool) -> None:
        """Let the oldest call run that waits for it, or not."""
        call = self.calls[0]
        self._decided.add(call.call)
        self.link.submit(
            c.Approve(id=self._ids(), call=call.call, args_hash=call.args_hash or "", allow=allow)
        )

    def leave(self) -> None:
        """Begin another conversation with the next message."""
        if self.conversation is not None:
            self.link.unfollow(self.conversation)
        self.conversation, self._adopts = None, False

    def show_history(self) -> None:
        """The active branch, as far as it is here."""
        replica = self.link.replicas.get(self.conversation or "")
        if replica is None:
            self._terminal.note("Nothing was said yet.")
            return
        if replica.more:
            self._terminal.note("… older messages are not shown")
        for row in replica.branch():
            self._terminal.note("you:" if row.role is Role.USER else f"{row.role.value}:")
            self._terminal.text(row.content)
            self._terminal.end_line()

    def prompt(self) -> None:
        """Ask for what the person can say now, if there is somebody to ask."""
        if not self._prompts:
            return
        if self.calls:
            self._terminal.ask(f"Allow {self.calls[0].name}? [y/n] ")
        elif self.idle:
            self._terminal.ask(PROMPT)

    def _ask(self, frame: c.Chat | c.Regenerate | c.Edit) -> None:
        self._unanswered += 1
        self.asked = True
        self.outcome, self.stopped = None, False
        self.link.submit(frame)

    def _last(self, role: Role) -> str | None:
        replica = self.link.replicas.get(self.conversation or "")
        rows = [row.id for row in replica.branch() if row.role is role] if replica else []
        if not rows:
            self._terminal.note("There is no message yet that this could be about.")
        return rows[-1] if rows else None

    # What the server does.

    def hear(self, news: News) -> None:
        """Show what happened."""
        match news:
            case Updated(conversation, frame) if conversation == self.conversation:
                self._updated(frame)
            case Answered(c.Chat() | c.Regenerate() | c.Edit(), answer):
                self._unanswered -= 1
                self._answered(answer)
            case Delayed(c.Chat() | c.Regenerate() | c.Edit(), why) if not self._delayed:
                self._delayed = True  # once is enough, however often it is tried
                self._terminal.note(f"Not yet: {why.message} ({why.code.value}) Trying again…")
            case Answered(_, s.Error() | Refusal() as why):
                self._terminal.note(f"Refused: {why.message} ({why.code.value})")
            case Unfollowed(conversation, why) if conversation == self.conversation:
                words = f"The conversation {conversation} cannot be opened: {why.message}"
                self.broken = AccessFailed(f"{words} It may be another user's: see --token.")
            case Heard(s.Error() as error) if self.link.welcome is None:
                self.broken = AccessFailed(f"The server refused the greeting: {error.message}")
            case Heard(s.Notice() as notice):
                self._terminal.note(f"From the server: {notice.text}")
            case Moved(state, close):
                self._moved(state, close)

    def _answered(self, answer: s.ServerFrame | Refusal) -> None:
        self._delayed = False
        match answer:
            case s.Ack():
                self._begin(answer)
            case s.Error() | Refusal():
                self._terminal.note(f"Not sent: {answer.message} ({answer.code.value})")
                self.stopping = self.stopping and bool(self._showings)
                self.prompt()
        later, self._later = self._later, deque()
        for content in later:
            self.say(content)

    def _begin(self, ack: s.Ack) -> None:
        if self.conversation is None:
            self.conversation = ack.conversation
            if self._prompts:
                self._terminal.note(f"conversation {ack.conversation}")
        if ack.queued:
            self._terminal.note(f"waiting for {ack.queued} earlier answer(s)…")
        first = not self._showings
        self._show(ack.answer)
        if self.stopping and first:
            self.link.submit(c.Stop(answer=ack.answer))

    def _show(self, answer: str) -> None:
        showing = Showing(answer, self._terminal)
        self._showings.append(showing)
        replica = self.link.replicas.get(self.conversation or "")
        if replica is not None:
            showing.catch_up(replica)  # what it has may have come before we knew that it is ours
        self._settle()

    def _updated(self, frame: s.Attached | s.Logged | Unknown) -> None:
        replica = self.link.replicas[self.conversation or ""]
        if isinstance(frame, s.Attached):
            self._resumed(frame)
        for showing in self._showings:
            showing.take(frame, replica)
        if self._adopts and replica.level:
            self._adopts = False
            for answer in list(replica.answers):
                self._show(answer)
        self._settle()

    def _resumed(self, attached: s.Attached) -> None:
        if self._resuming and self._showings:
            kept = "" if attached.recovered else " from what the server had saved"
            self._terminal.note(f"resumed{kept}")
        self._resuming = False

    def _settle(self) -> None:
        """Take leave of the answers that are over, and tell of the calls that wait."""
        over = [showing for showing in self._showings if showing.over]
        self._showings = [showing for showing in self._showings if not showing.over]
        news = [call for call in self.calls if call.call not in self._named]
        for call in news:
            self._named.add(call.call)
            self._tell_of(call)
        if over:
            self.outcome = over[-1].outcome
            self.stopped = self.stopping and self.outcome is Outcome.STOPPED
            self.stopping = False
        if over or news:
            self.prompt()

    def _tell_of(self, call: ToolCall) -> None:
        # All of them: nobody should allow what they cannot read.
        arguments = msgspec.json.encode(call.arguments or {}).decode()
        self._terminal.note(f"The model wants to run {call.name} with {arguments}")
        if not self._prompts:
            words = "It waits for your decision. Another terminal asks you for it:"
            self._terminal.note(f"{words} {self.here}")

    def _moved(self, state: State, close: int | None) -> None:
        if state is State.OPEN:
            self._lost = False
        elif state is State.WAITING and not self._lost:
            trouble = self.link.trouble
            if isinstance(trouble, InvalidStatus):
                self._terminal.note(f"the server is busy ({trouble}), trying again…")
            elif isinstance(trouble, HungUp) and self.link.welcome is None:
                self._terminal.note(f"the server {trouble}, trying again…")
            elif trouble is None:  # it was open, and ended
                why = "the server restarts" if close == CloseCode.RESTART else "connection lost"
                self._terminal.note(f"{why}, resuming…")
            self._lost = self._resuming = True
