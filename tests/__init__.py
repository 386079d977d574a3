"""The tests; below here the tree mirrors the source."""
