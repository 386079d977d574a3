"""One answer's life, from being owned to its end.

    begin ─▶ say a step ─▶ finished ────────────────────────────────▶ end
               ▲      │
               │      └──▶ calls ─▶ run them ─▶ one waits ─▶ park
               └──────────────────────┘

Between the steps, and at any moment of one, it may be told to leave off (`Halt`). Then it ends too,
unless its process ends and nothing came of the step yet: then it is let go of as if it were parked,
with what it goes on from, and any process that looks for answers which wait for nobody takes it up.
So nobody has to guess what was shown. What an answer ends as is decided by the store, which knows
of every stop that was asked for.
"""

import asyncio
from enum import Enum, auto
from functools import partial
from typing import TypeAlias

from protocol.codes import ErrorCode
from protocol.types import AnswerState, FinishReason, Outcome
from server.errors import ChatError
from server.generation import draft, endings, transcript
from server.generation.draft import Draft
from server.generation.endings import failed
from server.generation.means import Means
from server.generation.speech import MOST_CALLS, TooLong
from server.generation.transcript import Transcript
from server.providers.base import Finished, Model, ModelFailed
from server.telemetry.lines import AnswerEnded
from server.telemetry.logs import get_logger
from storage.errors import Fenced, NotFound
from storage.records import Answer, Checkpoint, Checkpointed, Ended, Ending, Verdict

_log = get_logger()


class Halt(Enum):
    """Why a run is to leave off."""

    STOPPED = auto()  # somebody asked for it, and the store knows
    LATE = auto()  # a deadline passed
    SHUTDOWN = auto()  # its process ends
    LOST = auto()  # another owns the answer


# How an answer is left: with its end, or with what it goes on from.
Fate: TypeAlias = Ending | Transcript


