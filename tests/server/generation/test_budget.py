"""Further tries are a share of all calls."""

from server.generation.budget import RetryBudget


def test_a_vendor_in_trouble_is_not_asked_the_more() -> None:
    """After the reserve, one more try for every ten calls."""
    budget, allowed = RetryBudget(0.1, 5), 0
    for _ in range(1000):
        budget.called()
        allowed += budget.take()
    assert 100 <= allowed <= 106


def test_there_may_be_none() -> None:
    """Neither a share nor a reserve."""
    budget = RetryBudget(0.0, 0)
    budget.called()
    assert not budget.take()


def test_a_share_counts_without_a_reserve() -> None:
    """Ten calls without a further try allow one."""
    budget = RetryBudget(0.125, 0)
    for _ in range(20):
        budget.called()
    assert [budget.take(), budget.take()] == [True, False]
