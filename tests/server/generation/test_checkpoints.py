"""Text on its way into SQL, while answers are made."""

import asyncio

from protocol.types import AnswerState
from storage import log
from storage.errors import Unavailable
from storage.records import Checkpoint, Checkpointed
from tests.server.generation.scene import Scene, done


async def test_all_that_run_are_stored_in_one_transaction(scene: Scene) -> None:
    """What they said, what they do, and where their logs stand."""
    gate = asyncio.Event()
    scene.plays(["one", gate, done()], ["two👋", gate, done()], [gate, done()])
    sent = []
    for count, text in enumerate(("one", "two👋", ""), 1):
        sent.append(await scene.send())
        # Whoever asks first gets the next script, so the others wait until this one has.
        await scene.until(lambda: scene.puppet.open == count)  # noqa: B023 - awaited at once
        await scene.shown(sent[-1].conversation, text)
    silent = scene.supervisor._runs[sent[2].answer]._draft
    assert silent is not None
    await silent.writer.settled()
    asked = scene.world.db.asked
    await scene.supervisor.checkpoint()
    assert scene.world.db.asked == asked + 1
    answers = [await scene.answer(one) for one in sent]
    assert [(one.length, one.phase) for one in answers] == [
        (3, AnswerState.GENERATING),
        (5, AnswerState.GENERATING),
        (0, AnswerState.THINKING),
    ]
    for answer in answers:
        head = (await scene.log.heads([answer.conversation]))[answer.conversation]
        assert head is not None
        assert (answer.epoch, answer.seq) == (head.epoch, head.seq)
    gate.set()
    await scene.idle()
    assert [(await scene.complete(one)).length for one in sent] == [3, 5, 0]


async def test_only_what_is_new_is_stored(scene: Scene) -> None:
    """Each text once."""
    gates = [asyncio.Event(), asyncio.Event()]
    scene.plays(["one ", gates[0], "two ", gates[1], "three", done()])
    sent = await scene.send()
    for gate, text in zip(gates, ("one ", "one two "), strict=True):
        await scene.shown(sent.conversation, text)
        for _ in range(2):
            await scene.supervisor.checkpoint()
        assert (await scene.answer(sent)).length == len(text)
        pieces = await scene.world.rows("SELECT text FROM pieces ORDER BY start")
        assert "".join(str(row["text"]) for row in pieces) == text
        gate.set()
    await scene.idle()
    assert (await scene.complete(sent)).length == 13


async def test_a_checkpoint_without_a_reply_is_made_up_for(scene: Scene) -> None:
    """What it stored is not stored twice, and what came since is not left out."""
    answers = scene.store.internal.answers
    checkpoint = answers.checkpoint
    gate = asyncio.Event()

    async def unheard(batch: list[Checkpoint]) -> list[Checkpointed]:
        answers.checkpoint = checkpoint  # type: ignore[method-assign]
        await checkpoint(batch)
        raise Unavailable("no reply", outcome_unknown=True)

    scene.plays(["one ", gate, "two", done(tokens=7), asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    answers.checkpoint = unheard  # type: ignore[method-assign,assignment]
    try:
        await scene.supervisor.checkpoint()
    except Unavailable:
        gate.set()
    await scene.idle()
    assert (await scene.message(sent)).content == "one two"
    assert (await scene.complete(sent)).outcome == "complete"


async def test_a_checkpoint_that_meets_the_end_does_no_harm(scene: Scene) -> None:
    """Whichever comes first."""
    answers = scene.store.internal.answers
    end = answers.end

    async def after_a_checkpoint(held, how):  # type: ignore[no-untyped-def]
        run = scene.supervisor._runs[sent.answer]
        await scene.supervisor._checkpoints.store([run])
        ended = await end(held, how)
        await scene.supervisor._checkpoints.store([run])
        return ended

    answers.end = after_a_checkpoint  # type: ignore[method-assign]
    scene.plays(["text", done(tokens=4)])
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"


async def test_the_log_may_forget_what_is_stored(scene: Scene) -> None:
    """And is told so, of each answer."""
    told: list[log.Checkpoint] = []
    checkpoint = scene.log.checkpoint

    async def noted(batch):  # type: ignore[no-untyped-def]
        told.extend(batch)
        await checkpoint(batch)

    scene.log.checkpoint = noted  # type: ignore[method-assign]
    gate = asyncio.Event()
    scene.plays(["text", gate, done()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    await scene.supervisor.checkpoint()
    answer = await scene.answer(sent)
    assert answer.epoch is not None
    assert told == [log.Checkpoint(sent.conversation, answer.epoch, sent.answer, answer.seq)]
    gate.set()
    await scene.idle()


async def test_a_lost_log_is_told_anew(scene: Scene) -> None:
    """From where SQL has it, in an epoch of its own; the answer goes on."""
    gate = asyncio.Event()
    scene.plays(["one ", gate, "two", done(tokens=7)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    await scene.supervisor.checkpoint()
    await scene.log.drop([sent.conversation])
    gate.set()
    await scene.idle()
    assert (await scene.message(sent)).content == "one two"
    assert [line.outcome for line in scene.lines] == ["complete"]


async def test_a_log_that_cannot_be_told_keeps_more_than_it_must(scene: Scene) -> None:
    """Until the next checkpoint; the text is stored all the same, and that is no failure."""
    gate = asyncio.Event()
    scene.plays(["text", gate, done(tokens=4)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    scene.log.away = {"checkpoint"}
    await scene.supervisor.checkpoint()
    assert (await scene.answer(sent)).length == 4
    gate.set()
    await scene.idle()


async def test_a_log_that_is_out_of_reach_is_not_waited_for(scene: Scene) -> None:
    """It may hang, and the next checkpoint brings stops."""
    asked = []

    async def hangs(batch: list[log.Checkpoint]) -> None:
        asked.append(batch)

    gate = asyncio.Event()
    scene.plays(["text", gate, done(tokens=4)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    scene.log.checkpoint = hangs  # type: ignore[method-assign,assignment]
    scene.log.gone = True
    await scene.supervisor.checkpoint()
    scene.log.gone = False
    assert (asked, (await scene.answer(sent)).length) == ([], 4)
    gate.set()
    await scene.idle()
