"""An answer in the making: what it was asked with, what it says, and what it has come to."""

from msgspec import structs

from protocol.types import AnswerState, Degradation
from server.generation.asking import Asking
from server.generation.material import Material, read
from server.generation.means import Means
from server.generation.speech import Speech
from server.generation.tools import Tools
from server.generation.transcript import Transcript
from server.providers.base import Finished, Model, ModelRequest
from server.streams.writer import Writer
from storage.errors import Fenced
from storage.records import Answer, Checkpoint, Checkpointed, Ending, Timings, Verdict
from storage.values import Owner


async def begin(answer: Answer, means: Means) -> "Draft":
    """Read what it is made of, and open its way into the log. `Fenced`: it is another's."""
    material = await read(answer, means)
    writer = await means.patience(lambda: means.hub.writer(answer))
    return Draft(answer, means, material, writer)


class Draft:
    """What a run works on."""

    def __init__(self, answer: Answer, means: Means, material: Material, writer: Writer) -> None:
        left = material.left
        self.answer = answer
        self.writer = writer
        self.speech = Speech(
            answer,
            writer,
            means.options,
            said=material.said,
            thought=left.thought,
            cited=left.cited,
            clock=means.clock,
        )
        self.step = left.step
        self._asked = left.asked
        self._outcomes = list(left.outcomes)
        self._means = means
        self._material = material
        self._asking = Asking(answer, material.models, means)
        self._asking.go_on_from(left.model, left.degraded)
        self._tools = Tools(answer, material.asked, writer, means)
        self._began = means.clock()
        self._stored_citations = self.speech.citations()
        if material.asked.tools and not self._asking.model.calls_tools:
            self._asking.degraded[Degradation.NO_TOOLS] = None

    # ── steps ────────────────────────────────────────────────────────────────────────────────────

    async def say(self) -> Finished:
        """Have the next step said."""
        self.speech.begin_step()
        return await self._asking.step(self._request, self.speech)

    async def take_calls(self) -> None:
        """Store the calls that the step ended with: it is behind us, whoever goes on."""
        self.speech.tell(AnswerState.TOOL)
        self._asked = await self._tools.ask(self.step, self.speech.calls)
        self.step += 1
        self.speech.end_step()
        await self.settle_accounts()

    @property
    def trace(self) -> str | None:
        """Of the request or connection that asked."""
        return self._material.asked.trace

    @property
    def has_calls(self) -> bool:
        """Whether the step before ended with calls that are not settled yet."""
        return bool(self._asked)

    async def settle_calls(self) -> bool:
        """Run what may run; False: a person or a client has to do something first."""
        if self.speech.phase is not AnswerState.TOOL:
            self.speech.tell(AnswerState.TOOL)
        self._asked, outcomes = await self._tools.run(self._asked)
        if outcomes is None:
            return False
        self._outcomes += outcomes
        self._asked = ()
        return True

    def _request(self, model: Model) -> ModelRequest:
        return self._material.request(
            model, step=self.step, outcomes=self._outcomes, said=self.speech.said
        )

    # ── what it has come to ──────────────────────────────────────────────────────────────────────

    @property
    def active_s(self) -> float:
        """For how long it was worked on; it does not grow while it is parked."""
        return self._material.left.active_ms / 1000 + self._means.clock() - self._began

    @property
    def model(self) -> Model:
        """Who is asked now."""
        return self._asking.model

    def transcript(self) -> Transcript:
        """What it goes on from; nothing came of its next step yet."""
        return Transcript(
            step=self.step,
            asked=self._asked,
            outcomes=tuple(self._outcomes),
            thought=self.speech.thought,
            cited=tuple(self.speech.cited),
            model=self.model.name,
            degraded=tuple(self._asking.degraded),
            active_ms=round(self.active_s * 1000),
            first_token_ms=self._first_token_ms(),
        )

    async def settle_accounts(self) -> None:
        """Record what was spent so far: after a crash nobody would know of it."""
        expenses, answer = tuple(self._asking.expenses), self.answer
        owner = Owner(answer.tenant, answer.user)
        if expenses:
            usage = self._means.store.internal.usage
            await self._means.patience(
                lambda: usage.record(owner, expenses, conversation=answer.conversation)
            )
        del self._asking.expenses[: len(expenses)]

    def ending(self, how: Ending) -> Ending:
        """The end with all that the answer has come to. Everything written stands in the log."""
        model, answer = self.model, self.answer
        queue_ms = max(0, (answer.started_at or answer.created_at) - answer.created_at)
        return structs.replace(
            how,
            tail=self.writer.unsaved(),
            model=model.name,
            provider=model.provider.name,
            citations=self.speech.citations(),
            sources=self.speech.sources(),
            degraded=tuple(self._asking.degraded),
            timings=Timings(
                queue=queue_ms,
                total=queue_ms + round(self.active_s * 1000),
                first_token=self._first_token_ms(),
            ),
            expenses=tuple(self._asking.expenses),
        )

    def _first_token_ms(self) -> int | None:
        """From the answer's beginning, its time in the queue left out, to its first text."""
        if self._material.left.first_token_ms is not None or self.speech.first_at is None:
            return self._material.left.first_token_ms
        return self._material.left.active_ms + round((self.speech.first_at - self._began) * 1000)

    # ── being sure of itself ─────────────────────────────────────────────────────────────────────

    def hold(self) -> None:
        """Read nothing and append nothing until told to go on."""
        self.speech.hold()
        self.writer.hold()

    def go_on(self) -> None:
        """The answer is still its owner's."""
        self.speech.go_on()
        self.writer.go_on()

    # ── checkpoints ──────────────────────────────────────────────────────────────────────────────

    def checkpoint(self) -> Checkpoint:
        """What SQL is to be told: text that it does not have, also if that is none."""
        tail, cited = self.writer.unsaved(), self.speech.citations()
        return Checkpoint(
            held=self.answer.held,
            start=tail.start,
            text=tail.text,
            epoch=tail.epoch,
            seq=tail.seq,
            phase=self.speech.phase,
            citations=None if cited == self._stored_citations else cited,
        )

    def stored(self, checkpoint: Checkpoint, result: Checkpointed) -> None:
        """What became of it; the answer is still this owner's.

        Text that stands elsewhere is from a checkpoint whose success nobody heard of.
        """
        self.writer.saved(result.length)
        if result.verdict is Verdict.STORED and checkpoint.citations is not None:
            self._stored_citations = checkpoint.citations

    async def store_citations(self) -> None:
        """Unlike text, they are not stored when an answer is parked."""
        answers = self._means.store.internal.answers
        while self.speech.citations() != self._stored_citations:
            checkpoint = self.checkpoint()
            [result] = await self._means.patience(lambda: answers.checkpoint([checkpoint]))  # noqa: B023 - awaited before it changes
            if result.verdict is Verdict.FENCED:
                raise Fenced(f"answer {self.answer.id!r}", self.answer.fence)
            self.stored(checkpoint, result)
