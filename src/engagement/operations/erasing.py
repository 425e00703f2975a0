"""The operations that take a device, or all devices of a user, out of everything that is kept."""

from collections.abc import Collection
from dataclasses import dataclass

from engagement.collect.limits import guid, quote_value
from engagement.collect.mentions import Mentions
from engagement.exceptions import UnknownDeviceError
from engagement.model.refused import RefusedFilter
from engagement.operations.upkeep import open_upkeep
from engagement.runtime.opening import Runtime
from engagement.store.devices import DeviceReader

REFUSED_AT_ONCE = 8
"""Few, since the body of each may have a mebibyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """What an erasure took out."""

    devices: int
    """Devices that are erased."""
    tables: int
    """Tables that changed."""
    rows_before: int
    """Rows in what was rewritten."""
    rows_after: int
    """Rows that it has now."""
    refused: int
    """Refused records that named a device or its user."""


def erase_device(runtime: Runtime, app_id: str, device_id: str) -> ErasureReport:
    """Return only when a device is in no table, no refused record and no file of the state.

    Older versions of the tables hold its rows until they are vacuumed; exports that run meanwhile
    read them, and none that is created or retried later does. What comes late of the device is
    refused for 90 days. A repeat does what an interruption left.

    Raises:
        UnknownAppError: No app has this id.
        UnknownDeviceError: The app has no such device, and erased none lately.
    """
    known = guid(device_id, "device")
    devices = _read_devices(runtime, app_id)
    is_known = bool(devices.find_known([known])) or bool(runtime.erased.find(app_id, [known]))
    texts = {device_id, *devices.find_users_of(known)}
    if not is_known and not _find_refused(runtime, app_id, Mentions({known}, {device_id})):
        raise UnknownDeviceError(f"The app has no device with the id {quote_value(device_id)}.")
    return _erase(runtime, app_id, {known}, texts)


def erase_user(runtime: Runtime, app_id: str, user_id: str) -> ErasureReport:
    """Return only when every device that ever named a user is erased, as `erase_device` does.

    Raises:
        UnknownAppError: No app has this id.
        UnknownDeviceError: No device of the app ever named the user.
    """
    found = _read_devices(runtime, app_id).find_ever_of_user(user_id)
    if not found and not _find_refused(runtime, app_id, Mentions(set(), {user_id})):
        raise UnknownDeviceError(f"The app has no device of the user {quote_value(user_id)}.")
    return _erase(runtime, app_id, found, {user_id})


def _erase(
    runtime: Runtime, app_id: str, device_ids: Collection[str], texts: set[str]
) -> ErasureReport:
    if device_ids:
        # First of all, so that nothing of a device comes in behind what follows.
        runtime.erased.add(app_id, device_ids, erased_at=runtime.clock())
    runtime.flush(app_id)
    try:
        refused = _find_refused(runtime, app_id, Mentions(device_ids, texts))
        if refused:
            runtime.refused.drop(RefusedFilter(app_id=app_id, refused_ids=tuple(refused)))
        runtime.plans.forget_parts(app_id, started_until=runtime.clock())
        report = open_upkeep(runtime, app_id).erase(app_id, *device_ids)
    finally:
        runtime.erased.scrub()
    return ErasureReport(
        devices=len(device_ids),
        tables=report.tables,
        rows_before=report.rows_before,
        rows_after=report.rows_after,
        refused=len(refused),
    )


def _read_devices(runtime: Runtime, app_id: str) -> DeviceReader:
    runtime.apps.get(app_id)
    runtime.flush(app_id)
    return DeviceReader(runtime.lake, app_id, runtime.inbox.last_commits(app_id))


def _find_refused(runtime: Runtime, app_id: str, mentions: Mentions) -> list[int]:
    """The ids of the app's refused records that name a device or one of the texts."""
    found: list[int] = []
    last = 0
    chosen = RefusedFilter(app_id=app_id)
    while page := runtime.refused.take_page(chosen, limit=REFUSED_AT_ONCE, after=last):
        found += [record.refused_id for record in page if mentions.are_in(record.body)]
        last = page[-1].refused_id
    return found
