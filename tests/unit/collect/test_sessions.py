"""Tests which session an activity belongs to, and which sessions an export delivers."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from types import FrameType
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.collect.limits import guid
from engagement.collect.sessions import assign_sessions
from engagement.model.exports import ExportType, TimeRange
from engagement.model.records import Kind, derive_guid
from engagement.store.queries.sightings import OpenSession
from support.batches import DAY, DEVICES, NOW, at, batch, log
from support.home import Home, open_home

TIMEOUT_SECONDS = 100
ONE_DAY = timedelta(days=1)
HOUR = 3600
MIDNIGHT = 14 * HOUR
"""The day's end, in seconds after the time that `at` begins with."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("sessions") / "home"
    with open_home(folder, timeout_seconds=TIMEOUT_SECONDS) as home:
        yield home


def activity(seconds: float, *, lasting: float | None = None, **more: Any) -> dict[str, Any]:
    ending = {} if lasting is None else {"end": at(seconds + lasting)}
    return log("activity", seconds, name=str(seconds), **ending, **more)


def instant(seconds: float) -> datetime:
    return datetime.fromisoformat(at(seconds))


def assigned(home: Home) -> list[set[str]]:
    """The names of the activities of each session, in the order of time."""
    rows = home.rows(Kind.ACTIVITY).sort("timestamp")
    assert rows["session_id"].null_count() == 0
    grouped = rows.group_by("session_id", maintain_order=True).agg("name")
    return [set(names) for names in grouped["name"]]


def sessions(home: Home, **options: Any) -> list[tuple[datetime, datetime]]:
    """The start and end of every session that an export delivers."""
    rows = home.exported(home.request(ExportType.SESSION, **options))
    return sorted((row["start"], row["end"]) for row in rows)


def test_a_gap_within_the_timeout_stays_in_the_session(home: Home) -> None:
    home.next_app()
    home.take(batch(activity(0), activity(TIMEOUT_SECONDS), activity(TIMEOUT_SECONDS * 1.5)))

    assert assigned(home) == [{"0", "100", "150.0"}]
    assert sessions(home) == [(instant(0), instant(150))]


def test_a_gap_over_the_timeout_starts_a_session(home: Home) -> None:
    home.next_app()
    home.take(batch(activity(0), activity(TIMEOUT_SECONDS + 0.001)))

    assert sessions(home) == [(instant(0),) * 2, (instant(100.001),) * 2]


def test_the_gap_begins_when_the_activity_ends(home: Home) -> None:
    home.next_app()
    home.take(batch(activity(0, lasting=500), activity(600), activity(701)))

    assert sessions(home) == [(instant(0), instant(600)), (instant(701),) * 2]


def test_an_id_that_the_client_sends_is_kept_whatever_the_gap(home: Home) -> None:
    home.next_app()
    home.take(
        batch(
            activity(0, sessionId="own"),
            activity(9 * TIMEOUT_SECONDS, sessionId="own"),
            activity(5, sessionId="other"),
            activity(10),
        )
    )

    ids = dict(home.rows(Kind.ACTIVITY).select("name", "session_id").iter_rows())
    own, other = (guid(name, "session", DEVICES[0]) for name in ("own", "other"))
    assert (ids["0"], ids["900"], ids["5"]) == (own, own, other)
    assert ids["10"] not in {own, other}
    assert sessions(home) == [
        (instant(0), instant(900)),
        (instant(5),) * 2,
        (instant(10),) * 2,
    ]


def test_the_same_client_id_of_two_devices_is_two_sessions(home: Home) -> None:
    home.next_app()
    for device in DEVICES[:2]:
        home.take(batch(activity(0, sessionId="1"), device=device))

    assert home.rows(Kind.ACTIVITY)["session_id"].n_unique() == 2
    assert len(sessions(home)) == 2


def test_activities_out_of_order_land_in_the_session_of_their_time(home: Home) -> None:
    home.next_app()
    home.take(batch(activity(1000), activity(0), activity(1050), activity(50)))

    assert assigned(home) == [{"0", "50"}, {"1000", "1050"}]


def test_late_activities_land_in_the_session_of_their_time(home: Home) -> None:
    home.next_app()
    home.take(batch(activity(0), activity(1000)))
    home.take(batch(activity(50), activity(950), activity(-50), activity(500)))
    home.take(batch(activity(-150), activity(120)))

    assert assigned(home) == [
        {"-150", "-50", "0", "50", "120"},
        {"500"},
        {"950", "1000"},
    ]
    assert sessions(home) == [
        (instant(-150), instant(120)),
        (instant(500),) * 2,
        (instant(950), instant(1000)),
    ]


def test_what_the_service_has_forgotten_starts_a_session(home: Home) -> None:
    home.next_app()
    home.take(batch(activity(0)))
    home.seen.forget_sessions(instant(1))
    home.take(batch(activity(50)))

    assert sessions(home) == [(instant(0),) * 2, (instant(50),) * 2]


