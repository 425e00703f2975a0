"""Tests that devices are read as acknowledged, and tagged durably or not at all."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.exceptions import (
    BadInputError,
    ErrorCode,
    RequestTooLargeError,
    UnknownAppError,
    UnknownDeviceError,
)
from engagement.model.devices import DeviceState
from engagement.model.records import Kind, new_guid
from engagement.operations.apps import create_app
from engagement.operations.devices import (
    TAG_IDS_MAX,
    get_device,
    get_device_by_token,
    get_device_by_user,
    list_device_tokens,
    list_devices,
    tag_devices,
)
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from support.batches import DEVICES, NOW, batch, log


def clock() -> datetime:
    return NOW


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    settings = Settings(home=tmp_path_factory.mktemp("devices") / "home")
    with open_service(settings, clock=clock) as runtime:
        yield runtime


@pytest.fixture
def app_id(runtime: Runtime) -> str:
    """An app with two devices of one user and one device of nobody."""
    new = create_app(runtime, name=new_guid(), collection="c", resource_group="g", subscription="s")
    _take(
        runtime,
        new.app.app_id,
        batch(log("event", 1), device=DEVICES[0], userId="ada"),
        batch(log("event", 2), device=DEVICES[1], userId="ada"),
        batch(log("event", 3), log("tags", 3, tags={"plan": "pro"}), device=DEVICES[2]),
    )
    return new.app.app_id


def _take(runtime: Runtime, app_id: str, *bodies: bytes) -> None:
    decoded = [decode_batch(body, received_at=NOW, live=False) for body in bodies]
    accept(runtime.inbox, app_id, decoded, received_at=NOW)


def _tag(runtime: Runtime, app_id: str, tags: dict[str, dict[str, str | None]]) -> list[str]:
    return tag_devices(runtime, app_id, tags, by_user=False, delete_on_null=True)


def _tags(runtime: Runtime, app_id: str) -> list[dict[str, str]]:
    return [dict(device.app_info) for device in list_devices(runtime, app_id).devices]


def test_what_was_acknowledged_is_listed(runtime: Runtime, app_id: str) -> None:
    page = list_devices(runtime, app_id)

    assert [device.device_id for device in page.devices] == list(DEVICES[:3])
    assert page.next_filter is None
    assert app_id not in runtime.inbox.list_waiting()


def test_pages_go_on_where_the_one_before_ended(runtime: Runtime, app_id: str) -> None:
    found: list[DeviceState] = []
    following: str | None = "lastModified gt 0L"
    while following is not None:
        page = list_devices(runtime, app_id, top=2, select="meta", filter=following)
        found += page.devices
        following = page.next_filter

    assert [record.device_id for record in found] == list(DEVICES[:3])
    first = list_devices(runtime, app_id, top=1, filter="lastModified gt 0L")
    assert first.next_filter == f"deviceId gt '{DEVICES[0]}' and lastModified ge 1L"


def test_a_page_that_ends_the_list_says_so(runtime: Runtime, app_id: str) -> None:
    assert list_devices(runtime, app_id, top=3).next_filter is None
    assert list_devices(runtime, app_id, top=10**9).next_filter is None


def test_more_than_a_hundred_at_a_time_are_not_given(runtime: Runtime, app_id: str) -> None:
    _take(runtime, app_id, *(batch(log("event"), device=f"{number:032x}") for number in range(100)))

    page = list_devices(runtime, app_id, top=1000)

    assert len(page.devices) == 100
    assert page.next_filter is not None
    assert len(list_devices(runtime, app_id, filter=page.next_filter).devices) == 3


@pytest.mark.parametrize("options", [{"top": 0}, {"top": -1}, {"select": "x"}, {"filter": "x"}])
def test_an_option_that_cannot_be_is_refused(
    runtime: Runtime, app_id: str, options: dict[str, object]
) -> None:
    with pytest.raises(BadInputError):
        list_devices(runtime, app_id, **options)


@pytest.mark.parametrize("spelling", [DEVICES[2], DEVICES[2].upper()])
def test_a_device_is_got_by_its_id(runtime: Runtime, app_id: str, spelling: str) -> None:
    assert get_device(runtime, app_id, spelling).app_info == {"plan": "pro"}


def test_a_device_is_got_by_the_text_that_its_batches_name_it_with(
    runtime: Runtime, app_id: str
) -> None:
    _take(runtime, app_id, batch(log("event"), device="my phone", userId="bob"))

    assert get_device(runtime, app_id, "my phone").user_id == "bob"


def test_of_a_user_the_device_seen_last_is_got(runtime: Runtime, app_id: str) -> None:
    assert get_device_by_user(runtime, app_id, "ada").device_id == DEVICES[1]


@pytest.mark.parametrize("name", [DEVICES[5], "", "x" * 257, "\ud800", "nobody"])
def test_an_unknown_device_or_user_is_named(runtime: Runtime, app_id: str, name: str) -> None:
    for get in (get_device, get_device_by_user):
        with pytest.raises(UnknownDeviceError) as raised:
            get(runtime, app_id, name)
        assert raised.value.code is ErrorCode.UNKNOWN_DEVICE
        assert len(str(raised.value)) < 200


def test_an_unknown_app_has_neither_devices_nor_tags(runtime: Runtime) -> None:
    for ask in (
        lambda: list_devices(runtime, "0" * 32),
        lambda: get_device(runtime, "0" * 32, DEVICES[0]),
        lambda: get_device_by_user(runtime, "0" * 32, "ada"),
        lambda: _tag(runtime, "0" * 32, {DEVICES[0]: {"plan": "pro"}}),
    ):
        with pytest.raises(UnknownAppError):
            ask()


def test_tags_are_set_and_deleted(runtime: Runtime, app_id: str) -> None:
    rejected = _tag(runtime, app_id, {
        DEVICES[0]: {"plan": "free", "born": "1990-12-10"},
        DEVICES[2].upper(): {"plan": None},
    })  # fmt: skip

    assert rejected == []
    assert _tags(runtime, app_id) == [{"born": "1990-12-10", "plan": "free"}, {}, {}]


def test_of_two_requests_at_one_instant_the_later_counts(runtime: Runtime, app_id: str) -> None:
    for value in ("b", "a", "c", None, "b"):
        _tag(runtime, app_id, {DEVICES[0]: {"plan": value}})

    assert _tags(runtime, app_id)[0] == {"plan": "b"}


def test_a_null_is_as_if_absent_unless_it_shall_delete(runtime: Runtime, app_id: str) -> None:
    tags = {DEVICES[0]: {"new": "yes", "plan": None}, DEVICES[2]: {"plan": None}, "x": {"a": None}}

    rejected = tag_devices(runtime, app_id, tags, by_user=False, delete_on_null=False)

    assert rejected == ["x"]
    assert _tags(runtime, app_id) == [{"new": "yes"}, {}, {"plan": "pro"}]


def test_all_devices_of_a_user_are_tagged(runtime: Runtime, app_id: str) -> None:
    tags = {"ada": {"plan": "gold"}, "eve": {"plan": "gold"}, "\ud800": {"plan": "gold"}}

    rejected = tag_devices(runtime, app_id, tags, by_user=True, delete_on_null=False)

    assert rejected == ["eve", "\ud800"]
    assert _tags(runtime, app_id) == [{"plan": "gold"}, {"plan": "gold"}, {"plan": "pro"}]


BAD = {
    DEVICES[5]: {"plan": "x"},
    "": {"plan": "x"},
    "x" * 257: {"plan": "x"},
    "\ud800": {"plan": "x"},
    DEVICES[0]: {"plan": "x", "1st": "x"},
    DEVICES[1]: {"plan": "x" * 1025},
    DEVICES[2]: {"plan": "\ud800"},
}


def test_ids_with_anything_invalid_are_rejected_whole(runtime: Runtime, app_id: str) -> None:
    before = _tags(runtime, app_id)

    assert _tag(runtime, app_id, BAD) == list(BAD)

    assert _tags(runtime, app_id) == before


@pytest.mark.parametrize("tags", [{f"k{number}": "v" for number in range(201)}, {"userid": None}])
def test_tags_that_cannot_be_kept_together_are_rejected(
    runtime: Runtime, app_id: str, tags: dict[str, str | None]
) -> None:
    rejected = _tag(runtime, app_id, {DEVICES[0]: tags, DEVICES[1]: {"plan": "good"}})

    assert rejected == [DEVICES[0]]
    assert _tags(runtime, app_id)[1] == {"plan": "good"}


def test_an_id_without_tags_is_valid_if_it_is_known(runtime: Runtime, app_id: str) -> None:
    assert _tag(runtime, app_id, {DEVICES[0]: {}, DEVICES[5]: {}}) == [DEVICES[5]]
    assert _tag(runtime, app_id, {}) == []


def test_as_many_ids_as_published_can_be_tagged_and_not_one_more(
    runtime: Runtime, app_id: str
) -> None:
    tags: dict[str, dict[str, str | None]] = {f"{number:032x}": {} for number in range(TAG_IDS_MAX)}
    assert len(_tag(runtime, app_id, tags)) == 1000

    with pytest.raises(RequestTooLargeError, match=r"At most 1000 ids .* got 1001") as raised:
        _tag(runtime, app_id, tags | {"one more": {}})

    assert raised.value.code is ErrorCode.REQUEST_TOO_LARGE


def test_tagging_does_not_count_as_seeing_a_device(runtime: Runtime, app_id: str) -> None:
    before = get_device(runtime, app_id, DEVICES[0])

    _tag(runtime, app_id, {DEVICES[0]: {"plan": "free"}})

    after = get_device(runtime, app_id, DEVICES[0])
    assert (after.first_seen_at, after.last_seen_at) == (before.first_seen_at, before.last_seen_at)
    assert after.modified_at["appInfo/plan"] == NOW


def test_the_tag_userid_names_the_user(runtime: Runtime, app_id: str) -> None:
    assert _tag(runtime, app_id, {DEVICES[2]: {"userid": "alice", "plan": "free"}}) == []

    found = get_device_by_user(runtime, app_id, "alice")
    assert found.device_id == DEVICES[2]
    assert found.app_info == {"plan": "free", "userid": "alice"}


def test_tags_are_durable_before_they_are_in_the_lake(runtime: Runtime, app_id: str) -> None:
    _tag(runtime, app_id, {DEVICES[0]: {"plan": "free"}})

    with open_service(Settings(home=runtime.settings.home), run_tasks=False) as other:
        assert app_id in other.inbox.list_waiting()

    assert _tags(runtime, app_id)[0] == {"plan": "free"}
    assert runtime.inbox.last_commits(app_id)[Kind.TAG].rows_total == 2


def test_a_token_finds_the_device_that_it_reaches(runtime: Runtime, app_id: str) -> None:
    first, second = DEVICES[0], DEVICES[1]
    _take(
        runtime,
        app_id,
        batch(log("token", 1, tokenType="GCM") | {"token": "moved"}, device=first),
        batch(log("token", 2, tokenType="GCM") | {"token": "moved"}, device=second),
        batch(log("token", 3, tokenType="APNS") | {"token": "replaced"}, device=second),
        batch(log("token", 4, tokenType="APNS") | {"token": "newest"}, device=second),
    )

    assert get_device_by_token(runtime, app_id, "moved").device_id == second
    found = list_device_tokens(runtime, app_id, second)
    assert {(token.type, token.token) for token in found} == {("GCM", "moved"), ("APNS", "newest")}
    assert list_device_tokens(runtime, app_id, first) == []


@pytest.mark.parametrize("token", ["unknown", "", "\ud800", "x" * 10_000])
def test_a_token_that_reaches_nobody_finds_none(runtime: Runtime, app_id: str, token: str) -> None:
    with pytest.raises(UnknownDeviceError):
        get_device_by_token(runtime, app_id, token)
