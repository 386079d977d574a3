"""Everything that moves: what runs on an event loop, on top of `protocol` and `storage`."""

NAME = "parley"
VERSION = "0.1.0"
