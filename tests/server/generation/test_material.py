"""What an answer is made of, read from its rows."""

from collections.abc import MutableMapping
from typing import Any

from server.generation.request import Request
from storage.records import NewConversation
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import Scene, done


async def ask(scene: Scene, content: str, text: str = "text", **more: Any) -> str:
    """A whole exchange; its conversation."""
    scene.plays([text, done(tokens=len(text))])
    sent = await scene.send(content, **more)
    await scene.idle()
    return sent.conversation


async def test_a_request_passes_on_what_was_asked(scene: Scene) -> None:
    """Beside the conversation."""
    await ask(scene, "hello", asked=Request(temperature=0.5, max_tokens=99, system_prompt="Brief."))
    (request,) = scene.puppet.requests
    assert (request.temperature, request.max_tokens) == (0.5, 99)
    assert (request.system_prompt, request.model, request.step) == ("Brief.", "puppet", 0)


async def test_a_conversation_has_a_prompt_of_its_own(scene: Scene) -> None:
    """Which a message may replace."""
    new = NewConversation(system_prompt="Rhyme.")
    conversation = await ask(scene, "hello", new=new)
    await ask(scene, "again", conversation=conversation, asked=Request(system_prompt="Do not."))
    assert [one.system_prompt for one in scene.puppet.requests] == ["Rhyme.", "Do not."]


async def test_the_model_that_the_row_names_is_asked(scene: Scene) -> None:
    """Regenerating names another than the request that it repeats."""
    await ask(scene, "hello", asked=Request(model="puppet"), model="handy")
    assert scene.puppet.requests[0].model == "handy"


async def test_a_conversation_goes_on_with_the_model_that_it_began_with(scene: Scene) -> None:
    """Until a message names another; one that is offered no more binds nobody."""
    new = NewConversation(model="handy")
    conversation = await ask(scene, "hello", new=new, model="handy")
    await ask(scene, "again", conversation=conversation)
    await ask(scene, "now you", conversation=conversation, model="puppet")
    await ask(scene, "hello", new=NewConversation(model="gone"))
    assert [one.model for one in scene.puppet.requests] == ["handy", "handy", "puppet", "puppet"]


async def test_only_the_branch_is_shown(scene: Scene) -> None:
    """Not what was said beside it."""
    first = await ask(scene, "a", "one")
    message = scene.lines[0].answer
    await ask(scene, "b", "two", conversation=first)
    await ask(scene, "c", "three", conversation=first, parent=message)
    assert [turn.content for turn in scene.puppet.requests[2].turns] == ["a", "one", "c"]


async def test_what_was_left_out_is_logged(
    make: Makes, logged: list[MutableMapping[str, Any]]
) -> None:
    """How much, and nothing of it."""
    scene = await make(own={"context_tokens": 100}, reserve_tokens=20)
    conversation = await ask(scene, "x" * 90)
    await ask(scene, "y" * 150, conversation=conversation)
    assert len(scene.puppet.requests[1].turns) == 1
    (line,) = [line for line in logged if line["event"] == "the context left out older messages"]
    assert (line["shown"], line["left_out"], line["more"]) == (1, 2, False)
    assert "x" not in str(line["tokens"])


async def test_a_message_that_no_model_reads_is_refused(make: Makes) -> None:
    """In words that say what to do."""
    scene = await make(own={"context_tokens": 20}, reserve_tokens=10)
    sent = await scene.send("x" * 100)
    await scene.idle()
    complete = await scene.complete(sent)
    assert complete.error is not None
    assert (complete.error.code, complete.finish_reason) == ("context_too_long", "error")
    assert "shorten" in complete.error.message
    assert scene.puppet.requests == []


async def test_so_many_messages_are_read(make: Makes) -> None:
    """However long the conversation."""
    scene = await make(context_messages=3)
    conversation = await ask(scene, "a", "one")
    await ask(scene, "b", "two", conversation=conversation)
    await ask(scene, "c", "three", conversation=conversation)
    assert [turn.content for turn in scene.puppet.requests[2].turns] == ["b", "two", "c"]
