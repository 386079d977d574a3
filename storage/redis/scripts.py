"""The steps that Redis does at once, each in a file beside this one."""

import hashlib
from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"


class Script:
    """One of them; a server that does not know it by its sum is sent the text."""

    def __init__(self, name: str, *, shares: str | None = None) -> None:
        """`shares` names a file whose functions it uses."""
        parts = [name] if shares is None else [shares, name]
        self.name = name
        self.text = "\n".join((_FOLDER / f"{part}.lua").read_text() for part in parts)
        self.sum = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        """Name it."""
        return f"<Script {self.name}>"
