"""Tests that dice fall by their name alone, and within what was asked of them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from engagement.sample.dice import Dice, Weights


@given(st.text(), st.text())
def test_dice_of_one_name_fall_alike_and_those_of_another_do_not(name: str, other: str) -> None:
    assert Dice(name).hexadecimal(32) == Dice(name).hexadecimal(32)
    assert (Dice(name).hexadecimal(32) == Dice(other).hexadecimal(32)) is (name == other)


def test_a_sequence_stays_the_same_on_every_machine() -> None:
    dice = Dice(7, "person", 1)

    assert [dice.between(1, 6) for _ in range(8)] == [2, 4, 1, 6, 3, 5, 5, 6]


@given(st.integers(), st.integers(-99, 99), st.integers(0, 9))
def test_a_number_lies_between_its_ends(name: int, lowest: int, more: int) -> None:
    dice = Dice(name)

    assert all(lowest <= dice.between(lowest, lowest + more) <= lowest + more for _ in range(20))


@given(st.integers(0, 40))
def test_there_are_as_many_digits_as_were_asked_for(digits: int) -> None:
    found = Dice("digits").hexadecimal(digits)

    assert len(found) == digits
    assert set(found) <= set("0123456789abcdef")


def test_choices_come_by_their_weight() -> None:
    weights = Weights("abc", [1, 0, 3])

    assert weights.total == 4
    assert [weights.at(place) for place in range(4)] == ["a", "c", "c", "c"]
    dice = Dice("weights")
    counts = Counter(dice.pick_weighted(weights) for _ in range(1_000))
    assert set(counts) == {"a", "c"}
    assert counts["c"] > counts["a"]


def test_later_names_are_rarer() -> None:
    weights = Weights.zipf("abcd")

    counts = Counter(weights.at(place) for place in range(0, weights.total, 1_000))
    assert sorted(counts, key=counts.__getitem__, reverse=True) == list("abcd")
