"""Ids sort by time, never repeat, and fit the wire."""

import re

from hypothesis import given
from hypothesis import strategies as st

from protocol.types import ID_PATTERN
from storage.ids import CHANCE_BITS, Ids, Kind

MOMENTS = st.integers(0, 2**48 - 1)


@given(moment=MOMENTS, chance=st.integers(0, 2**CHANCE_BITS - 1), kind=st.sampled_from(Kind))
def test_an_id_says_what_it_names_and_fits_the_wire(moment: int, chance: int, kind: Kind) -> None:
    """A kind, an underscore, and 26 letters and digits that survive being read aloud."""
    id = Ids(clock=lambda: moment, chance=lambda bits: chance >> (CHANCE_BITS - bits))(kind)
    assert re.match(ID_PATTERN, id)
    assert re.fullmatch(f"{kind}_[0-9a-hjkmnp-tv-z]{{26}}", id)


@given(moments=st.lists(MOMENTS, min_size=2, max_size=20), data=st.data())
def test_each_id_is_greater_than_the_one_before(moments: list[int], data: st.DataObject) -> None:
    """Also when the clock stands still or jumps back, whatever chance brings."""
    clock = iter(moments)
    ids = Ids(clock=lambda: next(clock), chance=lambda bits: data.draw(st.integers(0, 2**bits - 1)))
    made = [ids(Kind.MESSAGE) for _ in moments]
    assert made == sorted(set(made))


def test_ids_of_different_processes_sort_by_time() -> None:
    """A later millisecond makes a greater id, whoever mints it."""
    earlier = Ids(clock=lambda: 1000, chance=lambda bits: 2**bits - 1)
    later = Ids(clock=lambda: 1001, chance=lambda _: 0)
    assert earlier(Kind.MESSAGE) < later(Kind.MESSAGE)


def test_ids_do_not_repeat() -> None:
    """Ten thousand, of the real clock and chance."""
    ids = Ids()
    assert len({ids(Kind.JOB) for _ in range(10_000)}) == 10_000
