"""Hostile rows of the vectors, done to a real server over raw sockets.

peer.py         a client whose every byte is its owner's choice
server.py       a real server, an issuer beside it, and what rows of it may mention
rows.py         which row is done by what, and all of them at once
frames.py       messages on an open socket
handshakes.py   requests for an upgrade
credentials.py  tokens, tickets and visitors
crowds.py       many sockets
lives.py        what takes a story: credentials that end while they are used
visitors.py     visitors who would be somebody
deaf.py         clients that do not read, or do not answer
judging.py      what is said of a server that did something else
"""
