"""What every run works with."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from server.generation.budget import RetryBudget
from server.generation.options import Options
from server.generation.patience import Patience
from server.providers.catalogue import Catalogue
from server.streams.hub import Hub
from storage.ids import Ids
from storage.store import Store


class Means(Struct, frozen=True, kw_only=True):
    """What every run works with; times are seconds of `clock`, which never goes back."""

    store: Store
    hub: Hub
    catalogue: Catalogue
    ids: Ids
    options: Options
    budget: RetryBudget
    patience: Patience
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    chance: Callable[[], float]
