"""The wire protocol as pure code: no clock, no socket, no event loop, no logging.

`types` and `text` are the words that `storage` shares; everything else here is the wire's own.
PROTOCOL.md beside this file is normative: code and document change in one diff.
"""
