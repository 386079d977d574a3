"""People's devices, the server and its lives, in any order that Hypothesis thinks of.

The server is the whole application on real sockets and a file of its own; devices are clients that
find fault with every frame that should not be; a tree in plain Python says what has to be there.
Rules of one example run one after the other, so that each knows what it may expect; where a race is
the point, one rule has both its sides.
"""

import asyncio
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.conftest import LONG
from tests.e2e.machine import deeds, races, strangers
from tests.e2e.machine.device import Person
from tests.e2e.machine.life import make_template
from tests.e2e.machine.machine import Machine, Picks, people, picks
from tests.e2e.machine.scripts import Script, scripts

on_busy = st.sampled_from(["queue", "queue", "reject", "interrupt"])
drops = st.sampled_from(["fin", "rst", "silence", "close"])
turns = st.integers(0, 40)


class Parley(Machine):
    """What may happen."""

    # ── devices ──────────────────────────────────────────────────────────────────────────────────

    @rule(person=people, binary=st.booleans(), which=picks)
    def connect(self, person: Person, binary: bool, which: Picks) -> None:
        """A device says hello, and follows what it likes from a snapshot."""
        mine = [c.id for c in self.w.tree.conversations.values() if c.owner == person]
        wanted = {self.pick(which, mine) for _ in range(which[0] % 4)} if mine else ()
        self.run(self.w.connect(person, *sorted(wanted), binary=binary))

    @rule(which=picks, how=drops)
    def drop(self, which: Picks, how: str) -> None:
        """A device vanishes."""
        if self.w.devices:
            self.run(self.w.drop(self.device(which), how))

    @rule(which=picks, binary=st.booleans())
    def resume(self, which: Picks, binary: bool) -> None:
        """A device is back."""
        if self.w.dropped:
            self.run(self.w.resume(self.pick(which, self.w.dropped), binary=binary))

    @rule(which=picks, resume=st.booleans(), times=st.integers(1, 2))
    def attach(self, which: Picks, resume: bool, times: int) -> None:
        """A device follows, from where it is or from a snapshot; twice is as once."""
        there = self.conversation(which)
        device = self.device(which, there.owner)
        self.run(deeds.attach(self.w, device, there, resume=resume, times=times))

    @rule(which=picks)
    def detach(self, which: Picks) -> None:
        """A device follows no more."""
        there = self.conversation(which)
        self.run(deeds.detach(self.w, self.device(which, there.owner), there))

    @rule(which=picks)
    def type_something(self, which: Picks) -> None:
        """A device types, and is heard where it follows."""
        there = self.conversation(which)
        self.run(deeds.type_something(self.w, self.device(which, there.owner), there))

    # ── asking for answers ───────────────────────────────────────────────────────────────────────

    @rule(script=scripts(), which=picks)
    def begin_conversation(self, script: Script, which: Picks) -> None:
        """A first message."""
        self.run(self.w.ask(self.device(which), self.w.chat(script, None), script))

    @rule(script=scripts(), on_busy=on_busy, which=picks, anywhere=st.booleans())
    def chat(self, script: Script, on_busy: str, which: Picks, anywhere: bool) -> None:
        """A further message, at the leaf or below any other."""
        there = self.conversation(which)
        parent = self.message(which, there) if anywhere else None
        device = self.device(which, there.owner)
        frame = self.w.chat(script, there, on_busy=on_busy, parent=parent)
        self.run(self.w.ask(device, frame, script))

    @rule(script=scripts(), on_busy=on_busy, which=picks)
    def edit(self, script: Script, on_busy: str, which: Picks) -> None:
        """Another message beside an earlier one."""
        there = self.conversation(which)
        frame = self.w.edit(script, self.message(which, there, "user"), on_busy)
        self.run(self.w.ask(self.device(which, there.owner), frame, script))

    @rule(on_busy=on_busy, which=picks)
    def regenerate(self, on_busy: str, which: Picks) -> None:
        """Another answer beside an earlier one, which may not have ended."""
        there = self.conversation(which)
        asked = self.answer(which, there)
        frame = self.w.named("regenerate", answer=asked.id, on_busy=on_busy)
        self.run(self.w.ask(self.device(which, there.owner), frame, asked.script))

    @rule(which=picks, other_body=st.booleans())
    def repeat(self, which: Picks, other_body: bool) -> None:
        """An id is used again: for the same, which changes nothing, or for something else."""
        if self.w.requests:
            request = self.pick(which, self.w.requests)
            device = self.device(which, request.person)
            work = self.w.conflict if other_body else self.w.repeat
            self.run(work(device, request))

    @rule(which=picks, person=people, script=scripts())
    def same_id_of_another(self, which: Picks, person: Person, script: Script) -> None:
        """An id is its user's own."""
        mine = {each.frame["id"] for each in self.w.requests if each.person == person}
        theirs = [each.frame["id"] for each in self.w.requests]
        if others := [id for id in theirs if id not in mine]:
            frame = self.w.chat(script, None, id=self.pick(which, others))
            self.run(self.w.ask(self.device(which, person), frame, script))

    # ── what comes of them ───────────────────────────────────────────────────────────────────────

    @rule(which=picks)
    def stop(self, which: Picks) -> None:
        """Any answer, from any device."""
        there = self.conversation(which)
        asked = self.answer(which, there)
        self.run(self.w.stop(self.device(which, there.owner), there, asked))

    @rule(which=picks)
    def finish(self, which: Picks) -> None:
        """Everything in a conversation comes to its end."""
        self.run(self.w.finish(self.conversation(which)))

    @rule(which=picks, allow=st.booleans())
    def decide(self, which: Picks, allow: bool) -> None:
        """A person allows a call, or denies it."""
        there, asked = self.waiting(which, "awaiting_approval")
        device = self.device(which, there.owner)
        self.run(deeds.decide(self.w, device, there, asked, allow=allow))

    @rule(which=picks, allow=st.booleans(), forged=st.booleans())
    def decide_again(self, which: Picks, allow: bool, forged: bool) -> None:
        """A call was decided, or is over."""
        if over := self.decided():
            there, asked = self.pick(which, over)
            device = self.device(which, there.owner)
            self.run(deeds.decide_again(self.w, device, asked, allow=allow, forged=forged))

    @rule(which=picks, failed=st.booleans())
    def run_tool(self, which: Picks, failed: bool) -> None:
        """A client ran its tool."""
        there, asked = self.waiting(which, "requested")
        device = self.device(which, there.owner)
        outcome = {"error": "broken"} if failed else {"content": "noon €"}
        self.run(deeds.run_tool(self.w, device, there, asked, **outcome))

    @rule(which=picks)
    def select(self, which: Picks) -> None:
        """Another branch is the active one."""
        there = self.conversation(which)
        message = self.message(which, there)
        self.run(deeds.select(self.w, self.device(which, there.owner), there, message))

    @rule(
        which=picks,
        rating=st.sampled_from(["up", "down", 1, 5]),
        comment=st.sampled_from([None, "ok €"]),
    )
    def rate(self, which: Picks, rating: str | int, comment: str | None) -> None:
        """A person rates a message."""
        there = self.conversation(which)
        word = {"rating": rating} | ({} if comment is None else {"comment": comment})
        device, message = self.device(which, there.owner), self.message(which, there)
        self.run(deeds.rate(self.w, device, there, message, **word))

    @rule(which=picks, limit=st.integers(1, 4), before=st.booleans())
    def read_history(self, which: Picks, limit: int, before: bool) -> None:
        """Page by page, the branch is the one that should be there."""
        there = self.conversation(which)
        message = self.message(which, there) if before else None
        device = self.device(which, there.owner)
        self.run(self.w.history(device, there, limit, message))

    @rule(which=picks, person=people)
    def pry(self, which: Picks, person: Person) -> None:
        """A stranger tries every id there is."""
        there = self.conversation(which)
        if person != there.owner:
            self.run(strangers.pry(self.w, self.device(which, person), there))

    # ── the server ───────────────────────────────────────────────────────────────────────────────

    @rule(how=st.sampled_from(["shutdown", "crash"]))
    def restart(self, how: str) -> None:
        """The server ends, in an orderly way or not, and another begins."""
        self.run(self.w.restart(how))

    @rule(which=picks)
    def lose_log(self, which: Picks) -> None:
        """A conversation's log is lost."""
        self.run(deeds.lose_log(self.w, self.conversation(which)))

    # ── races ────────────────────────────────────────────────────────────────────────────────────

    @rule(script=scripts(), on_busy=on_busy, which=picks, fresh=st.booleans())
    def same_id_at_once(self, script: Script, on_busy: str, which: Picks, fresh: bool) -> None:
        """Two devices send the same."""
        there = None if fresh else self.conversation(which)
        one = self.device(which, there.owner if there else None)
        other = self.device(which, one.person)
        frame = self.w.chat(script, there, on_busy=on_busy)
        self.run(races.same_id(self.w, one, other, frame, script))

    @rule(several=st.tuples(scripts(), scripts()), how=st.tuples(on_busy, on_busy), which=picks)
    def two_messages_at_once(
        self, several: tuple[Script, Script], how: tuple[str, str], which: Picks
    ) -> None:
        """Two devices send into one conversation."""
        there = self.conversation(which)
        devices = self.device(which, there.owner), self.device(which, there.owner)
        frames = [
            self.w.chat(script, there, on_busy=each)
            for script, each in zip(several, how, strict=True)
        ]
        self.run(races.two_messages(self.w, devices, frames, list(several)))

    @rule(
        script=scripts(),
        on_busy=on_busy,
        which=picks,
        fresh=st.booleans(),
        how=st.sampled_from(["fin", "rst", "silence", "crash", "crash"]),
        turns=turns,
    )
    def cut_off(
        self,
        *,
        script: Script,
        on_busy: str,
        which: Picks,
        fresh: bool,
        how: str,
        turns: int,
    ) -> None:
        """A message is sent, and somewhere between that and its `ack` the connection ends."""
        there = None if fresh else self.conversation(which)
        device = self.device(which, there.owner if there else None)
        frame = self.w.chat(script, there, on_busy=on_busy)
        self.run(races.cut_off(self.w, device, frame, script, how=how, turns=turns))

    @rule(which=picks)
    def stop_at_once(self, which: Picks) -> None:
        """Two devices stop an answer that may be about to end."""
        there = self.conversation(which)
        asked = self.answer(which, there)
        one, other = self.device(which, there.owner), self.device(which, there.owner)
        self.run(races.stop_twice(self.w, one, other, there, asked))


def test_whatever_happens_every_promise_is_kept(tmp_path: Path) -> None:
    """Invariants 1 to 12 and 14 to 18 over any order of what people and servers can do."""
    Parley.template = tmp_path / "template.db"
    asyncio.run(make_template(Parley.template))
    run_state_machine_as_test(
        Parley,
        settings=settings(
            max_examples=300 if LONG else 30,
            stateful_step_count=50 if LONG else 30,
            derandomize=not LONG,
            deadline=None,
            print_blob=True,
            phases=[Phase.generate] if not LONG else list(Phase),  # to shrink takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
