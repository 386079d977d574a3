"""Tool calls: what may run, who has to do something first, and that nothing runs twice."""

from hashlib import sha256

import pytest
from msgspec import Raw

from protocol.codec import JSON
from protocol.frames.from_server import Tool
from protocol.limits import SERVER_FRAME_BYTES
from protocol.types import FinishReason, ToolState
from server.generation.request import Request
from server.generation.speech import MOST_CALLS
from server.generation.supervisor import STALE_S
from server.generation.tools import canonical
from server.providers.base import CallsTool, ToolOffer
from storage.records import Held, Sent, Tail, ToolCall
from storage.values import Json, Spent
from tests.server.generation.conftest import Makes
from tests.server.generation.flaky import Flaky
from tests.server.generation.scene import RAW, Act, Scene, done
from tests.support.rows import World

MAIL = ToolOffer(name="send_mail", description="Sends a mail.", parameters={"type": "object"})
OWN = Request(model="handy", tools=(MAIL,))
ARGUMENTS = Raw(b'{"to":"bob"}')
NOON = CallsTool(name="clock", arguments=RAW, scripted_result="noon")
MAILS = CallsTool(name="send_mail", arguments=ARGUMENTS)
ASKS = CallsTool(name="wipe", arguments=ARGUMENTS, approval=True, scripted_result="wiped")
AFTER: list[Act] = ["after", done(tokens=5)]


async def call_of(scene: Scene, sent: Sent, place: int = 0) -> ToolCall:
    """A call as it stands."""
    calls = await scene.store.internal.tools.of_answer(scene.world.tenant, sent.answer)
    return calls[place]


async def parked(scene: Scene, *calls: CallsTool, asked: Request | None = None) -> Sent:
    """An answer that waits, after some text."""
    scene.plays(["before ", *calls, done(None, 7)])
    sent = await scene.send(asked=asked)
    await scene.idle()
    assert (await scene.answer(sent)).state == "parked"
    return sent


async def decide(scene: Scene, sent: Sent, *, allow: bool, place: int = 0) -> None:
    """A person decides, and the server looks at what follows."""
    call = await call_of(scene, sent, place)
    await scene.store.tools.decide(
        scene.world.owner, scene.world.once(), call.id, args_hash=call.args_hash, allow=allow
    )
    scene.supervisor.look(scene.world.tenant, sent.conversation)


async def test_a_tool_of_the_server_runs_and_the_model_hears_of_it(scene: Scene) -> None:
    """Every state is told, and the model goes on behind its own text."""
    scene.plays(["before ", NOON, done(None, 7)], AFTER)
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length) == ("complete", 12)
    assert await scene.tools(sent) == [("requested", None), ("running", None), ("done", "noon")]
    assert await scene.states(sent) == ["thinking", "generating", "tool", "thinking", "generating"]
    second = scene.puppet.requests[1]
    assert (second.step, second.said) == (1, "before ")
    (outcome,) = second.outcomes
    assert (outcome.name, outcome.result, outcome.failed) == ("clock", "noon", False)
    assert await scene.spent() == Spent(2, 12, 0)


async def test_several_calls_run_in_their_order(scene: Scene) -> None:
    """And their outcomes come in that order."""
    other = CallsTool(name="weather", arguments=RAW, scripted_result="rain")
    scene.plays([NOON, other, done(None)], AFTER)
    sent = await scene.send()
    await scene.idle()
    assert [one.result for one in scene.puppet.requests[1].outcomes] == ["noon", "rain"]
    assert (await scene.complete(sent)).outcome == "complete"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (CallsTool(name="nobodys", arguments=RAW), "no tool of this name"),
        (CallsTool(name="not a name", arguments=RAW), "no tool of this name"),
        (CallsTool(name="t", arguments=Raw(b"[1]"), scripted_result="x"), "not an object"),
        (CallsTool(name="t", arguments=Raw(b"{"), scripted_result="x"), "not an object"),
        (
            CallsTool(
                name="t", arguments=Raw(b'{"a":' * 10 + b"1" + b"}" * 10), scripted_result="x"
            ),
            "8",
        ),
        (CallsTool(name="t", arguments=Raw(b'{"a":"\\u0000"}'), scripted_result="x"), "not"),
        (
            CallsTool(name="t", arguments=Raw(b'{"a":"' + b"x" * 20_000 + b'"}'), approval=True),
            "16",
        ),
    ],
)
async def test_what_cannot_be_run_fails_and_the_model_hears_why(
    scene: Scene, call: CallsTool, words: str
) -> None:
    """Nobody is asked to approve it either."""
    scene.plays([call, done(None)], AFTER)
    sent = await scene.send(
        asked=Request(tools=(ToolOffer(name="u", description="", parameters={}),))
    )
    await scene.idle()
    (outcome,) = scene.puppet.requests[1].outcomes
    assert outcome.failed
    assert words in outcome.result or "no tool" in outcome.result
    assert [state for state, _ in await scene.tools(sent)] == ["failed"]
    assert (await scene.complete(sent)).outcome == "complete"


