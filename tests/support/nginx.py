"""The proxy as it is deployed, as a private process like the other services."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.support.services import LOOPBACK, Service, accepts

TEMPLATE = Path(__file__).parents[2] / "scripts" / "deploy" / "nginx" / "nginx.conf.template"


class Nginx(Service):
    """nginx before the instances that listen at these ports.

    `listens` is what its `listen` says beside the address, `more` further lines of its server
    block, and `instead` has other values of directives.
    """

    def __init__(
        self, ports: Sequence[int], *, listens: str = "", more: str = "", **instead: str
    ) -> None:
        super().__init__()
        self._ports = ports
        self._listens = listens
        self._more = more
        self._instead = instead

    def prepare(self) -> None:
        """Fills in the template as `envsubst` does, which is told of no other names."""
        more = self.folder / "more"
        more.mkdir()
        more.chmod(0o755)
        self._write("more/test.conf", self._more)
        instances = (f"server {LOOPBACK}:{port} max_fails=0;" for port in self._ports)
        values = {
            "PROXY_LISTEN": f"{LOOPBACK}:{self.port} {self._listens}",
            "PROXY_INSTANCES": " ".join(instances),
            "PROXY_STATE": str(self.folder),
            "PROXY_LOG": str(self.access),
            "PROXY_MORE": str(more),
        }
        text = TEMPLATE.read_text()
        for directive, value in self._instead.items():
            text, found = re.subn(rf"\b{directive} [^;]+;", f"{directive} {value};", text)
            assert found, directive
        filled = re.sub(r"\$\{(PROXY_\w+)\}", lambda name: values[name[1]], text)
        self._write("nginx.conf", filled)

    def command(self) -> tuple[str, list[str]]:
        return "nginx", [*self._place, "-g", "daemon off;"]

    def answers(self) -> bool:
        return accepts(self.port)

    def effective(self) -> dict[str, list[str]]:
        """Each directive with the values it has, as nginx has read them."""
        told: dict[str, list[str]] = {}
        for line in self._run("nginx", [*self._place, "-T", "-q"]).splitlines():
            directive = re.fullmatch(r"\s*(\w+)\s+([^;{]+);(\s*#.*)?", line)
            if directive is not None:
                told.setdefault(directive[1], []).append(directive[2])
        return told

    @property
    def access(self) -> Path:
        """Its access log."""
        return self.folder / "access"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def _place(self) -> list[str]:
        return ["-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]
