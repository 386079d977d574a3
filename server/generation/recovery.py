"""Answers that nobody runs: found, and run or ended.

What a dead process was saying ends as `interrupted`, with the text of its last checkpoint and what
the log has beyond it: nothing tells what the model would have said next. What the checkpoint has
beyond the log, which may have been away, the log is told first. Only where the log, whole from
before the answer on, shows nothing of it, and SQL has nothing of it, is it run instead. A log in
memory dies with its process, and its silence proves nothing, so there it is always ended. A process
that ends in an orderly way parks what said nothing yet, and whoever comes next resumes it.
"""

import asyncio
from collections.abc import Callable, Container, Coroutine, Sequence
from typing import Any

import msgspec
from msgspec import Raw, structs

from protocol.frames.objects import Cited
from protocol.text import utf16_length
from server.errors import ChatError
from server.generation import endings, material, traces
from server.generation.asking import FEATURE
from server.generation.material import Material
from server.generation.means import Means
from server.generation.traces import Traces
from server.generation.transcript import Transcript
from server.providers.base import ModelFailed
from server.streams.epochs import EPOCHS_TRIED
from server.streams.shapes import citations
from server.streams.writer import Writer
from server.telemetry.logs import get_logger
from storage.errors import Fenced, NotFound, Unavailable
from storage.records import Answer, Checkpoint, Ended, RunState, ToolCall, Verdict
from storage.work import Expense, step_key

AT_ONCE = 16  # answers taken at the same time
PAGE = 100

_log = get_logger()


