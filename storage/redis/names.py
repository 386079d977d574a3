"""Keys and channels."""

from zlib import crc32

BUCKETS = 256


class Names:
    """The names of one installation."""

    def __init__(self, prefix: str, database: int) -> None:
        # Databases of one Redis have keys of their own, but share their channels.
        # No prefix can spell a slash.
        self._prefix = f"{prefix}/{database}" if database else prefix

    def of(self, kind: str, name: str) -> str:
        """What `kind` of thing about `name`; all kinds of a name share its bucket."""
        return f"{self._prefix}:{{{bucket(name)}}}:{kind}:{name}"


def bucket(name: str) -> int:
    """Which of the buckets, for good: keys that are stored depend on it."""
    return crc32(name.encode()) % BUCKETS
