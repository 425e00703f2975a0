"""Tests that apps take turns."""

from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.turns import Turns

apps = st.lists(st.sampled_from("abc"), max_size=30)


@given(apps)
def test_an_app_waits_for_one_item_of_each_other_at_most(app_ids: list[str]) -> None:
    turns: Turns[int] = Turns()
    for place, app_id in enumerate(app_ids):
        turns.add(app_id, place)

    taken = []
    while (turn := turns.take()) is not None:
        taken.append(turn)
        turns.bring_back(turn[0])

    assert sorted(place for _, place in taken) == list(range(len(app_ids)))
    for app_id in set(app_ids):
        own = [place for taker, place in taken if taker == app_id]
        assert own == sorted(own)
        for turn in range(len(own)):
            until = taken[: taken.index((app_id, own[turn]))]
            others = [taker for taker, _ in until if taker != app_id]
            assert all(others.count(other) <= turn + 1 for other in others)


def test_an_app_has_one_item_out_at_a_time() -> None:
    turns: Turns[str] = Turns()
    for app_id, item in (("a", "a1"), ("a", "a2"), ("b", "b1")):
        turns.add(app_id, item)

    assert [turns.take(), turns.take(), turns.take()] == [("a", "a1"), ("b", "b1"), None]
    turns.bring_back("a")
    assert [turns.take(), turns.take()] == [("a", "a2"), None]
