"""Tests that a device is found in a body, however the body spells it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.mentions import Mentions
from engagement.model.records import derive_guid

DEVICE = "0123456789abcdef0123456789abcdef"
TEXT = 'the "phone" of Zoë'


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"deviceId": DEVICE}).encode(),
        json.dumps({"deviceId": "01234567-89AB-CDEF-0123-456789ABCDEF"}).encode(),
        json.dumps({"batch": [{"context": {"device": {"id": TEXT}}}]}).encode(),
        json.dumps({"deviceId": TEXT}, ensure_ascii=False).encode(),
        json.dumps({"deviceId": "a user", "logs": 1}).encode(),
        b'{"deviceId":"' + DEVICE.encode() + b'","logs":[{"na',
        b'{"logs":NaN,"userId":"a user"}',
        json.dumps({"deviceId": "derived"}).encode(),
        b'{"logs":[{"type":"event"],"deviceId":"derived"}',
    ],
)
def test_a_device_is_found_in_any_spelling(body: bytes) -> None:
    ids = {DEVICE, derive_guid("device", "derived")}

    assert Mentions(ids, {TEXT, "a user"}).are_in(body)


@given(st.binary(max_size=200))
def test_nothing_is_found_in_what_names_no_device(body: bytes) -> None:
    assert not Mentions({DEVICE}, {"the text of nobody"}).are_in(body)
    assert not Mentions(set(), set()).are_in(body)


@given(st.text(min_size=1, max_size=50))
def test_a_text_is_found_in_every_document_that_holds_it(text: str) -> None:
    body = json.dumps({"logs": [{"extras": {"a": text}}]}).encode("utf-8", "replace")

    assert Mentions(set(), {text}).are_in(body)
