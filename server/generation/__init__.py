"""Answers being made: each by a run of its own, owned by a supervisor, independent of any socket.

supervisor.py   who owns the answers made here: starts, looks after and lets go of them
run.py          one answer's life, from being owned to its end
draft.py        what a run works on: the answer as far as it has come
asking.py       one step of a model: tries, fallbacks (budget.py), what it cost
speech.py       what a model says, on its way into the log; the hot path
tools.py        the calls of a step, as rows and frames
endings.py      how answers end, and the one way in which an end is brought about
checkpoints.py  the text of all running answers, into SQL, once per second
recovery.py     answers that nobody runs
material.py     what an answer is made of: request.py, transcript.py, and what was said before it
context.py      what of that a model is shown (hidden.py: what it is not shown)
means.py        what every run works with (options.py, patience.py)
"""