async def test_an_approved_call_runs_once_and_the_answer_goes_on(scene: Scene) -> None:
    """With what it had said, in the same attempt, and its time parked does not count."""
    sent = await parked(scene, ASKS)
    call = await call_of(scene, sent)
    frames = [one for one in await scene.frames(sent.conversation) if isinstance(one, Tool)]
    assert [(one.state, one.arguments, one.args_hash) for one in frames] == [
        ("awaiting_approval", {"to": "bob"}, sha256(ARGUMENTS).hexdigest())
    ]
    assert frames[0].expires_at is not None
    assert scene.supervisor.running == 0
    scene.time.now += 500
    await scene.supervisor.beat()
    scene.plays(AFTER)
    await decide(scene, sent, allow=True)
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length, complete.attempt) == ("complete", 12, 1)
    assert complete.timings_ms.total < 500_000
    assert [state for state, _ in await scene.tools(sent)] == [
        "awaiting_approval",
        "running",
        "done",
    ]
    assert await scene.states(sent) == [
        *("thinking", "generating", "tool", "parked"),
        *("tool", "thinking", "generating"),
    ]
    assert scene.puppet.requests[1].said == "before "
    assert (await call_of(scene, sent)).result == "wiped"
    assert call.args_hash == sha256(ARGUMENTS).hexdigest()
    assert await scene.spent() == Spent(2, 12, 0)


async def test_a_denied_call_does_not_run(scene: Scene) -> None:
    """The model hears that a person said no."""
    sent = await parked(scene, ASKS)
    scene.plays(AFTER)
    await decide(scene, sent, allow=False)
    await scene.idle()
    assert [state for state, _ in await scene.tools(sent)] == ["awaiting_approval", "denied"]
    (outcome,) = scene.puppet.requests[1].outcomes
    assert outcome.failed
    assert "did not allow" in outcome.result
    assert (await scene.complete(sent)).outcome == "complete"


async def test_nobody_decides_in_time(scene: Scene) -> None:
    """The sweeper closes the call, and the answer goes on without it."""
    sent = await parked(scene, ASKS)
    scene.plays(AFTER)
    await scene.supervisor.sweep()
    assert (await scene.answer(sent)).state == "parked"
    scene.world.clock.advance(600_000)
    await scene.supervisor.sweep()
    await scene.idle()
    assert [state for state, _ in await scene.tools(sent)] == ["awaiting_approval", "expired"]
    assert scene.puppet.requests[1].outcomes[0].failed
    assert (await scene.complete(sent)).outcome == "complete"


async def test_a_decision_is_acted_upon_though_another_is_awaited(scene: Scene) -> None:
    """Each call is told of as soon as it is decided, and the first runs while the second waits."""
    sent = await parked(scene, ASKS, ASKS)
    await decide(scene, sent, allow=True)
    await scene.idle()
    assert (await scene.answer(sent)).state == "parked"
    assert [state for state, _ in await scene.tools(sent)] == [
        *("awaiting_approval", "awaiting_approval"),
        *("running", "done"),
    ]
    scene.supervisor.look(scene.world.tenant, sent.conversation)  # no news: nothing happens
    await scene.idle()
    assert (await scene.states(sent))[-1] == "parked"
    scene.plays(AFTER)
    await decide(scene, sent, allow=False, place=1)
    await scene.idle()
    outcomes = scene.puppet.requests[1].outcomes
    assert [one.failed for one in outcomes] == [False, True]
    assert (await scene.complete(sent)).outcome == "complete"


