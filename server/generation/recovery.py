"""Answers that nobody runs: found, and run or ended.

What a dead process was saying ends as `interrupted`, with the text of its last checkpoint and what
the log has beyond it: nothing tells what the model would have said next. Only where the log, whole
from before the answer on, shows nothing of it is it run instead. A log in memory dies with its
process, and its silence proves nothing, so there it is always ended. A process that ends in an
orderly way parks what said nothing yet, and whoever comes next resumes it.
"""

import asyncio
from collections.abc import Callable, Container, Sequence

from msgspec import structs

from protocol.frames.from_server import Chunk, Logged, Reset, Status
from protocol.text import utf16_length, utf16_slice
from protocol.types import Position
from server.errors import ChatError
from server.generation import endings, material
from server.generation.asking import FEATURE
from server.generation.material import Material
from server.generation.means import Means
from server.generation.transcript import Transcript
from server.providers.base import ModelFailed
from server.streams.entry import decode
from server.telemetry.logs import get_logger
from storage.errors import Fenced, NotFound
from storage.log import Lost
from storage.records import Answer, Ended, RunState, Tail
from storage.work import Expense, step_key

AT_ONCE = 16  # answers taken at the same time
PAGE = 100

_log = get_logger()


class Recovery:
    """Finds what nobody runs; `start` runs it, `ended` is told of what ended instead."""

    def __init__(
        self,
        means: Means,
        *,
        proof_of_death: bool,
        start: Callable[[Answer], None],
        ended: Callable[[Ended], None],
    ) -> None:
        self._means = means
        self._ownership = means.store.internal.ownership
        self._proof = proof_of_death
        self._start = start
        self._ended = ended
        self._doubtful: set[str] = set()
        self._deciding: set[str] = set()

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

    def doubt(self, answer: str) -> None:
        """What is stored of that answer is not all that was shown of it: nobody goes on with it."""
        self._doubtful.add(answer)

    async def adopt(self, answer: Answer) -> None:
        """Run an answer that is this incarnation's own and that it does not run, or end it.

        It was got by a call whose reply did not come.
        """
        if answer.id in self._deciding:
            return
        if answer.id in self._doubtful:
            await self._decide(answer)
        else:
            self._start(answer)

    async def _inherit(self, answer: Answer, incarnation: str) -> bool:
        # Without a reply it may be ours all the same, and `adopt` must know from whom it came.
        self.doubt(answer.id)
        mine = await self._ownership.take_over(answer, incarnation, proof_of_death=self._proof)
        if mine is None:
            self._doubtful.discard(answer.id)
            return False
        await self._decide(mine)
        return True

    async def _decide(self, answer: Answer) -> None:
        """Of what the dead was running: run it if nothing was shown, else end it."""
        self._deciding.add(answer.id)
        try:
            # From now on whoever lost it appends nothing; what the log shows is all there is.
            self._means.hub.done(await self._means.hub.writer(answer))
            frames, whole = await self._told_of(answer)
            if whole and all(isinstance(frame, Status) for frame in frames):
                self._start(answer)
            else:
                self._ended(await self._interrupt(answer, frames))
        except Fenced:
            _log.info("an answer is another owner's", answer=answer.id)
        finally:
            self._deciding.discard(answer.id)
        self._doubtful.discard(answer.id)

    async def _told_of(self, answer: Answer) -> tuple[list[Logged], bool]:
        """What the log tells of it; whether from its beginning, or since its checkpoint alone."""
        hub, conversation = self._means.hub, answer.conversation
        after = await hub.before_row(conversation, answer.number)
        whole = after is not None
        if after is None and answer.epoch is not None:
            after = Position(answer.epoch, answer.seq)
        frames: list[Logged] = []
        while after is not None:
            page = await hub.read(conversation, after, PAGE)
            if isinstance(page, Lost):
                return [], False
            own = [entry for entry in page.entries if entry.source == answer.id]
            frames += [decode(entry.body, entry.seq) for entry in own]
            after = Position(after.epoch, page.entries[-1].seq) if page.entries else None
        return frames, whole

    async def _interrupt(self, answer: Answer, frames: Sequence[Logged]) -> Ended:
        """End it with what is stored, and what was shown beyond that."""
        tail = _shown(answer, frames)
        how = structs.replace(endings.CRASH, tail=tail)
        try:
            made_of = await material.read(answer, self._means)
            model = made_of.models[0]
            how = structs.replace(how, model=model.name, provider=model.provider.name)
            text = made_of.said + _beyond(answer, tail)
            how = structs.replace(how, expenses=await self._cost(answer, made_of, text))
        except (ChatError, ModelFailed, NotFound) as error:
            _log.info("an answer's cost is not known", answer=answer.id, exc_info=error)
        return await endings.end(self._means, answer, how)

    async def _cost(self, answer: Answer, made_of: Material, text: str) -> tuple[Expense, ...]:
        """Of a first step; of later ones nothing tells which part of the text is theirs."""
        calls = await self._means.store.internal.tools.of_answer(answer.tenant, answer.id)
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


def _shown(answer: Answer, frames: Sequence[Logged]) -> Tail | None:
    """The text that was shown, from within what is stored on."""
    resets = [place for place, frame in enumerate(frames) if isinstance(frame, Reset)]
    last = frames[resets[-1] :] if resets else frames
    chunks = [frame for frame in last if isinstance(frame, Chunk)]
    if not chunks or chunks[0].offset > answer.length:
        return None
    return Tail(chunks[0].offset, "".join(chunk.text for chunk in chunks))


def _beyond(answer: Answer, tail: Tail | None) -> str:
    """What of it is not stored."""
    if tail is None:
        return ""
    return utf16_slice(tail.text, answer.length - tail.start, utf16_length(tail.text)) or ""
