"""Tests that readers see each device as its batches told it last, a page at a time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.model.devices import (
    AFTER,
    DeviceFilter,
    DeviceSelection,
    DeviceState,
    MetaProperty,
    parse_filter,
    parse_select,
)
from engagement.store.devices import DeviceReader
from support.batches import DAY, DEVICES, batch, log
from support.home import Home, open_home

START = datetime(DAY.year, DAY.month, DAY.day, 10, tzinfo=UTC)
TOKEN = {"token": "t", "tokenType": "GCM"}
EVERYTHING = DeviceSelection()
NO_BOUNDS = DeviceFilter()


def instant(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def milliseconds(seconds: float) -> int:
    return int(instant(seconds).timestamp() * 1000)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with open_home(tmp_path_factory.mktemp("devices") / "home") as home:
        yield home


@pytest.fixture
def app(home: Home) -> Home:
    """The home with an app that has no records yet."""
    home.next_app()
    return home


def reader(home: Home, *, range_rows: int = 20_000) -> DeviceReader:
    commits = home.inbox.last_commits(home.app_id)
    return DeviceReader(home.lake, home.app_id, commits, range_rows=range_rows)


def listed(home: Home, *, select: str = "", where: str = "", count: int = 100) -> list[DeviceState]:
    return reader(home).page(count=count, selection=parse_select(select), where=parse_filter(where))


def test_a_device_is_what_its_batches_told_last(app: Home) -> None:
    app.take(
        batch(
            log("event", 1),
            log("tags", 2, tags={"plan": "pro", "age": 36, "gone": "soon"}),
            log("token", 3, **TOKEN),
            userId="ada",
            info={"phoneModel": "Pixel", "androidAPILevel": 34},
        ),
        batch(log("event", 9), location={"countrycode": "FR", "locality": "Paris"}),
    )
    app.take(batch(log("tags", 5, tags={"plan": "free", "gone": None})))

    assert reader(app).get(DEVICES[0]) == DeviceState(
        device_id=DEVICES[0],
        user_id="ada",
        info={"phoneModel": "Pixel", "androidAPILevel": 34},
        location={"countrycode": "FR", "locality": "Paris"},
        first_seen_at=instant(1),
        last_seen_at=instant(9),
        info_at=instant(3),
        location_at=instant(9),
        native_push_enabled=True,
        app_info={"age": "36", "plan": "free"},
        modified_at={
            "meta/firstSeen": instant(1),
            "meta/lastSeen": instant(9),
            "meta/lastInfo": instant(3),
            "meta/lastLocation": instant(9),
            "meta/nativePushEnabled": instant(3),
            "appInfo/age": instant(2),
            "appInfo/plan": instant(5),
        },
    )


def test_what_nobody_told_is_not_made_up(app: Home) -> None:
    app.take(batch(log("event", 1)))

    found = reader(app).get(DEVICES[0])

    assert found is not None
    assert (found.user_id, found.info, found.location, found.app_info) == (None, {}, {}, {})
    assert (found.info_at, found.location_at, found.native_push_enabled) == (None, None, False)
    assert set(found.modified_at) == {"meta/firstSeen", "meta/lastSeen"}


def test_an_app_without_records_has_no_devices(app: Home) -> None:
    assert listed(app) == []
    assert reader(app).get(DEVICES[0]) is None
    assert reader(app).of_user("ada") is None
    assert reader(app).find_known(DEVICES) == set()
    assert reader(app).of_users(["ada"]) == {}


def test_only_ids_of_devices_are_known(app: Home) -> None:
    app.take(batch(log("event", 1), device=DEVICES[1]), batch(log("event", 1), device=DEVICES[4]))

    assert reader(app).find_known([DEVICES[0], DEVICES[1], DEVICES[4]]) == {DEVICES[1], DEVICES[4]}
    assert reader(app).find_known([DEVICES[4]]) == {DEVICES[4]}
    assert reader(app).find_known([]) == set()
    assert reader(app).get(DEVICES[2]) is None


def test_a_user_has_the_devices_that_name_them_last(app: Home) -> None:
    app.take(
        batch(log("event", 1), device=DEVICES[0], userId="ada"),
        batch(log("event", 7), device=DEVICES[1], userId="ada"),
        batch(log("event", 9), device=DEVICES[2], userId="ada"),
    )
    app.take(batch(log("event", 20), device=DEVICES[2], userId="bob"))

    found = reader(app).of_user("ada")

    assert found is not None
    assert found.device_id == DEVICES[1]
    assert reader(app).of_users(["ada", "bob", "eve"]) == {
        "ada": [DEVICES[0], DEVICES[1]],
        "bob": [DEVICES[2]],
    }
    assert reader(app).of_user("eve") is None


@pytest.fixture
def three(app: Home) -> Home:
    """Three devices: tagged, tagged later and with a token, neither."""
    app.take(
        batch(log("tags", 10, tags={"plan": "pro", "age": 36}), device=DEVICES[0]),
        batch(
            log("tags", 20, tags={"plan": "free"}),
            log("token", 21, **TOKEN, valid=False),
            device=DEVICES[1],
        ),
        batch(log("event", 30), device=DEVICES[2], info={"locale": "fr"}),
    )
    return app


@pytest.mark.parametrize(
    ("select", "where", "wanted"),
    [
        ("", "", [0, 1, 2]),
        ("meta", "", [0, 1, 2]),
        ("appInfo", "", [0, 1]),
        ("appInfo/age", "", [0]),
        ("appInfo/age,appInfo/none", "", [0]),
        ("appInfo/none", "", []),
        ("meta/lastInfo", "", [2]),
        ("meta/lastInfo,appInfo/plan", "", [0, 1, 2]),
        ("meta/nativePushEnabled", "", [1]),
        ("", f"deviceId gt '{DEVICES[0]}'", [1, 2]),
        ("", f"deviceId ge '{DEVICES[1]}' and deviceId lt '{DEVICES[2]}'", [1]),
        ("", f"deviceId ge '{DEVICES[2]}' and deviceId lt '{DEVICES[0]}'", []),
        ("", "deviceId le '2'", [0]),
        ("", f"lastModified ge {milliseconds(20)}L", [1, 2]),
        ("", f"lastModified lt {milliseconds(20)}L", [0]),
        ("appInfo", f"lastModified gt {milliseconds(10)}L", [1]),
        ("appInfo/age", f"lastModified gt {milliseconds(10)}L", []),
        ("", "lastModified gt 9223372036854775807L", []),
        ("", "lastModified gt -9223372036854775807L", [0, 1, 2]),
    ],
)
def test_a_list_has_the_devices_with_a_property_that_is_selected_and_matches(
    three: Home, select: str, where: str, wanted: list[int]
) -> None:
    found = listed(three, select=select, where=where)

    assert [record.device_id for record in found] == [DEVICES[number] for number in wanted]


def test_a_list_has_only_the_properties_that_are_selected(three: Home) -> None:
    first, second, third = listed(three, select="appInfo/plan,meta/lastSeen,meta/nativePushEnabled")

    assert [item.app_info for item in (first, second, third)] == [
        {"plan": "pro"},
        {"plan": "free"},
        {},
    ]
    assert [item.last_seen_at for item in (first, third)] == [instant(10), instant(30)]
    assert [item.native_push_enabled for item in (first, second, third)] == [False] * 3
    assert {item.first_seen_at for item in (first, second, third)} == {None}
    assert {item.info_at for item in (first, second, third)} == {None}


def test_a_list_has_only_the_properties_that_were_modified_then(three: Home) -> None:
    first, second, *_ = listed(three, where=f"lastModified lt {milliseconds(21)}L")

    assert first.app_info == {"age": "36", "plan": "pro"}
    assert (second.first_seen_at, second.last_seen_at) == (instant(20), None)
    assert (second.app_info, second.native_push_enabled) == ({"plan": "free"}, None)


FEW = DEVICES[:5]
WORDS = st.sampled_from(["x", "y", None])


@st.composite
def tellings(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What devices tell, no two at the same time, in the order of their arrival."""
    fields = {
        "device": st.sampled_from(FEW),
        "seconds": st.integers(0, 40),
        "user": WORDS,
        "model": WORDS,
        "tag": st.none() | st.tuples(st.sampled_from(["k", "l"]), WORDS),
        "valid": st.none() | st.booleans(),
        "is_last": st.booleans(),
    }
    changes_told = st.lists(
        st.fixed_dictionaries(fields), max_size=12, unique_by=lambda item: item["seconds"]
    )
    return draw(changes_told)


