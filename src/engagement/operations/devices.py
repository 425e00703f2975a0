"""The operations on devices: list them, get one, tag some."""

from collections.abc import Mapping
from dataclasses import replace

from engagement.collect.inbox import accept
from engagement.collect.limits import guid, quote_value
from engagement.collect.payload import Batch
from engagement.collect.tagging import tag_batch
from engagement.exceptions import (
    BadInputError,
    CorruptInputError,
    RequestTooLargeError,
    UnknownDeviceError,
)
from engagement.model.audit import Action
from engagement.model.devices import (
    AFTER,
    DevicePage,
    DeviceState,
    DeviceToken,
    parse_filter,
    parse_select,
)
from engagement.model.limits import ID_CHARACTERS_MAX
from engagement.model.records import new_guid
from engagement.operations.audit import record_change
from engagement.runtime.opening import Runtime
from engagement.store.devices import DeviceReader

DEVICES_PER_PAGE_MAX = 100
TAG_IDS_MAX = 1_000
"""Devices or users that one request tags at most, as published."""
TAGGED_DEVICES_MAX = 10_000
"""Devices that one request tags at most by their users."""


def list_devices(
    runtime: Runtime,
    app_id: str,
    *,
    top: int | None = None,
    select: str | None = None,
    filter: str | None = None,  # noqa: A002 - the contract's word
) -> DevicePage:
    """Some devices in the order of their ids, with all that was acknowledged before.

    Args:
        runtime: The service.
        app_id: The app.
        top: How many at most; more than 100 is taken as 100.
        select: The contract's `$select`; everything if absent.
        filter: The contract's `$filter`; no bounds if absent.

    Raises:
        UnknownAppError: No app has this id.
        BadInputError: One of the options cannot be.
    """
    if top is not None and top < 1:
        raise BadInputError(f"$top must be at least 1, got {top}.")
    selection, where = parse_select(select), parse_filter(filter)
    count = min(top or DEVICES_PER_PAGE_MAX, DEVICES_PER_PAGE_MAX)
    found = _reader(runtime, app_id).page(count=count + 1, selection=selection, where=where)
    page = tuple(found[:count])
    if len(found) <= count:
        return DevicePage(devices=page, next_filter=None)
    behind = replace(where, device_from=page[-1].device_id + AFTER)
    return DevicePage(devices=page, next_filter=behind.text)


def get_device(runtime: Runtime, app_id: str, device_id: str) -> DeviceState:
    """The device with this id, with all that was acknowledged before.

    Raises:
        UnknownAppError: No app has this id.
        UnknownDeviceError: The app has no such device.
    """
    devices = _reader(runtime, app_id)
    found = devices.get(guid(device_id, "device")) if _can_be_id(device_id) else None
    if found is None:
        raise UnknownDeviceError(f"The app has no device with the id {quote_value(device_id)}.")
    return found


def get_device_by_user(runtime: Runtime, app_id: str, user_id: str) -> DeviceState:
    """The device of this user that was seen last, with all that was acknowledged before.

    Raises:
        UnknownAppError: No app has this id.
        UnknownDeviceError: No device of the app is this user's.
    """
    devices = _reader(runtime, app_id)
    found = devices.of_user(user_id) if _can_be_id(user_id) else None
    if found is None:
        raise UnknownDeviceError(f"The app has no device of the user {quote_value(user_id)}.")
    return found


def get_device_by_token(runtime: Runtime, app_id: str, token: str) -> DeviceState:
    """The device that a push token reaches, with all that was acknowledged before.

    Raises:
        UnknownAppError: No app has this id.
        UnknownDeviceError: The token reaches no device of the app.
    """
    devices = _reader(runtime, app_id)
    found = devices.of_token(token) if _is_whole(token) else None
    if found is None:
        raise UnknownDeviceError(f"No device of the app has the token {quote_value(token)}.")
    return found


def list_device_tokens(runtime: Runtime, app_id: str, device_id: str) -> list[DeviceToken]:
    """The push tokens that reach a device, at most one of each type.

    Raises:
        UnknownAppError: No app has this id.
    """
    return _reader(runtime, app_id).tokens_of(device_id)


def tag_devices(
    runtime: Runtime,
    app_id: str,
    tags: Mapping[str, Mapping[str, str | None]],
    *,
    by_user: bool,
    delete_on_null: bool,
) -> list[str]:
    """Return only when the tags are durable, as if the devices had told them now.

    Args:
        runtime: The service.
        app_id: The app.
        tags: For each id its tags; the key `userid` names the device's user.
        by_user: Whether the ids are of users, all of whose devices are tagged; else of devices.
        delete_on_null: Whether a null value deletes its tag; else it is as if absent.

    Returns:
        The ids that were rejected whole, in their order: no device of the app has them, or a key
        or value cannot be kept.

    Raises:
        UnknownAppError: No app has this id.
        RequestTooLargeError: There are more than 1,000 ids, or their users have too many devices.
    """
    if len(tags) > TAG_IDS_MAX:
        raise RequestTooLargeError(
            f"At most {TAG_IDS_MAX} ids can be tagged at once, got {len(tags)}."
        )
    targets = _targets(_reader(runtime, app_id), tags, by_user=by_user)
    count = sum(map(len, targets.values()))
    if count > TAGGED_DEVICES_MAX:
        raise RequestTooLargeError(
            f"At most {TAGGED_DEVICES_MAX} devices can be tagged at once, but these users have "
            f"{count}; name fewer users."
        )
    now, request_id = runtime.clock(), new_guid()
    batches: list[Batch] = []
    invalid: list[str] = []
    for given, values in tags.items():
        kept = {key: value for key, value in values.items() if delete_on_null or value is not None}
        batch_id = f"tag-{request_id}-{len(batches)}"
        try:
            made = [
                tag_batch(device_id, kept, batch_id=f"{batch_id}-{place}", at=now)
                for place, device_id in enumerate(targets.get(given, ()) if kept else ())
            ]
        except CorruptInputError:
            made = []
            invalid.append(given)
        else:
            if given not in targets:
                invalid.append(given)
        batches += made
    subject = f"tags of {len(batches)} devices"
    record_change(runtime, Action.TAGS_SET, app_id=app_id, subject=subject)
    accept(runtime.inbox, app_id, batches, received_at=now)
    return invalid


def _reader(runtime: Runtime, app_id: str) -> DeviceReader:
    """The app's devices with all that was acknowledged before."""
    runtime.apps.get(app_id)
    runtime.flush(app_id)
    return DeviceReader(runtime.lake, app_id, runtime.inbox.last_commits(app_id))


def _targets(
    devices: DeviceReader, tags: Mapping[str, object], *, by_user: bool
) -> dict[str, list[str]]:
    """The devices that each of the ids stands for; only ids that have one."""
    possible = [given for given in tags if _can_be_id(given)]
    if by_user:
        return devices.of_users(possible)
    by_given = {given: guid(given, "device") for given in possible}
    known = devices.find_known(set(by_given.values()))
    return {given: [device_id] for given, device_id in by_given.items() if device_id in known}


def _can_be_id(text: str) -> bool:
    """Whether a batch could name a device or user so."""
    return 0 < len(text) <= ID_CHARACTERS_MAX and _is_whole(text)


def _is_whole(text: str) -> bool:
    """Whether a text has no half of a character."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
