"""One answer on its way to the terminal: written is what its text gained, and nothing twice."""

from protocol.codec import Unknown
from protocol.frames import from_server as s
from protocol.frames.objects import Message, ToolCall
from protocol.replica import Replica
from protocol.types import FinishReason, Outcome, ResetReason, ToolState
from server.cli.terminal import Terminal

RESETS = {
    ResetReason.RETRY: "the model failed and is asked again",
    ResetReason.FALLBACK: "another model answers instead",
    ResetReason.HANDOVER: "another server goes on with it",
    ResetReason.POLICY: "a policy withdrew the text so far",
}


class Showing:
    """What of an answer the terminal has. A log that was lost, or a new attempt, begins it anew."""

    def __init__(self, answer: str, terminal: Terminal) -> None:
        self.answer = answer
        self.outcome: Outcome | None = None
        self.gone = False  # a snapshot does not have it: another branch became the active one
        self._terminal = terminal
        self._written: list[str] = []
        self._behind = False  # a snapshot has less text than was written; the rest may yet come

    def __repr__(self) -> str:
        """Show how much was written, and never the text."""
        return f"<Showing {self.answer} {sum(map(len, self._written))} {self.outcome}>"

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.outcome is not None or self.gone

    def take(self, frame: s.Attached | s.Logged | Unknown, replica: Replica) -> None:
        """Follow what this frame changed in the replica."""
        match frame:
            case s.Attached(recovered=False):
                if not self.catch_up(replica):
                    self.gone = True
                    self._terminal.note("The conversation went on without this answer.")
            case s.Chunk(answer=self.answer):
                self._grow(frame.text, replica)
            case s.Reset(answer=self.answer):
                self._begin_anew(RESETS[frame.reason])
            case s.Complete(answer=self.answer):
                self._end(replica.messages[self.answer], frame)

    def catch_up(self, replica: Replica) -> bool:
        """Show the answer as the replica has it now; False if it has it not."""
        running, row = replica.answers.get(self.answer), replica.messages.get(self.answer)
        if running is not None:
            self._show(running.text.text, more=True)
        elif row is not None and row.outcome is not None:
            self._end(row, None)
        return running is not None or row is not None

    def awaiting(self, replica: Replica | None) -> list[ToolCall]:
        """The calls of this answer that somebody must decide."""
        running = replica.answers.get(self.answer) if replica is not None else None
        calls = running.tools.values() if running is not None else ()
        return [call for call in calls if call.state is ToolState.AWAITING_APPROVAL]

    def _grow(self, text: str, replica: Replica) -> None:
        if self._behind:
            self._show(replica.answers[self.answer].text.text, more=True)
        else:
            self._write(text)

    def _show(self, text: str, *, more: bool) -> None:
        """Bring the terminal from what was written to `text`, the whole of it as known now."""
        written = "".join(self._written)
        shorter = len(text) < len(written) and written.startswith(text)
        self._behind = more and shorter
        if text.startswith(written):
            self._write(text[len(written) :])
        elif not shorter:
            self._begin_anew("what was saved differs from what was shown")
            self._write(text)

    def _begin_anew(self, why: str) -> None:
        if self._written:
            self._terminal.end_line()
            self._terminal.note(f"The answer begins anew: {why}.")
        self._written, self._behind = [], False

    def _write(self, text: str) -> None:
        if text:
            self._written.append(text)
            self._terminal.text(text)

    def _end(self, row: Message, complete: s.Complete | None) -> None:
        self._show(row.content, more=False)
        self._terminal.end_line()
        shown = sum(map(len, self._written))
        if shown > len(row.content):
            kept = f"the first {len(row.content)} of these {shown} characters"
            self._terminal.note(f"The server lost the end: it saved {kept}.")
        self.outcome = row.outcome
        if complete is not None and complete.error is not None:
            error = complete.error
            again = "; asking again may help" if error.retryable else ""
            self._terminal.note(f"The answer failed: {error.message} ({error.code}){again}.")
        elif row.outcome is Outcome.INTERRUPTED:
            self._terminal.note("The server was interrupted before the answer was whole.")
        elif row.outcome is Outcome.FAILED:
            self._terminal.note("The answer failed.")
        if took := spent(row, complete):
            self._terminal.note(took)


def spent(row: Message, complete: s.Complete | None) -> str:
    """What the answer took, in one line."""
    parts = []
    if row.usage is not None:
        usage = row.usage
        parts.append(
            f"{usage.total_tokens} tokens ({usage.prompt_tokens} in, {usage.completion_tokens} out)"
        )
        parts.append(f"${usage.cost_usd:.4f}")
    if row.model is not None:
        parts.append(row.model)
    if complete is not None:
        parts.append(f"{complete.timings_ms.total / 1000:.1f} s")
    if row.finish_reason is not None and row.finish_reason is not FinishReason.STOP:
        parts.append(row.finish_reason.value)
    return " · ".join(parts)