def as_batch(item: dict[str, Any]) -> bytes:
    logs = [log("event", item["seconds"])]
    if item["tag"] is not None:
        logs.append(log("tags", item["seconds"], tags=dict([item["tag"]])))
    if item["valid"] is not None:
        # Of its own: a token that another device registers later belongs to that one.
        token = {"token": item["device"], "tokenType": "GCM", "valid": item["valid"]}
        logs.append(log("token", item["seconds"], **token))
    more = {"userId": item["user"]} if item["user"] else {}
    info = {"info": {"phoneModel": item["model"]}} if item["model"] else {}
    return batch(*logs, device=item["device"], **more, **info)


def expected(rows: list[dict[str, Any]]) -> list[DeviceState]:
    """Each device as a plain reading of what was told makes it."""
    states = []
    for device in sorted({record["device"] for record in rows}):
        own = sorted(
            (record for record in rows if record["device"] == device), key=lambda x: x["seconds"]
        )
        times = [instant(item["seconds"]) for item in own]
        modified = {"meta/firstSeen": times[0], "meta/lastSeen": times[-1]}
        user, info, push, tags = None, {}, False, {}
        for item, moment in zip(own, times, strict=True):
            user = item["user"] or user
            if item["model"]:
                info, modified["meta/lastInfo"] = {"phoneModel": item["model"]}, moment
            if item["valid"] is not None:
                push, modified["meta/nativePushEnabled"] = item["valid"], moment
            if item["tag"] is not None:
                key, value = item["tag"]
                tags[key], modified[f"appInfo/{key}"] = value, moment
        for key in [key for key, value in tags.items() if value is None]:
            del tags[key], modified[f"appInfo/{key}"]
        states.append(
            DeviceState(
                device_id=device, user_id=user, info=info, location={},
                first_seen_at=times[0], last_seen_at=times[-1],
                info_at=modified.get("meta/lastInfo"), location_at=None,
                native_push_enabled=push, app_info=tags, modified_at=modified,
            )
        )  # fmt: skip
    return states


