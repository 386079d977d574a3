"""Conversation logs in motion: what is written to them here, and who follows them here.

entry.py      an entry as sockets send it: encoded once per encoding, the same bytes for everybody
shapes.py     rows as frames (pure)
rows.py       what a log is told of commits, in their order
writer.py     one answer's way into its log
channel.py    one conversation's live tail, shared by its followers here
replay.py     a follower as a pure state machine
comebacks.py  those whose position is gone, a few at a time
known.py      the logs that are in use here, and of the others the latest
hub.py        all of it together
"""