class Run:
    """An answer in the hands of its owner."""

    def __init__(self, answer: Answer, means: Means) -> None:
        self.answer = answer
        self.decided = False  # what becomes of it: no deadline counts any more
        self.leaving = False  # its end is being stored, or it is being parked
        self.broken = False  # it could not even be ended
        self._means = means
        self._options = means.options
        self._draft: Draft | None = None  # until it has begun
        self._halt = None if answer.stop is None else Halt.STOPPED
        self._late = ""  # which deadline passed, in words
        self._scope: asyncio.Timeout | None = None  # while a model is asked
        self._heard = 0  # events of the model, when it was last looked
        self._quiet_since = means.clock()

    def __repr__(self) -> str:
        """Name the answer."""
        return f"<Run {self.answer.id} fence={self.answer.fence}>"

    # ── its life ─────────────────────────────────────────────────────────────────────────────────

    async def live(self) -> Ended | None:
        """Until it has ended, and how; None: it is parked, or another owns it. Raises nothing."""
        try:
            return await self._leave(await self._fate())
        except Fenced:
            _log.info("an answer is another owner's", answer=self.answer.id)
        except Exception as error:  # noqa: BLE001 - the root of its task: the answer must still end
            _log.error("an answer's end failed", answer=self.answer.id, exc_info=error)
            return await self._end_at_least()
        finally:
            if self._draft is not None:
                self._means.hub.done(self._draft.writer)
        return None

    async def _fate(self) -> Fate:
        try:
            return self._halted() or await self._generate()
        except ModelFailed as failure:
            own = failed(failure.code, failure.message, retryable=failure.retryable)
            return self._halted() or own
        except ChatError as refusal:
            return failed(refusal.code, refusal.message)
        except TooLong:
            words = f"The answer reached the {self._options.output_bytes} bytes it may have here."
            return failed(ErrorCode.MESSAGE_TOO_LONG, words, FinishReason.LIMIT)
        except Fenced:
            raise
        except NotFound:  # its conversation was deleted, which asked all its answers to stop
            return self._halted() or endings.INTERNAL
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer ends
            _log.error("an answer failed", answer=self.answer.id, exc_info=error)
            return self._halted() or endings.INTERNAL

    async def _generate(self) -> Fate:
        work = self._draft = await draft.begin(self.answer, self._means)
        while True:
            if (fate := self._halted()) is not None:
                return fate
            if work.has_calls:
                if not await work.settle_calls():
                    return work.transcript()
                continue
            finished = await self._say(work)
            if finished is None:
                continue
            if finished.reason is not None:
                return Ending(outcome=Outcome.COMPLETE, finish_reason=finished.reason)
            if work.step >= self._options.tool_steps:
                words = f"The model called tools in {work.step + 1} steps, and may in {work.step}."
                return failed(ErrorCode.PROVIDER_ERROR, words, FinishReason.LIMIT, retryable=False)
            if not 0 < len(work.speech.calls) <= MOST_CALLS:
                words = f"The model called no tool or more than {MOST_CALLS} of them in one step."
                raise ModelFailed(ErrorCode.PROVIDER_ERROR, words)
            await work.take_calls()

    async def _say(self, work: Draft) -> Finished | None:
        """One step of the model; None: it was told to leave off."""
        self._heard = work.speech.events
        self._quiet_since = self._means.clock()
        try:
            async with asyncio.timeout(None) as self._scope:
                return await work.say()
        except TimeoutError:
            if self._halt is None:
                raise
            return None
        finally:
            self._scope = None

    # ── being told ───────────────────────────────────────────────────────────────────────────────

    def halt(self, why: Halt) -> None:
        """Leave off now. The first reason stands; the store knows of a stop in any case."""
        if self._halt is None:
            self._halt = why
            if self._scope is not None:
                self._scope.reschedule(asyncio.get_running_loop().time())

    def hold(self) -> None:
        """Write nothing and read nothing until a checkpoint says that the answer is still ours.

        Of what is leaving there are no more checkpoints, and the store itself says what it is.
        """
        if self._draft is not None and not self.leaving:
            self._draft.hold()

    def tick(self, now: float) -> None:
        """Look, about once per second, whether it is late or lost."""
        work = self._draft
        if work is None or self.decided:
            return
        if work.writer.lost:
            self.halt(Halt.LOST)
        speech = work.speech
        if speech.events != self._heard or speech.held or speech.blocked or self._scope is None:
            self._heard, self._quiet_since = speech.events, now
        silent_s = now - self._quiet_since
        if work.active_s > self._options.total_s:
            self._expire(f"The answer took longer than {self._options.total_s:g} s.")
        elif speech.begun and silent_s > self._options.idle_s:
            self._expire(f"The model fell silent for {self._options.idle_s:g} s.")
        elif silent_s > self._options.first_token_s:
            self._expire(f"The model said nothing for {self._options.first_token_s:g} s.")

    def _expire(self, words: str) -> None:
        self._late = self._late or words
        self.halt(Halt.LATE)

    def _halted(self) -> Fate | None:
        """What becomes of it if it was told to leave off."""
        match self._halt:
            case Halt.STOPPED:
                return endings.STOPPED
            case Halt.LATE:
                return failed(ErrorCode.PROVIDER_TIMEOUT, self._late, FinishReason.TIMEOUT)
            case Halt.SHUTDOWN:
                return self._left_to_the_next()
            case Halt.LOST:
                if self._draft is not None and self._draft.writer.failure is not None:
                    raise self._draft.writer.failure
                raise Fenced(f"answer {self.answer.id!r}", self.answer.fence)
        return None

    def _left_to_the_next(self) -> Fate:
        if self._draft is None:
            return transcript.decode(self.answer.transcript)
        return endings.SHUTDOWN if self._draft.speech.begun else self._draft.transcript()

    # ── checkpoints ──────────────────────────────────────────────────────────────────────────────

    def checkpoint(self) -> Checkpoint | None:
        """What the store is to be told of it; None: nothing, for it has not begun."""
        return None if self._draft is None else self._draft.checkpoint()

    def stored(self, checkpoint: Checkpoint, result: Checkpointed) -> None:
        """What became of it."""
        if self._draft is None:
            return
        if result.verdict is Verdict.FENCED:
            # Leaving, it is no more running by its own doing, and learns from that what it is.
            if not self.leaving:
                self._draft.writer.lose()
                self.halt(Halt.LOST)
            return
        self._draft.stored(checkpoint, result)
        if result.stop is not None:
            self.halt(Halt.STOPPED)
        self._draft.go_on()

    # ── leaving ──────────────────────────────────────────────────────────────────────────────────

    async def _leave(self, fate: Fate) -> Ended | None:
        """While the log is away it waits here, and is checkpointed as before."""
        self.decided = True
        if isinstance(fate, Ending):
            return await self._end(fate)
        return await self._park(fate)

    async def _end(self, how: Ending) -> Ended:
        work = self._draft
        if work is not None:
            if how.outcome is Outcome.STOPPED:
                await work.writer.cut()
            else:
                await work.writer.settled()
            how = work.ending(how)
        self.leaving = True
        return await endings.end(self._means, self.answer, how)

    async def _park(self, left: Transcript) -> Ended | None:
        """Let go of it, with what it goes on from; or end it, if a stop was asked for.

        It is stored before it is told: who is shown that it waits may count on it. Whoever has
        taken it up by then says so, and we are fenced.
        """
        work, tail = self._draft, None
        model: Model | None = None
        if work is not None:
            await work.writer.settled()
        self.leaving = True
        if work is not None:
            await work.settle_accounts()
            await work.store_citations()
            tail, model = work.writer.unsaved(), work.model if left.asked else None
        park = partial(
            self._means.store.internal.answers.park,
            self.answer.held,
            transcript.encode(left),
            tail,
            model=model.name if model else None,
            provider=model.provider.name if model else None,
        )
        parked = await self._means.patience(park)
        if work is not None:  # it was ours, also where it was held before it began to leave
            work.go_on()
        if parked is None:
            return await self._end(endings.STOPPED)
        if work is not None and left.asked and self._halt is None:
            work.speech.tell(AnswerState.PARKED)
            await work.writer.settled()
        return None

    async def _end_at_least(self) -> Ended | None:
        """The end without anything that may have made the first one fail."""
        try:
            return await endings.end(self._means, self.answer, endings.INTERNAL)
        except Exception as error:  # noqa: BLE001 - the sweeper finds it, and tries again
            self.broken = True
            _log.error("an answer does not end", answer=self.answer.id, exc_info=error)
        return None

    def line(self, ended: Ended) -> AnswerEnded:
        """Its canonical line for the log."""
        if self._draft is None:
            return endings.line(ended)
        return endings.line(ended, pieces=self._draft.speech.pieces, trace=self._draft.trace)
