"""Tests how pages write numbers, sizes, spans, instants and texts from outside."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.server.console.formats import (
    Viewer,
    format_bounded,
    format_bytes,
    format_count,
    format_duration,
    format_id,
    format_instant,
    format_outside,
    format_percent,
    format_short,
    percent,
    visible_text,
)

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
BERLIN = Viewer(zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.00 kB"), (24_600_000, "24.6 MB"), (999_600, "1.00 MB")],
)
def test_sizes_are_decimal_with_three_digits(value: int, text: str) -> None:
    assert format_bytes(value) == text


@given(st.integers(min_value=0, max_value=10**17))
def test_a_size_never_shows_a_thousand(value: int) -> None:
    assert not format_bytes(value).startswith("1000")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (42, "42 s"), (192, "3 min 12 s"), (7_200, "2 h"), (187_200, "2 d 4 h")],
)
def test_spans_are_told_by_two_units(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


def test_what_is_unknown_is_not_zero() -> None:
    assert {format_count(None), format_bytes(None), format_duration(None)} == {"\u2013"}
    assert format_percent(0, 0) == "\u2013"


def test_counts_are_grouped_short_or_bounded() -> None:
    assert format_count(1_204_881) == "1,204,881"
    assert [format_short(value) for value in (0, 999, 1_200, 43_210, 1_204_881)] == [
        "0", "999", "1.2K", "43K", "1.2M",
    ]  # fmt: skip
    assert [format_bounded(value) for value in (10_000, 10_001)] == ["10,000", "10,000+"]


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_there_is_no_hundred_percent_before_the_end(done: int, total: int) -> None:
    assert (percent(done, total) == 100) == (done >= total)


def test_an_instant_is_in_the_zone_of_the_viewer_with_utc_in_its_title() -> None:
    element = format_instant(datetime(2026, 11, 20, 7, 4, 31, tzinfo=UTC), BERLIN, now=NOW)

    assert element == (
        '<time datetime="2026-11-20T07:04:31Z" title="2026-11-20 07:04:31 UTC">'
        "20 Nov 2026, 08:04:31</time>"
    )


def test_an_instant_of_today_also_says_how_long_ago() -> None:
    viewer = Viewer(zone="Europe/Berlin", shows_utc=True)

    element = format_instant(NOW - timedelta(minutes=3), viewer, now=NOW)

    assert ">27 Nov 2026, 11:57:00 (3 min ago)<" in element
    assert "ago" not in format_instant(NOW + timedelta(minutes=3), viewer, now=NOW)


def test_what_cannot_be_seen_in_a_text_is_shown() -> None:
    assert visible_text("a\x00b\x1b[31m") == "a\u2400b\u241b[31m"
    assert visible_text("\u202egnp.exe") == "U+202Egnp.exe"
    assert visible_text("naïve 日本 👍") == "naïve 日本 👍"


@given(st.text(max_size=40))
def test_a_text_from_outside_is_escaped_and_alone(text: str) -> None:
    element = str(format_outside(text))

    inner = element.removeprefix("<bdi>").removesuffix("</bdi>")
    assert element == f"<bdi>{inner}</bdi>"
    assert not {"<", ">", '"', "'", "\u202e", "\x1b"} & set(inner)


def test_an_id_is_short_on_the_screen_and_whole_in_its_title() -> None:
    element = format_id("4f2c" * 8)

    assert f'title="{"4f2c" * 8}"' in element
    assert ">4f2c4f…4f2c<" in element
