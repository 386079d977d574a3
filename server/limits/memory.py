"""How much memory the process may have, and whether it has come near it.

Two measures, for two deaths: what is resident is held against what the control group or the machine
has, and ends by the kernel's killer; what is mapped is held against the process's own bound on its
address space, and ends where any allocation fails.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

MIB = 1024 * 1024
SHARE = 0.85  # of what there is; the rest is for the answers that are under way
LOOKED_S = 1.0


class Use(Struct, frozen=True):
    """What the process has, in bytes."""

    mapped: int
    resident: int


class Memory:
    """Looked at once in `LOOKED_S`; `pressed` is what was found then."""

    def __init__(self, watermark_mib: int = 0, *, root: Path = Path("/")) -> None:
        """`watermark_mib` of resident memory; 0: a share of what there is. `root` is for tests."""
        self._statm = root / "proc/self/statm"
        self._watermark = watermark_mib * MIB or int(SHARE * available(root))
        self.pressed = False

    def __repr__(self) -> str:
        """Show how it stands."""
        return f"<Memory watermark={self._watermark // MIB} MiB pressed={self.pressed}>"

    async def look(self) -> None:
        """Find out how it stands now; both bounds may be moved while we run."""
        use = self._use()
        if use is None:
            return
        mapped, _ = resource.getrlimit(resource.RLIMIT_AS)
        near_its_bound = mapped != resource.RLIM_INFINITY and use.mapped >= SHARE * mapped
        self.pressed = near_its_bound or use.resident >= self._watermark

    def _use(self) -> Use | None:
        try:
            pages = self._statm.read_text().split()
        except OSError:  # not on Linux, where nobody can tell
            return None
        size = resource.getpagesize()
        return Use(int(pages[0]) * size, int(pages[1]) * size)


def available(root: Path = Path("/")) -> int:
    """What this process may have, in bytes: the least of the machine's and its control groups'."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_of_groups(root)])


def _of_groups(root: Path) -> Iterator[int]:
    """Each group's bound, up to the outermost that can be seen from here."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for group in groups:
        _, kinds, path = group.split(":", 2)
        if kinds == "":  # the unified hierarchy
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in kinds.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        inner = base / path.lstrip("/")
        for place in (inner, *inner.parents):
            if place.is_relative_to(base):
                yield from _bound_in(place / name)


def _bound_in(file: Path) -> Iterator[int]:
    try:
        bound = file.read_text().strip()
    except OSError:
        return
    if bound.isdecimal():  # else it says `max`
        yield int(bound)
