"""Tests what `$filter` and `$select` of a list of devices mean, and refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.exceptions import BadInputError
from engagement.model.devices import (
    AFTER,
    FILTER_CHARACTERS_MAX,
    FILTER_DEPTH_MAX,
    MILLISECONDS_MAX,
    SELECT_CHARACTERS_MAX,
    DeviceFilter,
    DeviceSelection,
    MetaProperty,
    parse_filter,
    parse_select,
)

A, B = "abcdef0123456789abcdef0123456789", "bacdef0123456789abcdef0123456789"
IDS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="'"))
PIECES = st.sampled_from(
    ["deviceId", "lastModified", "gt", "ge", "lt", "le", "and", "(", ")", " ", "'", "'a'", "12L",
     "-1", "9" * 19 + "L", "\0", "\ud800", "é", ",", "meta", "appInfo", "/", "firstSeen"]
)  # fmt: skip
ANY_TEXT = st.text(st.characters(codec=None)) | st.lists(PIECES).map(" ".join)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"deviceId gt '{A}'", DeviceFilter(device_from=A + AFTER)),
        ("lastModified le 1447284263690L", DeviceFilter(modified_to=1447284263691)),
        (
            f"(deviceId ge '{A}') and (deviceId lt '{B}') and (lastModified gt 1447284263690L)",
            DeviceFilter(device_from=A, device_to=B, modified_from=1447284263691),
        ),
        (f"deviceId le '{A}'", DeviceFilter(device_to=A + AFTER)),
        ("lastModified ge 5 and lastModified lt 7L", DeviceFilter(modified_from=5, modified_to=7)),
        (f"((deviceId ge '{A}') and (deviceId ge '{B}'))", DeviceFilter(device_from=B)),
        ("lastModified lt 7L and lastModified lt 9L", DeviceFilter(modified_to=7)),
        (f"deviceId ge'{A}'and(lastModified lt 7L)", DeviceFilter(device_from=A, modified_to=7)),
        ("deviceId ge ''", DeviceFilter(device_from="")),
        (
            "deviceId ge 'B5372DB0-C21E-11E4-8DFC-AA07A5B093DB'",
            DeviceFilter(device_from="b5372db0c21e11e48dfcaa07a5b093db"),
        ),
        ("lastModified lt 9999999999999999999L", DeviceFilter(modified_to=MILLISECONDS_MAX)),
        ("", DeviceFilter()),
        (" ", DeviceFilter()),
        (None, DeviceFilter()),
    ],
)
def test_a_filter_is_two_ranges(text: str | None, wanted: DeviceFilter) -> None:
    assert parse_filter(text) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("deviceId", "gt, ge, lt or le here, got the end"),
        ("deviceId eq 'a'", "gt, ge, lt or le here, got 'eq'"),
        ("deviceId gt a", "an id in single quotes here, got 'a'"),
        ("deviceId gt 5", "an id in single quotes here, got '5'"),
        ("deviceId gt 'a", r"joined by and, such as .* got \" 'a\""),
        ("lastModified gt 'a'", "followed by L here, got 'a'"),
        ("lastModified gt 2147483648", "got '2147483648' without it"),
        ("lastModified gt 5LL", "joined by and"),
        ("name gt 'a'", "deviceId or lastModified here, got 'name'"),
        ("deviceId gt 'a' or deviceId lt 'b'", "and, or the end here, got 'or'"),
        ("deviceId gt 'a' and", "deviceId or lastModified here, got the end"),
        ("(deviceId gt 'a'", r"`\)` here, got the end"),
        ("deviceId gt 'a')", r"and, or the end here, got '\)'"),
        ("()", r"deviceId or lastModified here, got '\)'"),
        ("deviceId gt 'é'", "joined by and"),
        ("(" * (FILTER_DEPTH_MAX + 1) + "deviceId gt 'a'", "at most 32 deep"),
        ("(" * FILTER_CHARACTERS_MAX, "at most 32 deep"),
        ("deviceId gt '" + "a" * FILTER_CHARACTERS_MAX + "'", "at most 4096 characters, got 4110"),
    ],
)
def test_a_bad_filter_is_refused_with_what_was_wanted_and_got(text: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        parse_filter(text)


def test_parentheses_may_nest_as_deep_as_said() -> None:
    text = "(" * FILTER_DEPTH_MAX + "deviceId gt 'a'" + ")" * FILTER_DEPTH_MAX

    assert parse_filter(text) == DeviceFilter(device_from="a" + AFTER)


@given(
    st.none() | IDS.map(str.lower),
    st.none() | IDS.map(str.lower).map(lambda item: item + AFTER),
    st.none() | st.integers(-MILLISECONDS_MAX, MILLISECONDS_MAX),
    st.none() | st.integers(-MILLISECONDS_MAX, MILLISECONDS_MAX),
)
def test_a_filter_reads_its_own_text_again(
    first: str | None, end: str | None, since: int | None, until: int | None
) -> None:
    filter_ = DeviceFilter(device_from=first, device_to=end, modified_from=since, modified_to=until)

    assert parse_filter(filter_.text) == filter_


@given(ANY_TEXT)
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        parse_filter(text)
    except BadInputError as error:
        assert len(str(error)) < 500  # noqa: PT017 - any text may also be a filter


@given(ANY_TEXT)
def test_any_text_is_a_selection_or_refused(text: str) -> None:
    try:
        parse_select(text)
    except BadInputError as error:
        assert len(str(error)) < 500  # noqa: PT017 - any text may also be a selection


FIRST_AND_LAST = frozenset({MetaProperty.FIRST_SEEN, MetaProperty.LAST_SEEN})


@pytest.mark.parametrize(
    ("text", "meta", "keys"),
    [
        ("appInfo", frozenset(), None),
        ("meta", frozenset(MetaProperty), frozenset()),
        ("appInfo,meta/firstSeen,meta/lastSeen", FIRST_AND_LAST, None),
        ("meta/lastSeen, meta/firstSeen", FIRST_AND_LAST, frozenset()),
        ("appInfo/plan,appInfo/age", frozenset(), frozenset({"plan", "age"})),
        ("appInfo/plan,appInfo", frozenset(), None),
    ],
)
def test_a_selection_names_properties(
    text: str, meta: frozenset[MetaProperty], keys: frozenset[str] | None
) -> None:
    assert parse_select(text) == DeviceSelection(meta=meta, app_info=keys, is_everything=False)


@pytest.mark.parametrize("text", [None, "", "  "])
def test_no_selection_is_everything(text: str | None) -> None:
    assert parse_select(text) == DeviceSelection()


@pytest.mark.parametrize(
    "text", ["info", "meta/", "meta/seen", "appInfo/", "appInfo,", "appInfo/a\nb", "Meta", "a" * 90]
)
def test_a_selection_of_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="NAME one of firstSeen, lastSeen, lastInfo"):
        parse_select(text)


def test_a_selection_has_an_end() -> None:
    with pytest.raises(BadInputError, match="at most 8192 characters"):
        parse_select("a" * (SELECT_CHARACTERS_MAX + 1))
