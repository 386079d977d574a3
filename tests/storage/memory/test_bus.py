"""What is true of words in one process alone; the rest is in tests/contracts/bus."""

from storage.memory.bus import MemoryBus, Switchboard


async def test_one_alone_has_nobody_to_tell() -> None:
    """Two that share no switchboard do not hear each other."""
    heard: list[bytes] = []
    MemoryBus().listen("t", heard.append)
    MemoryBus().say("t", b"w")
    assert heard == []


async def test_a_switchboard_keeps_nothing_of_who_hung_up() -> None:
    """However many topics there were."""
    switchboard, heard = Switchboard(), list[bytes]()
    listening = [MemoryBus(switchboard).listen(f"t{number}", heard.append) for number in range(3)]
    for each in listening:
        each.close()
    assert switchboard.ears == {}