def test_only_activities_make_sessions(home: Home) -> None:
    home.next_app()
    home.take(batch(log("event", 0, sessionId="1"), log("crash", 0, sessionId="2", stack="")))

    assert sessions(home) == []
    assert set(home.rows(Kind.EVENT)["session_id"]) == {guid("1", "session", DEVICES[0])}


def test_a_session_over_midnight_is_one_session_of_its_first_day(home: Home) -> None:
    home.next_app()
    home.take(batch(activity(MIDNIGHT - 50), activity(MIDNIGHT + 20)))
    home.take(batch(activity(MIDNIGHT + 80)))

    whole = [(instant(MIDNIGHT - 50), instant(MIDNIGHT + 80))]
    assert home.rows(Kind.SESSION).height == 2
    assert sessions(home) == whole
    assert sessions(home, days=(DAY, DAY)) == whole
    assert sessions(home, days=(DAY + ONE_DAY, DAY + ONE_DAY)) == []


def test_an_activity_over_midnight_makes_one_session(home: Home) -> None:
    home.next_app()
    home.take(batch(activity(MIDNIGHT - 10, lasting=60), activity(MIDNIGHT + 90)))

    assert sessions(home) == [(instant(MIDNIGHT - 10), instant(MIDNIGHT + 90))]


@pytest.mark.parametrize("days", [range(3), (0, 2), (0, 89), (2, 0, 1), (5, 3, 90)])
def test_one_id_on_several_days_is_one_session(home: Home, days: Sequence[int]) -> None:
    """Whatever the days between and whatever comes in first: whole, where it starts."""
    home.next_app()
    for day in days:
        home.take(batch(activity(day * 24 * HOUR, sessionId="1")))

    whole = [(instant(min(days) * 24 * HOUR), instant(max(days) * 24 * HOUR))]
    assert sessions(home) == whole
    by_day = {day: sessions(home, days=(DAY + day * ONE_DAY,) * 2) for day in range(91)}
    assert {day: found for day, found in by_day.items() if found} == {min(days): whole}


def test_a_session_that_was_forgotten_starts_anew_and_stays_apart(home: Home) -> None:
    home.next_app()
    home.take(batch(activity(0, sessionId="1")))
    home.seen.forget_spans((NOW + ONE_DAY).date())
    home.take(batch(activity(24 * HOUR, sessionId="1")))

    assert sessions(home) == [(instant(0),) * 2, (instant(24 * HOUR),) * 2]


def test_a_range_of_instants_takes_the_sessions_that_start_inside(home: Home) -> None:
    home.next_app()
    home.take(batch(*(activity(start, sessionId=str(start)) for start in (0, 200, 400))))
    span = TimeRange(start=instant(200), end=instant(400))

    assert sessions(home, time_range=span) == [(instant(200),) * 2]


@dataclass(frozen=True)
class Said:
    """An activity as a test tells it."""

    device: str
    """Who sends it."""
    session: str | None
    """The client's id."""
    seconds: int
    """When it starts."""
    lasting: int
    """How long it takes."""


logs = st.builds(
    Said,
    device=st.sampled_from(DEVICES[:2]),
    session=st.sampled_from([None, "a", "b"]),
    seconds=st.integers(0, 4 * 24 * 12).map(lambda five_minutes: five_minutes * 300),
    lasting=st.sampled_from([0, 60, HOUR]),
)