FIELDS = {
    "first_seen_at": "meta/firstSeen",
    "last_seen_at": "meta/lastSeen",
    "info_at": "meta/lastInfo",
    "location_at": "meta/lastLocation",
    "native_push_enabled": "meta/nativePushEnabled",
}


def narrowed(
    state: DeviceState, selection: DeviceSelection, where: DeviceFilter
) -> DeviceState | None:
    """What a list shows of a device; None if it leaves it out."""
    selected = {f"meta/{item}" for item in selection.meta} | {
        f"appInfo/{key}"
        for key in state.app_info
        if selection.app_info is None or key in selection.app_info
    }
    low, high = where.modified_from, where.modified_to
    kept = {
        name: moment
        for name, moment in state.modified_at.items()
        if name in selected
        and (low is None or moment.timestamp() * 1000 >= low)
        and (high is None or moment.timestamp() * 1000 < high)
    }
    if (where.has_modified or not selection.is_everything) and not kept:
        return None
    shown = {field: getattr(state, field) if FIELDS[field] in kept else None for field in FIELDS}
    if "meta/nativePushEnabled" in selected and not where.has_modified:
        shown["native_push_enabled"] = state.native_push_enabled
    tags = {key: value for key, value in state.app_info.items() if f"appInfo/{key}" in kept}
    return replace(state, **shown, app_info=tags, modified_at=kept)


SELECTIONS = st.just(EVERYTHING) | st.builds(
    DeviceSelection,
    meta=st.frozensets(st.sampled_from(MetaProperty)),
    app_info=st.none() | st.frozensets(st.sampled_from(["k", "l"])),
    is_everything=st.just(value=False),
)
MOMENTS = st.none() | st.integers(-1, 41).map(milliseconds)
BOUNDS = st.none() | st.sampled_from([*FEW, *(item + AFTER for item in FEW), "", "3"])
FILTERS = st.builds(
    DeviceFilter, device_from=BOUNDS, device_to=BOUNDS, modified_from=MOMENTS, modified_to=MOMENTS
)


@settings(max_examples=20)
@given(tellings(), st.tuples(SELECTIONS, FILTERS), st.integers(1, 3), st.sampled_from([1, 3, 99]))
def test_pages_together_are_what_was_told(
    home: Home,
    rows: list[dict[str, Any]],
    query: tuple[DeviceSelection, DeviceFilter],
    count: int,
    range_rows: int,
) -> None:
    selection, where = query
    home.next_app()
    for record in rows:
        home.accept(as_batch(record))
        if record["is_last"]:
            home.flush()
    home.flush()
    devices = reader(home, range_rows=range_rows)

    found: list[DeviceState] = []
    going_on = where
    while page := devices.page(count=count, selection=selection, where=going_on):
        assert len(page) <= count
        found += page
        going_on = replace(where, device_from=page[-1].device_id + AFTER)

    states = expected(rows)
    low, high = where.device_from or "", "g" if where.device_to is None else where.device_to
    shown = [narrowed(state, selection, where) for state in states if low <= state.device_id < high]
    assert found == [item for item in shown if item is not None]
    assert [devices.get(state.device_id) for state in states] == states


def test_a_device_among_many_files_is_found(app: Home) -> None:
    for number in range(6):
        app.take(
            *(
                batch(log("event", place), device=f"{place * 6 + number:032x}")
                for place in range(20)
            )
        )

    devices = reader(app, range_rows=7)

    everything = devices.page(count=1000, selection=EVERYTHING, where=NO_BOUNDS)
    assert [item.device_id for item in everything] == [f"{number:032x}" for number in range(120)]
