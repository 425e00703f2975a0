"""Tests that the key of a body is found without reading what is around it."""

import pytest

from engagement.collect.protocols.segment.bodies import find_write_keys


@pytest.mark.parametrize(
    ("beginning", "found"),
    [
        (b'{"writeKey":"k","batch":[', ("k",)),
        (b'{"batch":[{"writeKey" : "inner"}],"writeKey": "k"}', ("inner", "k")),
        (b'{"writeKey":null}', ()),
        (b'{"writeKey":"a\\u0062"}', ()),
        (b'{"writeKey":"' + b"k" * 257 + b'"}', ()),
        (b'{"writeKey":"' + b"k" * 100, ()),
        (b'"writeKey":"\xff"', ("\ufffd",)),
        (b'"writeKey"' * 50_000 + b':"k"', ("k",)),
        (b"".join(b'"writeKey":"%d",' % number for number in range(9)), ("0", "1", "7", "8")),
        (b"", ()),
    ],
)
def test_what_may_be_the_key_of_a_body_is_found_without_reading_it(
    beginning: bytes, found: tuple[str, ...]
) -> None:
    assert find_write_keys(beginning) == found
