"""Which models are offered here."""

from collections.abc import Sequence

from protocol.codes import ErrorCode
from server.errors import ChatError
from server.providers.base import Model


class Catalogue:
    """The models on offer by name, the one for whoever names none, and those to fall back on."""

    def __init__(
        self, models: Sequence[Model], default: str, fallbacks: Sequence[str] = ()
    ) -> None:
        """Raise `ValueError` where a name is offered twice, or wanted and not offered."""
        self._models = {model.name: model for model in models}
        if len(self._models) < len(models):
            raise ValueError(f"A model is offered twice: {', '.join(m.name for m in models)}.")
        for name in (default, *fallbacks):
            if name not in self._models:
                words = f"The model {name!r} is not offered here; {', '.join(self.offered)} are."
                raise ValueError(words)
        self.default = self._models[default]
        self.fallbacks = tuple(self._models[name] for name in fallbacks)

    @property
    def offered(self) -> tuple[str, ...]:
        """The names, as clients write them."""
        return tuple(self._models)

    def find(self, name: str | None) -> Model:
        """The model of that name, or the default; raises `ChatError` if there is none."""
        if name is None:
            return self.default
        model = self._models.get(name)
        if model is None:
            words = f"`model` is not offered here. These are: {', '.join(self.offered)}."
            raise ChatError(ErrorCode.INVALID_FIELD, words)
        return model
