"""Token buckets."""

from hypothesis import given
from hypothesis import strategies as st

from storage.bucket import Buckets, Rate

RATES = st.builds(Rate, st.floats(0.001, 120.0), st.integers(1, 200))
PAUSES = st.lists(st.floats(0.0, 300.0) | st.just(0.0), min_size=1, max_size=200)


def times(pauses: list[float]) -> list[float]:
    """Moments from somewhere on, with these pauses between."""
    moments, now = [], 5_000.0
    for pause in pauses:
        now += pause
        moments.append(now)
    return moments


@given(RATES, PAUSES)
def test_in_any_span_no_more_come_through_than_the_rate_and_its_burst(
    rate: Rate, pauses: list[float]
) -> None:
    """Whatever the pauses between them are."""
    accepted, full_at = [], 0.0
    for now in times(pauses):
        wait, full_at = rate.take(full_at, now)
        if not wait:
            accepted.append(now)
    for first, start in enumerate(accepted):
        for last in range(first, len(accepted)):
            span = accepted[last] - start
            assert last - first + 1 <= rate.burst + span / rate.interval_s + 1e-3


@given(RATES, PAUSES)
def test_who_keeps_to_the_rate_is_never_held_up(rate: Rate, pauses: list[float]) -> None:
    """However long the pauses on top of it are."""
    full_at = 0.0
    for now in times([rate.interval_s + pause for pause in pauses]):
        wait, full_at = rate.take(full_at, now)
        assert wait == 0.0


@given(RATES, PAUSES, st.data())
def test_what_was_given_back_was_never_taken(
    rate: Rate, pauses: list[float], data: st.DataObject
) -> None:
    """Neither less nor more comes through than without it."""
    one, other = Buckets[str](10), Buckets[str](10)
    for now in times(pauses):
        wait = one.take("a", rate, now)
        if not wait and data.draw(st.booleans()):
            one.give_back("a", rate)
            assert one.take("a", rate, now) == 0.0
        assert abs(wait - other.take("a", rate, now)) < 1e-3
    one.give_back("never seen", rate)
    assert "never seen" not in one._full_at


@given(RATES, PAUSES)
def test_who_waits_as_long_as_told_comes_through(rate: Rate, pauses: list[float]) -> None:
    """And a refusal costs nothing."""
    full_at = 0.0
    for now in times(pauses):
        wait, after = rate.take(full_at, now)
        if wait:
            assert after == full_at
            wait, after = rate.take(full_at, now + wait)
        assert wait == 0.0
        full_at = after if after <= now else full_at


def test_a_rate_per_minute_lets_a_burst_through_and_then_one_at_a_time() -> None:
    """60 a minute, half a minute's worth at once: 30, then one each second."""
    rate, full_at, waits = Rate.per_minute(60, 30.0), 0.0, []
    for now in [10.0] * 31 + [11.0, 11.0]:
        wait, full_at = rate.take(full_at, now)
        waits.append(round(wait, 3))
    assert waits == [0.0] * 30 + [1.0, 0.0, 1.0]


def test_each_key_has_a_bucket_of_its_own() -> None:
    """One person's haste is nobody else's."""
    buckets, rate = Buckets[str](10), Rate(1.0, 1)
    assert [buckets.take(key, rate, 0.0) for key in "aabb"] == [0.0, 1.0, 0.0, 1.0]


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0.0, 2.0)), max_size=300))
def test_memory_is_bounded_by_how_many_are_remembered(uses: list[tuple[int, float]]) -> None:
    """And by who was there lately: full buckets go."""
    buckets, rate, now = Buckets[int](10), Rate(1.0, 3), 0.0
    for key, pause in uses:
        now += pause
        buckets.take(key, rate, now)
        assert len(buckets) <= 10
    for step in range(20):
        buckets.take(-1, rate, now + 100.0 * (step + 1))
    assert len(buckets) <= 1


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 2.0)), max_size=100))
def test_forgetting_full_buckets_changes_nothing(uses: list[tuple[int, float]]) -> None:
    """With room for all, each is let through as if it were alone."""
    buckets, rate, now = Buckets[int](100), Rate(1.0, 3), 0.0
    alone: dict[int, float] = {}
    for key, pause in uses:
        now += pause
        wait, alone[key] = rate.take(alone.get(key, 0.0), now)
        assert buckets.take(key, rate, now) == wait


def test_the_longest_unused_is_forgotten_first() -> None:
    """Who is at it just now is remembered."""
    buckets, rate = Buckets[int](2), Rate(10.0, 1)
    for key, wait in ((1, 0.0), (2, 0.0), (1, 10.0), (3, 0.0), (1, 10.0), (2, 0.0)):
        assert buckets.take(key, rate, 0.0) == wait
    assert len(buckets) == 2
