"""Tests that the words of the sample fit together and within what a batch may hold."""

from engagement.model.exports import FEEDBACK_STATUSES, CampaignType
from engagement.model.limits import NAME_CHARACTERS_MAX
from engagement.sample import vocabulary
from engagement.sample.dice import Weights


def words(weights: Weights[str]) -> set[str]:
    return {weights.at(place) for place in range(weights.total)}


def test_every_screen_leads_to_screens_that_there_are() -> None:
    screens = set(vocabulary.NEXT_SCREENS)

    assert words(vocabulary.FIRST_SCREENS) <= screens
    for following in vocabulary.NEXT_SCREENS.values():
        assert words(following) <= screens


def test_names_fit_into_a_record() -> None:
    for weights in (vocabulary.EVENT_NAMES, vocabulary.ERROR_NAMES, vocabulary.JOB_NAMES):
        names = {weights.at(place) for place in range(0, weights.total, 500)}
        assert all(0 < len(name) <= NAME_CHARACTERS_MAX for name in names)


def test_feedback_is_what_a_campaign_can_have() -> None:
    feedbacks = vocabulary.FEEDBACKS
    statuses = {status for place in range(feedbacks.total) for status in feedbacks.at(place)}

    assert statuses <= set(FEEDBACK_STATUSES)
    assert set(vocabulary.CAMPAIGN_TYPES) <= {kind.value for kind in CampaignType}


def test_homes_lie_in_the_offsets_that_there_are() -> None:
    homes = vocabulary.HOMES

    for place in range(homes.total):
        _, minutes, country, *_ = homes.at(place)
        assert -12 * 60 <= minutes <= 14 * 60
        assert len(country) == 2
