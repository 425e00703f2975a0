"""Tests what the context of a message says of its device."""

import json
from typing import Any

import msgspec
import pytest

from engagement.collect.protocols.segment.context import ContextReader, MessageContext
from engagement.collect.protocols.segment.repair import Sanitiser
from engagement.model.limits import INFO_CHARACTERS_MAX, INTEGER_MAX, TOKEN_CHARACTERS_MAX

JANUARY, JULY = 1_767_225_600_000_000, 1_782_864_000_000_000


@pytest.fixture
def reader() -> ContextReader:
    return ContextReader(Sanitiser())


def read(reader: ContextReader, context: Any) -> MessageContext:
    return reader.read(msgspec.Raw(json.dumps(context).encode()))


@pytest.mark.parametrize("context", [None, [], "text", {}, {"device": 1, "os": [], "screen": {}}])
def test_what_cannot_be_understood_says_nothing(reader: ContextReader, context: Any) -> None:
    found = read(reader, context)

    assert (found.device_id, found.token, found.session_id) == (None, None, None)
    assert (found.info, found.location, found.zone) == ({}, None, None)
    assert reader.info(found, JANUARY)[0] is None


def test_a_context_is_read_by_its_sections(reader: ContextReader) -> None:
    found = read(
        reader,
        {
            "device": {"id": "d", "model": "Pixel 8", "token": "t", "type": "android"},
            "app": {"version": "4.0", "build": "42"},
            "library": {"name": "analytics", "version": "1"},
            "network": {"wifi": True, "carrier": "Vivo"},
            "screen": {"width": 390.9, "height": "844.5"},
            "location": {"country": "FI", "city": "Espoo"},
            "locale": "fi-FI",
            "sessionId": 17,
        },
    )

    assert (found.device_id, found.token, found.session_id) == ("d", ("t", "GCM"), "17")
    assert found.info == {
        "phone_model": "Pixel 8",
        "application_version_name": "4.0",
        "application_version_code": 42,
        "service_version": "analytics/1",
        "network_type": "wifi",
        "carrier_name": "Vivo",
        "screen_width": 390,
        "screen_height": 844,
        "locale": "fi-FI",
    }
    assert found.location == {"country_code": "FI", "locality": "Espoo"}


def test_the_offset_of_a_time_zone_is_that_of_the_instant(reader: ContextReader) -> None:
    found = read(reader, {"timezone": "Europe/Helsinki"})

    winter, winter_id = reader.info(found, JANUARY)
    summer, summer_id = reader.info(found, JULY)

    assert (winter, summer) == ({"time_zone_offset": 120}, {"time_zone_offset": 180})
    assert winter_id != summer_id


@pytest.mark.parametrize("name", ["", "Europe/Nowhere", "../../etc/passwd", "UTC\n"])
def test_a_zone_that_does_not_exist_is_none(reader: ContextReader, name: str) -> None:
    assert read(reader, {"timezone": name}).zone is None


@pytest.mark.parametrize(
    "device",
    [
        {"token": "t"},
        {"token": "t", "type": "fridge"},
        {"token": "x" * (TOKEN_CHARACTERS_MAX + 1), "type": "ios"},
        {"token": "a\nb", "type": "ios"},
    ],
)
def test_a_token_that_cannot_be_kept_is_left_out_and_counted(device: dict[str, str]) -> None:
    sanitiser = Sanitiser()

    assert read(ContextReader(sanitiser), {"device": device}).token is None
    assert sanitiser.repaired == 1


def test_texts_are_cut_and_numbers_that_do_not_fit_left_out(reader: ContextReader) -> None:
    found = read(
        reader,
        {"os": {"name": "x" * 999}, "app": {"build": INTEGER_MAX + 1}, "screen": {"width": "a"}},
    )

    assert found.info == {"firmware_name": "x" * INFO_CHARACTERS_MAX}
