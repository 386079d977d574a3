"""The golden dialogues hold, and none of them is left unfinished."""

from typing import Any

import pytest

from protocol import client_states, session
from protocol.session import LocalError
from tests.protocol.dialogues import Plain, expected, load, player

DIALOGUES = load()


def rounded(actions: list[Plain]) -> list[Plain]:
    """Delays are compared to the microsecond: how a sum is written must not matter."""
    found = []
    for action in actions:
        told = dict(action.get("tell", {}))
        if "wait_s" in told:
            told["wait_s"] = round(told["wait_s"], 6)
        found.append({"tell": told} if told else action)
    return found


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue["file"])
def test_the_machine_says_its_part_and_no_more(dialogue: dict[str, Any]) -> None:
    """Step by step; a step that expects nothing allows nothing."""
    machine = player(dialogue)
    for number, step in enumerate(dialogue["steps"], 1):
        done = rounded(machine.do(step))
        assert done == expected(step), f"{dialogue['story']} Step {number}: {step}"
    assert machine.ends() == dialogue["ends"], dialogue["story"]


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue["file"])
def test_a_dialogue_is_finished(dialogue: dict[str, Any]) -> None:
    """Nothing waits for an answer at its end, unless what would bring it has ended too."""
    ends = dialogue["ends"]
    assert ends["unanswered"] == 0 or ends["state"] == "stopped"
    times = [step["at"] for step in dialogue["steps"]]
    assert times == sorted(times)
    assert dialogue["file"].startswith(dialogue["machine"])
    assert dialogue["story"].endswith(".")


def test_a_dialogue_that_goes_wrong_fails() -> None:
    """The players notice an action too many, one too few, and an unknown input."""
    dialogue = next(one for one in DIALOGUES if one["file"] == "client-first-message")
    machine = player(dialogue)
    first = dialogue["steps"][0]
    assert machine.do(first) != expected({"expect": []})
    assert machine.do({"at": 1, "tick": True}) != expected(first)
    with pytest.raises(ValueError, match="no such input"):
        machine.do({"at": 1, "sing": True})
    with pytest.raises(LocalError):
        machine.do(first)


def test_the_dialogues_go_through_every_transition() -> None:
    """Whoever passes them all has met every edge of both tables."""
    met: set[tuple[str, str]] = set()
    for dialogue in DIALOGUES:
        machine = player(dialogue)
        for step in dialogue["steps"]:
            before = machine.ends()["state"]
            machine.do(step)
            met.add((before, machine.ends()["state"]))
    for table in (client_states.TRANSITIONS, session.TRANSITIONS):
        edges = {(str(before.value), str(after.value)) for (before, _), after in table.items()}
        assert edges - met == set()