class Recovery:
    """Finds what nobody runs; `start` runs it, `ended` is told of what ended instead.

    `own` keeps a task: an answer may have to wait for its log, and nothing else for it.
    """

    def __init__(
        self,
        means: Means,
        *,
        proof_of_death: bool,
        start: Callable[[Answer], None],
        ended: Callable[[Ended], None],
        own: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        self._means = means
        self._ownership = means.store.internal.ownership
        self._proof = proof_of_death
        self._start = start
        self._ended = ended
        self._own = own
        self._places = asyncio.Semaphore(AT_ONCE)
        self._doubtful: dict[str, int] = {}  # with the fence that is ours, if they are
        self._deciding: set[str] = set()
        self._decided = asyncio.Event()
        self._decided.set()

    async def resume(self, incarnation: str, *, limit: int) -> None:
        """Go on with parked answers that wait for nobody any more."""
        for parked in await self._ownership.resumable(limit=limit):
            await self.take_up(parked, incarnation)

    async def take_up(self, parked: Answer, incarnation: str) -> None:
        """Go on with a parked answer, unless another was faster."""
        answers = self._means.store.internal.answers
        mine = await answers.resume(parked.tenant, parked.id, incarnation)
        if mine is not None:
            self._start(mine)

    async def claim(self, queued: Answer, incarnation: str) -> bool:
        """Run a queued answer whose turn it is, unless another was faster."""
        mine = await self._means.store.internal.answers.claim(queued.tenant, queued.id, incarnation)
        if mine is None:
            return False
        # Whoever stored its message may not have told of it yet, or not lived to.
        await self._means.hub.tell(mine.tenant, mine.conversation)
        self._start(mine)
        return True

    async def orphans(
        self, incarnation: str, running: Container[str], *, limit: int, room: int
    ) -> int:
        """Take what the dead have left, `limit` at most; how many were taken.

        What they were running is seen to in any case. Of what waits, `room` answers are run.
        """
        found = await self._ownership.orphans(incarnation, limit=limit, proof_of_death=self._proof)

        places = asyncio.Semaphore(AT_ONCE)

        async def take(answer: Answer) -> bool:
            async with places:
                if answer.state is RunState.QUEUED:
                    return await self.claim(answer, incarnation)
                return await self._inherit(answer, incarnation)

        mine_to_take = [answer for answer in found if answer.id not in running]
        waiting = [answer for answer in mine_to_take if answer.state is RunState.QUEUED]
        left = [answer for answer in mine_to_take if answer.state is not RunState.QUEUED]
        left += waiting[:room]
        taken = await asyncio.gather(*map(take, left), return_exceptions=True)
        for answer, result in zip(left, taken, strict=True):
            if isinstance(result, BaseException):
                _log.warning("an answer was not taken", answer=answer.id, exc_info=result)
        return taken.count(True)

    async def settled(self) -> None:
        """Wait until what was taken is run or has ended."""
        await self._decided.wait()

    def doubt(self, answer: str, fence: int) -> None:
        """What is stored of that answer is not all that was shown of it: nobody goes on with it.

        Until it has another fence: then somebody has seen to it.
        """
        self._doubtful[answer] = fence

    def adopt(self, mine: Sequence[Answer], *, waited: Container[str]) -> None:
        """Run answers that are this incarnation's own and that it does not run, or end them.

        They were got by calls whose reply did not come, or could not be seen to yet. Those that
        nobody else is about to start are seen to now, the others once they have `waited`.
        """
        for answer in mine:
            if self._doubtful.get(answer.id) == answer.fence:
                self._see_to(answer)
            elif answer.id in waited and answer.id not in self._deciding:
                self._start(answer)

    async def _inherit(self, answer: Answer, incarnation: str) -> bool:
        # Without a reply it may be ours all the same, and `adopt` must know from whom it came.
        self.doubt(answer.id, answer.fence + 1)
        mine = await self._ownership.take_over(answer, incarnation, proof_of_death=self._proof)
        if mine is None:
            self._doubtful.pop(answer.id, None)
            return False
        self._see_to(mine)
        return True

    def _see_to(self, answer: Answer) -> None:
        if answer.id not in self._deciding:
            self._deciding.add(answer.id)
            self._decided.clear()
            self._own(self._decide(answer), f"what is left of answer {answer.id}")

    async def _decide(self, answer: Answer) -> None:
        """Of what the dead was running: run it if nothing was shown, else end it."""
        try:
            async with self._places:
                ended = await self._end_unless_silent(answer)
            if ended is None:
                self._start(answer)
            else:
                self._ended(ended)
        except Fenced:
            _log.info("an answer is another owner's", answer=answer.id)
        finally:
            self._deciding.discard(answer.id)
            if not self._deciding:
                self._decided.set()
        self._doubtful.pop(answer.id, None)

    async def _end_unless_silent(self, answer: Answer) -> Ended | None:
        hub = self._means.hub
        for _ in range(EPOCHS_TRIED):
            # From now on whoever lost it appends nothing; what the log shows is all there is.
            writer = await hub.writer(answer)
            try:
                await writer.settled()
                found = await traces.find(hub, answer, writer.position.epoch)
                if found is None:
                    continue
                if found.silent and not answer.length and not await self._calls(answer):
                    return None
                said = await self._bring_level(answer, writer, found)
                return await self._interrupt(answer, said)
            finally:
                hub.done(writer)
        raise Unavailable("the log's epochs end faster than they are read")

    async def _bring_level(self, answer: Answer, writer: Writer, found: Traces) -> str:
        """Have SQL and the log say the same, and what that is."""
        opening = await self._means.store.internal.answers.opening(
            answer.tenant, answer.conversation
        )
        stored = next((one for one in opening.unfinished if one.answer.id == answer.id), None)
        said, cited = ("", []) if stored is None else (stored.text, citations(stored.citations))
        beyond = found.beyond(utf16_length(said))
        length = utf16_length(said + beyond)
        more = [each for each in found.cited if each not in cited and each.end <= length]
        if beyond or more:
            await self._save(answer, utf16_length(said), beyond, [*cited, *more], found)
            said += beyond
        if found.told is None or found.told > utf16_length(said):
            await self._means.hub.begin_anew(writer)
        else:
            writer.go_on_from(said, found.told)
        await writer.settled()
        return said

    async def _save(
        self, answer: Answer, start: int, text: str, cited: list[Cited], found: Traces
    ) -> None:
        """Before anything else is done with it: the log may be lost, and with it the text."""
        checkpoint = Checkpoint(
            held=answer.held,
            start=start,
            text=text,
            epoch=found.epoch,
            seq=found.last,
            phase=answer.phase,
            citations=Raw(msgspec.json.encode(cited)),
        )
        answers = self._means.store.internal.answers
        [result] = await self._means.patience(lambda: answers.checkpoint([checkpoint]))
        if result.verdict is not Verdict.STORED:
            raise Fenced(f"answer {answer.id!r}", answer.fence)

    async def _interrupt(self, answer: Answer, said: str) -> Ended:
        """End it with what is stored."""
        how = endings.CRASH
        try:
            made_of = await material.read(answer, self._means)
            model = made_of.models[0]
            how = structs.replace(how, model=model.name, provider=model.provider.name)
            how = structs.replace(how, expenses=await self._cost(answer, made_of, said))
        except (ChatError, ModelFailed, NotFound) as error:
            _log.info("an answer's cost is not known", answer=answer.id, exc_info=error)
        return await endings.end(self._means, answer, how)

    async def _calls(self, answer: Answer) -> tuple[ToolCall, ...]:
        return await self._means.store.internal.tools.of_answer(answer.tenant, answer.id)

    async def _cost(self, answer: Answer, made_of: Material, text: str) -> tuple[Expense, ...]:
        """Of a first step; of later ones nothing tells which part of the text is theirs."""
        calls = await self._calls(answer)
        if calls or made_of.left != Transcript() or not text:
            return ()
        model = made_of.models[0]
        spent = model.provider.spent(made_of.request(model), text)
        key = f"{step_key(answer.id, answer.attempt, 0)}:{answer.fence}:0"
        expense = Expense(
            key=key,
            feature=FEATURE,
            model=model.name,
            provider=model.provider.name,
            spent=spent,
            answer=answer.id,
        )
        return (expense,)
