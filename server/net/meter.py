"""How much one peer may send within a second: a flood costs memory that no message's size shows."""

from server.net.options import Options


class Meter:
    """Counts a peer's bytes and frames, in windows of one second."""

    __slots__ = ("_bytes", "_control", "_ends", "_frames", "_options")

    def __init__(self, options: Options) -> None:
        self._options = options
        self._ends = float("-inf")
        self._bytes = self._frames = self._control = 0

    def read(self, count: int, now: float) -> bool:
        """Count bytes that came at `now`; False if they are too many."""
        if now >= self._ends:
            self._ends = now + 1
            self._bytes = self._frames = self._control = 0
        self._bytes += count
        return self._bytes <= self._options.bytes_per_s

    def frame(self, *, control: bool) -> bool:
        """Count a frame in the bytes read last; False if there are too many."""
        self._frames += 1
        self._control += control
        return (
            self._frames <= self._options.frames_per_s
            and self._control <= self._options.control_frames_per_s
        )
