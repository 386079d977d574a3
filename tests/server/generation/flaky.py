"""A store some of whose replies do not come."""

import inspect
from collections.abc import Callable
from typing import Any, cast

from storage.errors import Unavailable
from storage.store import Store


class Flaky:
    """The real store; `broken` says of each call whether it fails, and whether after it was done.

    It is asked with the number of the call, from 0, and its name.
    """

    def __init__(self, store: Store) -> None:
        self._real = store
        self.names: list[str] = []
        self.broken: Callable[[int, str], str | None]
        self.heal()

    def as_store(self) -> Store:
        """In the place of the real one."""
        return cast(Store, _Part(self, self._real, ""))

    def heal(self) -> None:
        """From now on every reply comes."""
        self.broken = lambda _number, _name: None

    async def call(self, name: str, method: Any, args: Any, kwargs: Any) -> Any:
        """One call."""
        how = self.broken(len(self.names), name)
        self.names.append(name)
        if how == "before":
            raise Unavailable("it is away")
        result = await method(*args, **kwargs)
        if how == "after":
            raise Unavailable("no reply came", outcome_unknown=True)
        return result


class _Part:
    def __init__(self, flaky: Flaky, real: Any, name: str) -> None:
        self._flaky, self._real, self._name = flaky, real, name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        path = f"{self._name}.{name}".lstrip(".")
        if not inspect.iscoroutinefunction(found):
            return _Part(self._flaky, found, path)
        return lambda *args, **kwargs: self._flaky.call(path, found, args, kwargs)
