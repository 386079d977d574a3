"""The logs this instance knows of: those in use, and of the others the latest that were."""

from collections import OrderedDict

from server.streams.stream import Stream


class Known(dict[str, Stream]):
    """Streams by conversation; `idle` of those that nothing here leans on are remembered.

    There may be very many, so looking after them costs what changed, not what is there.
    """

    def __init__(self, idle: int) -> None:
        super().__init__()
        self._most_idle = idle
        self._idle = OrderedDict[str, None]()  # the longest idle first
        self._touched: dict[str, Stream] = {}  # since they were last looked at

    def of(self, tenant: str, conversation: str) -> Stream:
        """The one of that conversation, which something is about to be done with."""
        stream = self.get(conversation)
        if stream is None:
            stream = self[conversation] = Stream(tenant, conversation)
        self.touch(stream)
        return stream

    def touch(self, stream: Stream) -> None:
        """It is used, or something has just let go of it."""
        self._idle.pop(stream.conversation, None)
        self._touched.pop(stream.conversation, None)
        self._touched[stream.conversation] = stream

    def forget(self) -> None:
        """Of those that lie idle the ones too many, the longest idle first."""
        touched, self._touched = self._touched, {}
        for conversation, stream in touched.items():
            if stream.telling.locked():  # nobody says when that ends
                self._touched[conversation] = stream
            elif not stream.in_use:
                self._idle[conversation] = None
        while len(self._idle) > self._most_idle:
            conversation, _ = self._idle.popitem(last=False)
            if not self[conversation].in_use:
                del self[conversation]
