"""Tests that devices of the sample are of all the kinds that real ones are."""

from engagement.sample.people import CRASHING_EVERY, make_person

PEOPLE = [make_person(1, number, 10) for number in range(400)]


def test_a_person_is_the_same_for_a_seed_and_a_number() -> None:
    assert make_person(1, 5, 10) == PEOPLE[5]
    assert make_person(2, 5, 10) != PEOPLE[5]


def test_devices_have_ids_of_their_own_in_both_spellings() -> None:
    ids = {person.device_id.replace("-", "").lower() for person in PEOPLE}

    assert len(ids) == len(PEOPLE)
    assert {len(person.device_id) for person in PEOPLE} == {32, 36}


def test_people_differ_in_what_their_devices_send() -> None:
    assert {person.user_id is None for person in PEOPLE} == {True, False}
    assert {person.writes_offset for person in PEOPLE} == {True, False}
    assert {person.sends_session_ids for person in PEOPLE} == {True, False}
    assert {person.token_type for person in PEOPLE} == {"GCM", "APNS", "WNS"}


def test_apps_are_installed_within_the_days_and_early_where_they_crash() -> None:
    assert all(0 <= person.first_day < 10 for person in PEOPLE)
    assert any(person.first_day for person in PEOPLE)
    assert not any(person.first_day for person in PEOPLE[::CRASHING_EVERY])