async def test_a_decision_before_it_is_parked_is_not_missed(scene: Scene) -> None:
    """It was stored between the call and the parking, when nothing could be resumed."""
    answers = scene.store.internal.answers
    park = answers.park

    async def decided_first(
        held: Held, transcript: Json, tail: Tail | None = None, **asked: str | None
    ) -> object:
        answers.park = park  # type: ignore[method-assign]
        call = await call_of(scene, sent)
        await scene.store.tools.decide(
            scene.world.owner, scene.world.once(), call.id, args_hash=call.args_hash, allow=True
        )
        return await park(held, transcript, tail, **asked)

    answers.park = decided_first  # type: ignore[method-assign,assignment]
    scene.plays([ASKS, done(None)], AFTER)
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"
    assert (await call_of(scene, sent)).state == "done"


async def test_a_client_runs_its_own_tool(scene: Scene) -> None:
    """Declared with the message; its result is the outcome."""
    sent = await parked(scene, MAILS, asked=OWN)
    assert scene.puppet.requests[0].tools == (MAIL,)
    call = await call_of(scene, sent)
    assert (call.origin, call.state) == ("client", "requested")
    scene.plays(AFTER)
    await scene.store.tools.tool_result(
        scene.world.owner, scene.world.once(), call.id, failed=False, result="sent"
    )
    scene.supervisor.look(scene.world.tenant, sent.conversation)
    await scene.idle()
    assert await scene.tools(sent) == [("requested", None), ("done", "sent")]
    (outcome,) = scene.puppet.requests[1].outcomes
    assert (outcome.result, outcome.failed) == ("sent", False)
    assert (await scene.complete(sent)).outcome == "complete"


async def test_a_client_is_told_to_run_its_tool_once_it_is_approved(scene: Scene) -> None:
    """By a frame of its own: it may be another device than the one that approved."""
    mails = CallsTool(name="send_mail", arguments=ARGUMENTS, approval=True)
    sent = await parked(scene, mails, asked=OWN)
    await decide(scene, sent, allow=True)
    await scene.idle()
    assert (await scene.answer(sent)).state == "parked"
    assert [state for state, _ in await scene.tools(sent)] == ["awaiting_approval", "requested"]
    scene.plays(AFTER)
    scene.world.clock.advance(600_000)
    await scene.supervisor.sweep()
    await scene.idle()
    assert [state for state, _ in await scene.tools(sent)][-1] == "expired"
    assert (await scene.complete(sent)).outcome == "complete"


async def test_a_model_without_tools_is_not_offered_any(scene: Scene) -> None:
    """And the answer says that it had to do without."""
    scene.plays(AFTER)
    sent = await scene.send(asked=Request(model="puppet", tools=(MAIL,)))
    await scene.idle()
    assert scene.puppet.requests[0].tools == ()
    assert (await scene.complete(sent)).degraded == ["no_tools"]


async def test_a_parked_answer_is_stopped_at_once(scene: Scene) -> None:
    """Nobody owns it; its call never runs."""
    sent = await parked(scene, ASKS)
    await scene.stop(sent.answer)
    await scene.supervisor.sweep()
    await scene.idle()
    assert (await scene.message(sent)).answered is not None
    assert (await call_of(scene, sent)).state == "expired"
    assert len(scene.puppet.requests) == 1


async def test_it_is_parked_though_its_owner_was_not_heard_meanwhile(
    make: Makes, world: World
) -> None:
    """The store says that it was its own, and no checkpoint will; clients hear that it waits."""
    flaky = Flaky(world.store)
    scene = await make(own={"given": flaky.as_store()})
    scene.plays([ASKS, done(None)])
    park = "internal.answers.park"
    flaky.broken = lambda _number, name: "before" if name == park else None
    sent = await scene.send()
    await scene.until(lambda: park in flaky.names)
    scene.time.now += STALE_S
    await scene.supervisor.tick()
    flaky.heal()
    await scene.idle()
    assert (await scene.answer(sent)).state == "parked"
    assert (await scene.states(sent))[-1] == "parked"


async def test_a_stop_while_it_is_being_parked_ends_it(scene: Scene) -> None:
    """The store refuses to park it."""
    answers = scene.store.internal.answers
    park = answers.park

    async def stopped_first(
        held: Held, transcript: Json, tail: Tail | None = None, **asked: str | None
    ) -> object:
        await scene.stop(sent.answer)
        return await park(held, transcript, tail, **asked)

    answers.park = stopped_first  # type: ignore[method-assign,assignment]
    scene.plays(["before ", ASKS, done(None, 7)])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length) == ("stopped", 7)
    assert await scene.spent() == Spent(1, 7, 0)


