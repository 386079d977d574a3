"""One socket: its machine, what it follows, and what it has yet to be sent.

endpoint.py    what is decided before and at the upgrade
connection.py  the socket's life: reads always, acts on what the machine says, never waits to send
requests.py    what each frame of a client comes to
following.py   which conversations the socket follows, and how it is brought level
snapshot.py    a conversation as a device is shown it that has no position
outbox.py      frames on their way out, bounded
"""
