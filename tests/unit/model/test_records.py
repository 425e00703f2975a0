"""Tests that the kinds of records have their columns, and ids their content."""

import json

from hypothesis import given
from hypothesis import strategies as st

from engagement.model.records import (
    TIME_COLUMN,
    Kind,
    content_id,
    derive_guid,
    new_guid,
    own_columns,
)


def test_every_kind_has_the_column_that_says_when() -> None:
    for kind in Kind:
        column = {item.name: item for item in own_columns(kind)}[TIME_COLUMN[kind]]
        assert column.required


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_ids_depend_on_their_content_alone(parts: list[str]) -> None:
    derived = derive_guid(*parts)

    assert derived == derive_guid(*parts)
    assert derived != derive_guid(*parts, "more")
    content = json.dumps(parts).encode()
    for item in (derived, content_id(content), new_guid()):
        assert len(item) == 32
        assert int(item, 16) >= 0
        assert item == item.lower()
    assert content_id(content) == content_id(content)
    assert new_guid() != new_guid()
