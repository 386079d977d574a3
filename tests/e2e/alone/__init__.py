"""A client written from PROTOCOL.md alone, and what it meets at a real server."""
