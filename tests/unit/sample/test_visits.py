"""Tests that one session of a person tells what a device would, in its order."""

import itertools
from collections import Counter

import pytest

from engagement.sample.dice import Dice
from engagement.sample.people import Person, make_person
from engagement.sample.visits import SCREENS_MAX, Visit

START = 1_767_225_600_000


def visit(person: Person, number: int = 0) -> Visit:
    found = Visit(person, Dice("visit", person.number, number), START)
    found.make_up()
    return found


def kinds(found: Visit) -> Counter[object]:
    return Counter(record["type"] for record in found.records)


def test_a_first_session_tells_of_everything_and_crashes_where_it_shall() -> None:
    person = make_person(1, 0, 10)

    found = visit(person)

    assert set(kinds(found)) >= {"tags", "token", "feedback", "job", "activity", "error", "crash"}
    assert found.records[-1]["type"] == "crash"
    assert person.sessions == 1
    assert person.token is not None


@pytest.mark.parametrize("number", range(1, 40))
def test_screens_follow_one_another_up_to_the_end(number: int) -> None:
    found = visit(make_person(1, number, 10), number)

    screens = [record for record in found.records if record["type"] == "activity"]
    assert 1 <= len(screens) <= SCREENS_MAX
    for item, following in itertools.pairwise(screens):
        assert item["end"] == following["timestamp"]
    assert found.now > START
    assert len({record.get("sessionId") for record in screens}) == 1


def test_a_token_is_taken_back_before_the_next_one_is_registered() -> None:
    person = make_person(1, 3, 10)
    before = None
    for number in range(200):
        tokens = [record for record in visit(person, number).records if record["type"] == "token"]
        if before is not None and tokens:
            assert [(token["token"], token.get("valid", True)) for token in tokens] == [
                (before, False),
                (person.token, True),
            ]
        before = person.token
    assert person.sessions == 200
