"""Asking models for the steps of one answer: tries, fallbacks, and what all of it cost.

A model is asked again, or another in its place, only before anything came of the step. Every try is
paid for: one that finished its step under the step's own key, so that it counts once whoever tells
of it; one that failed or was cut under a key of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from protocol.codes import ErrorCode
from protocol.types import Degradation
from server.generation.means import Means
from server.generation.speech import Speech
from server.providers.base import Finished, Model, ModelEvent, ModelFailed, ModelRequest
from server.telemetry.logs import get_logger
from storage.records import Answer
from storage.values import Spent
from storage.work import Expense, step_key

FEATURE = "chat"

# What another model may do better; anything else is the request's own fault.
_VENDORS_FAULT = frozenset(
    {ErrorCode.PROVIDER_BUSY, ErrorCode.PROVIDER_ERROR, ErrorCode.PROVIDER_TIMEOUT}
)

_log = get_logger()


class Asking:
    """One answer's way to models: the first of `models`, or those behind it in its place."""

    def __init__(self, answer: Answer, models: Sequence[Model], means: Means) -> None:
        self.expenses: list[Expense] = []  # not recorded yet
        self.degraded: dict[Degradation, None] = {}  # in the order in which it came to that
        self._answer = answer
        self._models = list(models)
        self._means = means
        self._options = means.options
        self._tries = 0  # in all
        self._failures = 0  # of this model in this step

    @property
    def model(self) -> Model:
        """Who is asked now."""
        return self._models[0]

    def go_on_from(self, model: str | None, degraded: Iterable[Degradation]) -> None:
        """Take up what an earlier part of this answer had come to."""
        names = [each.name for each in self._models]
        if model in names:
            del self._models[: names.index(model)]
        self.degraded.update(dict.fromkeys(degraded))

    async def step(self, request: Callable[[Model], ModelRequest], speech: Speech) -> Finished:
        """Have the step said. Raises `ModelFailed` where no model brings it to its end."""
        self._failures = 0
        while True:
            try:
                return await self._ask(request(self.model), speech)
            except ModelFailed as failure:
                if speech.begun:
                    raise
                await self._take_heart(failure)

    async def _ask(self, request: ModelRequest, speech: Speech) -> Finished:
        provider = self.model.provider
        self._tries += 1
        self._means.budget.called()
        events = provider.stream(request)
        try:
            finished = await speech.read(events)
            if finished is None:
                spent = provider.spent(request, speech.said_in_step)
                words = "The model's provider broke off without a word."
                raise ModelFailed(ErrorCode.PROVIDER_ERROR, words, spent=spent)
            self._pay(finished.spent, self._step_key(request))
            return finished
        except ModelFailed as failure:
            self._pay(failure.spent, self._own_key(request))
            raise
        except BaseException:
            self._pay(provider.spent(request, speech.said_in_step), self._own_key(request))
            raise
        finally:
            await self._close(events)

    async def _take_heart(self, failure: ModelFailed) -> None:
        """Wait for another try, or turn to another model; else it has failed."""
        self._failures += 1
        again = failure.retryable and self._failures <= self._options.retries
        _log.warning(
            "a model failed before its first word",
            answer=self._answer.id,
            model=self.model.name,
            code=failure.code.value,
            tries=self._failures,
        )
        if again and self._means.budget.take():
            pause = self._options.backoff_s * 2 ** (self._failures - 1)
            await self._means.sleep(pause * (0.5 + self._means.chance()))
        elif failure.code in _VENDORS_FAULT and len(self._models) > 1:
            del self._models[0]
            self._failures = 0
            self.degraded[Degradation.FALLBACK_MODEL] = None
        else:
            raise failure

    async def _close(self, events: AsyncGenerator[ModelEvent, None]) -> None:
        """The vendor's work ends at once, and whatever it says to that changes nothing."""
        try:
            async with asyncio.timeout(self._options.close_s):
                await events.aclose()
        except Exception as error:  # noqa: BLE001 - a stop must not fail at a vendor's farewell
            _log.warning("a model was not closed", model=self.model.name, exc_info=error)

    def _pay(self, spent: Spent, key: str) -> None:
        if spent == Spent():
            return
        self.expenses.append(
            Expense(
                key=key,
                feature=FEATURE,
                model=self.model.name,
                provider=self.model.provider.name,
                spent=spent,
                answer=self._answer.id,
            )
        )

    def _step_key(self, request: ModelRequest) -> str:
        return step_key(self._answer.id, self._answer.attempt, request.step)

    def _own_key(self, request: ModelRequest) -> str:
        return f"{self._step_key(request)}:{self._answer.fence}:{self._tries}"
