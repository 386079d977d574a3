"""The text of all running answers, into SQL: one transaction however many there are."""

from collections.abc import Iterable
from contextlib import suppress

from server.generation.run import Run
from storage import log
from storage.errors import Unavailable
from storage.log import EventLog
from storage.records import Checkpoint, Verdict
from storage.store import InternalAnswers


class Checkpoints:
    """Stores what is said, and hears by the way which answers are to stop or are another's."""

    def __init__(self, answers: InternalAnswers, event_log: EventLog) -> None:
        self._answers = answers
        self._log = event_log

    async def store(self, runs: Iterable[Run]) -> None:
        """Store what these have said since the last time; then logs need not keep it."""
        saying = [(run, said) for run in runs if (said := run.checkpoint()) is not None]
        results = await self._answers.checkpoint([said for _, said in saying])
        kept = []
        for (run, said), result in zip(saying, results, strict=True):
            run.stored(said, result)
            if result.verdict is Verdict.STORED and said.epoch is not None:
                kept.append(_trimmable(said, said.epoch))
        if not self._log.reachable:  # it keeps them until the next one, which need not wait for it
            return
        with suppress(Unavailable):
            await self._log.checkpoint(kept)


def _trimmable(said: Checkpoint, epoch: str) -> log.Checkpoint:
    # SQL may have more than the log has up to there, and never less.
    return log.Checkpoint(said.held.conversation, epoch, said.held.answer, said.seq)