@settings(max_examples=12)
@given(st.lists(logs, min_size=1, max_size=10), st.integers(1, 3), st.sampled_from([1, 2, 500_000]))
def test_days_one_by_one_give_the_sessions_of_the_whole_range(
    home: Home, activities: list[Said], flushes: int, part_rows_target: int
) -> None:
    home.next_app()
    size = -(-len(activities) // flushes)
    for start in range(0, len(activities), size):
        home.take(
            *(
                batch(
                    activity(item.seconds, lasting=item.lasting, sessionId=item.session),
                    device=item.device,
                )
                for item in activities[start : start + size]
            )
        )

    def exported(first: date, last: date, target: int) -> pl.DataFrame:
        request = home.request(ExportType.SESSION, days=(first, last))
        rows = home.exported(request, part_rows_target=target)
        return pl.DataFrame(rows, schema=home.rows(Kind.SESSION).schema).sort("sequence", "start")

    last_day = DAY + 6 * ONE_DAY
    whole = exported(DAY, last_day, 500_000)

    by_day = pl.concat([exported(DAY + day * ONE_DAY, DAY + day * ONE_DAY, 9) for day in range(7)])
    assert by_day.sort("sequence", "start").equals(whole)
    assert exported(DAY, last_day, part_rows_target).equals(whole)
    assert model(home) == {
        (row["device_id"], row["session_id"], row["start"], row["end"]) for row in whole.to_dicts()
    }


def model(home: Home) -> set[tuple[str, str, datetime, datetime]]:
    """The sessions that the stored activities make, found without the code under test."""
    spans: dict[tuple[str, str], tuple[datetime, datetime]] = {}
    for row in home.rows(Kind.ACTIVITY).to_dicts():
        start, end = row["timestamp"], row["end"] or row["timestamp"]
        session = (row["device_id"], row["session_id"])
        first, last = spans.get(session, (start, end))
        spans[session] = (min(first, start), max(last, end))
    return {(*session, *span) for session, span in spans.items()}


def test_many_devices_without_session_ids_are_asked_for_at_once(home: Home) -> None:
    """A database takes a limited number of parameters in a question."""
    home.next_app()
    devices = [f"{number:032x}" for number in range(260_000)]

    assert not list(home.seen.sessions_of(home.app_id, devices, since=NOW, until=NOW))


TIMEOUT = timedelta(seconds=TIMEOUT_SECONDS)
Row = tuple[str, datetime, datetime | None]
"""The device, the start and the end of an activity without a session id."""

starts = st.integers(0, 40).map(lambda tens: NOW + timedelta(seconds=10 * tens))
unnamed = st.tuples(
    st.sampled_from(DEVICES[:2]), starts, st.sampled_from([None, 0, 30, 150, 400])
).map(lambda row: (row[0], row[1], None if row[2] is None else row[1] + timedelta(seconds=row[2])))


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """Activities without session ids, as a round holds them."""
    instants = pl.Datetime("us", "UTC")
    schema = {"device_id": pl.String(), "timestamp": instants, "end": instants}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.lit(None, pl.String()).alias("session_id"),
        pl.int_range(pl.len(), dtype=pl.Int64()).alias("sequence"),
    )


def in_order_of_start(known: Iterable[OpenSession]) -> list[OpenSession]:
    """As the state database gives them."""
    return sorted(known, key=lambda session: (session.device_id, session.start, session.session_id))


def join_plainly(rows: Sequence[Row], known: list[OpenSession]) -> list[tuple[Row, str]]:
    """What each activity joins, looking at all sessions; these are changed, and grow."""
    joined = []
    for row in sorted(rows, key=lambda row: row[:2]):
        device_id, start = row[:2]
        end = row[2] or start
        for place, session in enumerate(known):
            touches = session.start - TIMEOUT <= end and start <= session.end + TIMEOUT
            if session.device_id == device_id and touches:
                first, last = min(session.start, start), max(session.end, end)
                known[place] = replace(session, start=first, end=last)
                break
        else:
            session = OpenSession(
                session_id=derive_guid("session", device_id, start.isoformat()),
                device_id=device_id,
                start=start,
                end=end,
            )
            known.append(session)
        joined.append((row, session.session_id))
    return joined


@given(st.lists(st.lists(unnamed, max_size=12), min_size=1, max_size=4))
def test_activities_join_what_a_plain_search_finds(rounds: list[list[Row]]) -> None:
    known: dict[str, OpenSession] = {}
    for rows in rounds:
        before = in_order_of_start(known.values())
        expected = list(before)
        joined = join_plainly(rows, expected)

        assigned, changed = assign_sessions(frame(rows), iter(before), timeout=TIMEOUT)

        columns = assigned.select("device_id", "timestamp", "end", "session_id")
        assert Counter(columns.iter_rows()) == Counter((*row, name) for row, name in joined)
        unchanged = {session.session_id: session for session in before}
        assert {session.session_id: session for session in changed} == {
            session.session_id: session
            for session in expected
            if unchanged.get(session.session_id) != session
        }
        known |= {session.session_id: session for session in changed}


@pytest.mark.parametrize("seconds_between", [10 * TIMEOUT_SECONDS, 1], ids=["many", "one"])
@pytest.mark.parametrize("known_count", [0, 1], ids=["unknown", "known"])
def test_work_grows_no_faster_than_the_activities_of_a_device(
    seconds_between: int, known_count: int
) -> None:
    def count(activities: int) -> int:
        times = [NOW + timedelta(seconds=seconds_between * place) for place in range(activities)]
        known = [
            OpenSession(session_id=f"{place:032x}", device_id=DEVICES[0], start=time, end=time)
            for place, time in enumerate(times * known_count)
        ]
        rows = frame([(DEVICES[0], time, None) for time in times])
        return count_lines(lambda: assign_sessions(rows, known, timeout=TIMEOUT))

    assert count(400) < 3 * count(200)


def count_lines(work: Callable[[], object]) -> int:
    """How many lines of Python some work runs, which unlike its time is always the same."""
    lines = 0

    def trace(_: FrameType, event: str, __: object) -> Callable[..., Any]:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines
