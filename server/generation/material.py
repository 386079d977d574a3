"""What an answer is made of: what it was asked with, and what of its conversation is stored."""

from collections.abc import Sequence

from msgspec import Struct

from server.generation import context, request, transcript
from server.generation.context import Context, Turns
from server.generation.means import Means
from server.generation.request import Request
from server.generation.transcript import Transcript
from server.providers.base import Model, ModelRequest, ToolOutcome
from server.telemetry.logs import get_logger
from storage.records import Answer

_log = get_logger()


async def read(answer: Answer, means: Means) -> "Material":
    """Read it; `ChatError` if the model that it asked for is not offered here any more."""
    asked = request.decode(answer.request)
    answers, patience = means.store.internal.answers, means.patience
    thread = await patience(
        lambda: answers.thread(
            answer.tenant,
            answer.conversation,
            answer.parent,
            limit=means.options.context_messages,
        )
    )
    catalogue = means.catalogue
    usual = thread.model if thread.model in catalogue.offered else None
    models = [catalogue.find(answer.model or asked.model or usual)]
    models += [model for model in catalogue.fallbacks if model not in models]
    turns = Turns(thread)
    await turns.prepare(max(model.context_tokens for model in models))
    said = ""
    if answer.length:
        opening = await patience(lambda: answers.opening(answer.tenant, answer.conversation))
        said = next((one.text for one in opening.unfinished if one.answer.id == answer.id), "")
    return Material(
        answer=answer.id,
        asked=asked,
        models=tuple(models),
        turns=turns,
        system_prompt=asked.system_prompt or thread.system_prompt,
        said=said,
        left=transcript.decode(answer.transcript),
        reserve=means.options.reserve_tokens,
    )


class Material(Struct, frozen=True, kw_only=True):
    """`models` begins with the one that was asked for; the others may stand in for it.

    `said` is the text that is stored, and `left` what an earlier owner left behind.
    """

    answer: str
    asked: Request
    models: tuple[Model, ...]
    turns: Turns
    system_prompt: str | None
    said: str
    left: Transcript
    reserve: int

    def request(
        self, model: Model, *, step: int = 0, outcomes: Sequence[ToolOutcome] = (), said: str = ""
    ) -> ModelRequest:
        """What that model is asked in a step; `ModelFailed` if it does not fit."""
        shown = context.build(
            self.turns, self.asked, self.system_prompt, model, reserve=self.reserve
        )
        if step == 0 and (shown.left_out or shown.more):
            self._tell(model, shown)
        return ModelRequest(
            model=model.name,
            turns=shown.turns,
            system_prompt=shown.system_prompt,
            temperature=self.asked.temperature,
            max_tokens=self.asked.max_tokens,
            tools=self.asked.tools if model.calls_tools else (),
            step=step,
            outcomes=tuple(outcomes),
            said=said,
        )

    def _tell(self, model: Model, shown: Context) -> None:
        _log.info(
            "the context left out older messages",
            answer=self.answer,
            model=model.name,
            shown=len(shown.turns),
            left_out=shown.left_out,
            more=shown.more,
            tokens=shown.tokens,
        )
