"""When a process has come near the memory that it may have."""

import os
import resource
from pathlib import Path

import pytest

from server.limits.memory import MIB, Memory, available

PAGE = resource.getpagesize()


class Machine:
    """A folder with what the kernel tells of a process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uses(mapped=500, resident=100)

    def uses(self, *, mapped: int, resident: int) -> None:
        """So many MiB."""
        pages = f"{mapped * MIB // PAGE} {resident * MIB // PAGE} 1 1 0 1 0\n"
        self.write("proc/self/statm", pages)

    def write(self, name: str, text: str) -> None:
        """One of its files."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(autouse=True)
def _unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever bound the tests themselves run under."""
    bind(monkeypatch, resource.RLIM_INFINITY)


def bind(monkeypatch: pytest.MonkeyPatch, mapped: int) -> None:
    """What the process may map, in bytes."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (mapped, mapped))


async def pressed(memory: Memory) -> bool:
    """After a look."""
    await memory.look()
    return memory.pressed


async def test_the_watermark_is_passed_and_left_again(machine: Machine) -> None:
    """By what is resident, whatever is mapped."""
    memory = Memory(120, root=machine.root)
    assert not await pressed(memory)
    machine.uses(mapped=5000, resident=120)
    assert await pressed(memory)
    machine.uses(mapped=5000, resident=119)
    assert not await pressed(memory)


async def test_what_may_be_mapped_is_a_bound_of_its_own(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any allocation fails there; and the bound may be moved at any time."""
    memory = Memory(10_000, root=machine.root)
    for bound, is_pressed in ((1000, False), (550, True), (1000, False)):
        bind(monkeypatch, bound * MIB)
        assert await pressed(memory) is is_pressed


async def test_unset_it_is_a_part_of_what_the_innermost_bound_leaves(machine: Machine) -> None:
    """Of all groups around the process, whichever is the least, and never more than the machine."""
    machine.write("proc/self/cgroup", "0::/parley/one\n")
    assert available(machine.root) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine.write("sys/fs/cgroup/parley/one/memory.max", "max\n")
    machine.write("sys/fs/cgroup/parley/memory.max", f"{200 * MIB}\n")
    machine.write("sys/fs/cgroup/memory.max", f"{300 * MIB}\n")
    assert available(machine.root) == 200 * MIB
    memory = Memory(root=machine.root)
    for resident, is_pressed in ((169, False), (170, True)):
        machine.uses(mapped=5000, resident=resident)
        assert await pressed(memory) is is_pressed


def test_older_groups_are_read_too(machine: Machine) -> None:
    """Where each kind of bound has a hierarchy of its own."""
    machine.write("proc/self/cgroup", "7:cpu,cpuacct:/other\n4:memory:/parley\n")
    machine.write("sys/fs/cgroup/memory/parley/memory.limit_in_bytes", f"{64 * MIB}\n")
    assert available(machine.root) == 64 * MIB


async def test_where_nothing_is_told_nothing_is_refused(tmp_path: Path) -> None:
    """Not every system has these files."""
    assert not await pressed(Memory(1, root=tmp_path))
    assert available(tmp_path) > 0


async def test_this_process_has_some() -> None:
    """What the kernel tells is what is read."""
    assert await pressed(Memory(1))
    assert not await pressed(Memory(1 << 24))
