"""Everything that moves: what runs on an event loop, on top of `protocol` and `storage`."""
