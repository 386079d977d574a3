"""Where the programs that tests start live on this machine.

`python -m tests.support.programs` prints the Debian packages of those that are missing;
`python -m tests.support.programs chromium` what the browser tests have to know of theirs.
"""

import os
import shutil
import sys
from pathlib import Path

PACKAGES = {
    "postgres": "postgresql",
    "initdb": "postgresql",
    "pg_dump": "postgresql",
    "pg_restore": "postgresql",
    "pgbouncer": "pgbouncer",
    "redis-server": "redis-server redis-tools",  # the former is a link into the latter
    "strace": "strace",
    "faketime": "faketime libfaketime",
    "nginx": "nginx",
    "chromium": "chromium fonts-noto-core",  # and letters for languages that it has none for
    "chromium-headless-shell": "chromium-headless-shell",
}
UNPACKED = Path(__file__).parents[2] / ".cache" / "debian"


class ProgramMissing(Exception):
    """A program that a test needs is not on this machine."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name} is not on this machine; scripts/install brings it where it may"


def find(name: str) -> Path:
    """Its path: on PATH, else in Debian's folders, else where scripts/install unpacked it."""
    folders = [*_debian_folders(Path("/")), *_debian_folders(UNPACKED)]
    search = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    found = shutil.which(name, path=search)
    if found is None:
        raise ProgramMissing(name)
    return Path(found)


def environment(program: Path) -> dict[str, str]:
    """The environment to start it in: an unpacked program finds its libraries beside it."""
    if not program.is_relative_to(UNPACKED):
        return dict(os.environ)
    libraries = sorted({str(path.parent) for path in UNPACKED.glob("usr/lib/**/*.so.*")})
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries)}


def variables(name: str) -> list[str]:
    """Where a program is, and its libraries if they lie apart, for a shell to hand on."""
    program = find(name)
    variable = f"PARLEY_{name.upper().replace('-', '_')}"
    found = [f"{variable}={program}"]
    if program.is_relative_to(UNPACKED):
        libraries = environment(program)["LD_LIBRARY_PATH"]
        found.append(f"{variable}_LIBRARIES={libraries}")
    return found


def _debian_folders(root: Path) -> list[Path]:
    """PostgreSQL keeps a folder per version, outside PATH; the newest comes first.

    What Debian calls chromium in /usr/bin is a script that looks for the browser in /usr/lib alone.
    """
    versions = sorted(root.glob("usr/lib/postgresql/*/bin"), key=_version, reverse=True)
    return [*versions, root / "usr/lib/chromium", root / "usr/bin", root / "usr/sbin"]


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


def _missing() -> list[str]:
    missing = []
    for name, package in PACKAGES.items():
        try:
            find(name)
        except ProgramMissing:
            missing.append(package)
    return sorted(set(missing))


def _main(names: list[str]) -> str | None:
    """Print what scripts/install and scripts/test read; the complaint, if there is one."""
    try:
        lines = variables(names[0]) if names else _missing()
    except ProgramMissing as missing:
        return str(missing)
    print(*lines, sep="\n")  # noqa: T201 - its output is what they read
    return None


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
