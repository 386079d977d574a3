"""Conversation logs in motion: what is written to them here, and who follows them here.

entry.py      an entry as sockets send it: encoded once per encoding, the same bytes for everybody
shapes.py     rows as frames (pure)
rows.py       what a log is told of commits, in their order
pieces.py     what waits to be told of an answer (pure)
writer.py     one answer's way into its log
epochs.py     which epoch a log is in, whoever opened it
entering.py   how an answer comes into an epoch
channel.py    one conversation's live tail, shared by its followers here
replay.py     a follower as a pure state machine
comebacks.py  those whose position is gone, a few at a time
known.py      the logs that are in use here, and of the others the latest
hub.py        all of it together
"""