async def test_a_call_that_was_running_is_not_run_again(scene: Scene) -> None:
    """Nobody knows what it has done, and the model is told so."""
    sent = await parked(scene, ASKS, NOON)
    call = await call_of(scene, sent)
    await scene.world.run(
        "UPDATE tool_calls SET state = 'running' WHERE id = :id", id=call.id
    )  # as a process leaves it that dies in the midst of it
    scene.plays(AFTER)
    scene.supervisor.look(scene.world.tenant, sent.conversation)
    await scene.idle()
    assert (await call_of(scene, sent)).state is ToolState.UNKNOWN
    assert [one.failed for one in scene.puppet.requests[1].outcomes] == [True, False]


async def test_other_arguments_than_those_approved_do_not_run(scene: Scene) -> None:
    """Whoever changed the row."""
    sent = await parked(scene, ASKS)
    call = await call_of(scene, sent)
    await scene.world.run("UPDATE tool_calls SET arguments = '{}' WHERE id = :id", id=call.id)
    scene.plays(AFTER)
    await decide(scene, sent, allow=True)
    await scene.idle()
    found = await call_of(scene, sent)
    assert (found.state, found.result) == (
        "failed",
        "The arguments are not those that were asked for.",
    )


async def test_a_stop_while_a_tool_runs_ends_the_answer_after_it(scene: Scene) -> None:
    """Its effect is on record, and the model is asked no more."""
    calls = scene.store.internal.tools
    advance = calls.advance

    async def stopping(held: object, call: str, **how: object) -> ToolCall:
        if how["state"] is ToolState.RUNNING:
            await scene.stop(sent.answer)
        return await advance(held, call, **how)  # type: ignore[arg-type]

    calls.advance = stopping  # type: ignore[method-assign]
    scene.plays([NOON, done(None)])
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "stopped"
    assert (await call_of(scene, sent)).state is ToolState.DONE
    assert len(scene.puppet.requests) == 1


async def test_too_many_calls_at_once_are_a_fault_of_the_model(scene: Scene) -> None:
    """Nothing of them runs."""
    scene.plays([*[NOON] * 17, done(None)])
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "failed"
    assert await scene.tools(sent) == []


@pytest.mark.parametrize(
    ("arguments", "spelt"),
    [
        (b'{ "b": 1, "a": [true, null] }', b'{"a":[true,null],"b":1}'),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode()),
        (b"{}", b"{}"),
        (b'{"a":"\\ud800"}', None),
        (b'{"a":9007199254740993}', None),
        (b"[" * 100_000, None),
        (b'{"a":"\xff"}', None),
        (b"", None),
    ],
)
def test_arguments_have_one_spelling(arguments: bytes, spelt: bytes | None) -> None:
    """So that an approval is of what they say, not of how it is written."""
    found: Json | None = canonical(Raw(arguments))
    assert (None if found is None else bytes(found)) == spelt


async def test_reasons_beside_calls_end_the_answer(scene: Scene) -> None:
    """A model that is at its end called nothing that matters."""
    scene.plays(["text", NOON, done(FinishReason.LENGTH)])
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).finish_reason == "length"
    assert await scene.tools(sent) == []


async def test_the_longest_arguments_and_results_fit_a_frame(scene: Scene) -> None:
    """Also where each of their signs takes six bytes."""
    long = Raw(b'{"a":"' + b"\\u0001" * 2700 + b'"}')
    call = CallsTool(name="t", arguments=long, scripted_result="\u0001" * 100_000)
    scene.plays([call, done(None)], AFTER)
    sent = await scene.send()
    await scene.idle()
    frames = await scene.frames(sent.conversation)
    told = [JSON.encode(one) for one in frames if isinstance(one, Tool)]
    assert [state for state, _ in await scene.tools(sent)] == ["requested", "running", "done"]
    assert SERVER_FRAME_BYTES / 2 < max(map(len, told)) < SERVER_FRAME_BYTES


async def test_calls_beyond_number_are_not_kept(scene: Scene) -> None:
    """The step has failed with the first that is too many."""
    scene.plays([*[NOON] * 1000, done(None)])
    sent = await scene.send()
    await scene.until(lambda: scene.supervisor._runs[sent.answer]._draft)
    work = scene.supervisor._runs[sent.answer]._draft
    assert work is not None
    await scene.idle()
    assert len(work.speech.calls) == MOST_CALLS + 1
    assert (await scene.complete(sent)).finish_reason == "error"
    assert await scene.tools(sent) == []
