"""Reads devices as they are known last: a page in order of their ids, one, a user's."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import polars as pl

from engagement.model.devices import (
    AFTER,
    DeviceFilter,
    DeviceSelection,
    DeviceState,
    DeviceToken,
    MetaProperty,
    contract_name,
)
from engagement.model.records import INFO_COLUMNS, LOCATION_COLUMNS, Kind
from engagement.store.commits import Commit
from engagement.store.data_files import DataFile
from engagement.store.folds import fold
from engagement.store.lake import Lake
from engagement.store.ranges import device_boundaries, in_devices
from engagement.store.schemas import file_schema
from engagement.store.snapshots import valid_tokens

RANGE_ROWS = 20_000
"""Changes of devices that the first step of a page reads; each further step reads twice as many."""
STEP_RANGES_MAX = 32
RANGES_MAX = 10_000

_KINDS = (Kind.DEVICE, Kind.TAG, Kind.TOKEN)
_EVERYTHING = DeviceSelection()
_NO_BOUNDS = DeviceFilter()
_META_COLUMNS = {
    MetaProperty.FIRST_SEEN: "first_seen_at",
    MetaProperty.LAST_SEEN: "seen_at",
    MetaProperty.LAST_INFO: "info_at",
    MetaProperty.LAST_LOCATION: "location_at",
    MetaProperty.NATIVE_PUSH_ENABLED: "registered_at",
}
"""The column that says when each property was modified last."""


class DeviceReader:
    """The devices of an app in the versions of its tables that were newest when it was made."""

    def __init__(
        self,
        lake: Lake,
        app_id: str,
        commits: Mapping[Kind, Commit],
        *,
        range_rows: int = RANGE_ROWS,
    ) -> None:
        self._lake = lake
        self._app_id = app_id
        self._range_rows = range_rows
        self._files: dict[Kind, list[DataFile]] = {
            kind: lake.files(app_id, kind, commits[kind].version) if kind in commits else []
            for kind in _KINDS
        }

    def page(
        self, *, count: int, selection: DeviceSelection, where: DeviceFilter
    ) -> list[DeviceState]:
        """The first devices in the order of their ids, at most a count.

        Ids are gone through in ranges that grow, so that a page of many devices reads few rows
        and a search for few devices takes few steps.
        """
        found: list[DeviceState] = []
        for device_from, device_to in self._ranges(where):
            if len(found) >= count:
                break
            changes = {kind: self._between(kind, device_from, device_to) for kind in _KINDS}
            rows = self._states(changes, selection, where).head(count - len(found)).collect()
            found += [_state(row) for row in rows.iter_rows(named=True)]
        return found

    def get(self, device_id: str) -> DeviceState | None:
        """The device with this id; None if there is none."""
        changes = {kind: self._of(kind, [device_id]) for kind in _KINDS}
        rows = self._states(changes, _EVERYTHING, _NO_BOUNDS).collect()
        return next((_state(row) for row in rows.iter_rows(named=True)), None)

    def of_user(self, user_id: str) -> DeviceState | None:
        """The device of this user that was seen last; None if there is none."""
        newest = self._of_users([user_id]).sort("seen_at", "device_id").tail(1).collect()
        return self.get(newest["device_id"][0]) if newest.height else None

    def of_users(self, user_ids: Collection[str]) -> dict[str, list[str]]:
        """The ids of each user's devices, ascending; only users that have one."""
        found: dict[str, list[str]] = {}
        rows = self._of_users(user_ids).sort("device_id").collect()
        for user_id, device_id in rows.select("user_id", "device_id").iter_rows():
            found.setdefault(user_id, []).append(device_id)
        return found

    def find_ever_of_user(self, user_id: str) -> set[str]:
        """The ids of the devices that ever named this user, whoever is theirs now."""
        rows = self._between(Kind.DEVICE, None, None).filter(pl.col("user_id") == user_id)
        return set(rows.select(pl.col("device_id").unique()).collect()["device_id"])

    def find_users_of(self, device_id: str) -> set[str]:
        """The users that this device ever named, and no other one did."""
        own = self._of(Kind.DEVICE, [device_id]).select(pl.col("user_id").unique()).collect()
        user_ids = own["user_id"].drop_nulls()
        of_others = self._between(Kind.DEVICE, None, None).filter(
            pl.col("user_id").is_in(user_ids.to_list()), pl.col("device_id") != device_id
        )
        shared = of_others.select(pl.col("user_id").unique()).collect()["user_id"]
        return set(user_ids) - set(shared)

    def find_known(self, device_ids: Collection[str]) -> set[str]:
        """Which of these ids the app has a device of."""
        rows = self._of(Kind.DEVICE, device_ids).select(pl.col("device_id").unique()).collect()
        return set(rows["device_id"])

    def tokens_of(self, device_id: str) -> list[DeviceToken]:
        """The push tokens that reach a device, at most one of each type."""
        everywhere = self._between(Kind.TOKEN, None, None)
        rows = valid_tokens(self._of(Kind.TOKEN, [device_id]), everywhere).collect()
        return [
            DeviceToken(type=row["type"], token=row["token"], registered_at=row["registered_at"])
            for row in rows.iter_rows(named=True)
        ]

    def of_token(self, token: str) -> DeviceState | None:
        """The device that a push token reaches; None if it reaches none."""
        ever = self._between(Kind.TOKEN, None, None).filter(pl.col("token") == token)
        for device_id in ever.select(pl.col("device_id").unique()).collect()["device_id"]:
            if any(found.token == token for found in self.tokens_of(device_id)):
                return self.get(device_id)
        return None

    def _states(
        self,
        changes: Mapping[Kind, pl.LazyFrame],
        selection: DeviceSelection,
        where: DeviceFilter,
    ) -> pl.LazyFrame:
        # Whose a token is, any device may tell.
        everywhere = self._between(Kind.TOKEN, None, None)
        return _states(changes, _tokens(changes[Kind.TOKEN], everywhere), selection, where)

    def _of_users(self, user_ids: Collection[str]) -> pl.LazyFrame:
        """The devices whose last known user is one of these."""
        is_user = pl.col("user_id").is_in(list(user_ids))
        # A device may have had another user since, which only all of its changes tell.
        ever = self._between(Kind.DEVICE, None, None).filter(is_user)
        device_ids = ever.select(pl.col("device_id").unique()).collect()["device_id"].to_list()
        return fold(Kind.DEVICE, self._of(Kind.DEVICE, device_ids)).filter(is_user)

    def _ranges(self, where: DeviceFilter) -> Iterator[tuple[str | None, str | None]]:
        """Ranges of device ids, ascending and without a gap, that hold ever more changes."""
        low, high = where.device_from, where.device_to
        files = _overlapping(self._files[Kind.DEVICE], low, high)
        if not files or (low is not None and high is not None and low >= high):
            return
        count = min(1 + sum(file.rows for file in files) // self._range_rows, RANGES_MAX)
        inside = [
            boundary
            for boundary in device_boundaries(files, count)
            if (low is None or boundary > low) and (high is None or boundary < high)
        ]
        step, place = 1, -1
        while place + step < len(inside):
            yield low, inside[place + step]
            low, place = inside[place + step], place + step
            step = min(2 * step, STEP_RANGES_MAX)
        yield low, high

    def _between(self, kind: Kind, device_from: str | None, device_to: str | None) -> pl.LazyFrame:
        files = _overlapping(self._files[kind], device_from, device_to)
        return in_devices(self._scan(kind, files), device_from, device_to)

    def _of(self, kind: Kind, device_ids: Collection[str]) -> pl.LazyFrame:
        if not device_ids:
            return self._scan(kind, [])
        first, last = min(device_ids), max(device_ids)
        files = _overlapping(self._files[kind], first, last + AFTER)
        rows = self._scan(kind, files)
        # The range lets the reader skip row groups, which a set of ids does not.
        rows = in_devices(rows, first, last + AFTER)
        return rows.filter(pl.col("device_id").is_in(list(device_ids))) if first < last else rows

    def _scan(self, kind: Kind, files: Collection[DataFile]) -> pl.LazyFrame:
        if not files:
            return pl.LazyFrame(schema=file_schema(kind))
        return self._lake.scan(self._app_id, kind, [file.path for file in files])


def _overlapping(
    files: Collection[DataFile], device_from: str | None, device_to: str | None
) -> list[DataFile]:
    return [
        file
        for file in files
        if (device_from is None or file.device_max >= device_from)
        and (device_to is None or file.device_min < device_to)
    ]


def _tokens(changes: pl.LazyFrame, everywhere: pl.LazyFrame) -> pl.LazyFrame:
    """When something was told last of each device's tokens, and whether one is valid."""
    valid = valid_tokens(changes, everywhere).select(
        pl.col("device_id").unique(), pl.lit(value=True).alias("valid")
    )
    return (
        changes.group_by("device_id")
        .agg(pl.col("registered_at").max())
        .join(valid, on="device_id", how="left")
        .with_columns(pl.col("valid").fill_null(value=False))
    )


def _states(
    changes: Mapping[Kind, pl.LazyFrame],
    tokens: pl.LazyFrame,
    selection: DeviceSelection,
    where: DeviceFilter,
) -> pl.LazyFrame:
    """The devices with what of them is selected and matches, in the order of their ids."""
    rows = (
        fold(Kind.DEVICE, changes[Kind.DEVICE])
        .join(_tags(changes[Kind.TAG], selection, where), on="device_id", how="left")
        .join(tokens, on="device_id", how="left")
    )
    if not where.has_modified:  # what was never told is no modification, yet it is known
        rows = rows.with_columns(pl.col("valid").fill_null(value=False))
    is_shown = {
        name: _matches(column, where) if name in selection.meta else pl.lit(value=False)
        for name, column in _META_COLUMNS.items()
    }
    push = pl.lit(MetaProperty.NATIVE_PUSH_ENABLED in selection.meta)
    if where.has_modified:
        push = is_shown[MetaProperty.NATIVE_PUSH_ENABLED]
    rows = rows.with_columns(
        pl.when(push).then("valid").alias("valid"),
        *(
            pl.when(is_shown[name]).then(column).alias(column)
            for name, column in _META_COLUMNS.items()
        ),
    )
    if where.has_modified or not selection.is_everything:
        is_set = [pl.col(column).is_not_null() for column in _META_COLUMNS.values()]
        rows = rows.filter(pl.any_horizontal(pl.col("keys").is_not_null(), *is_set))
    return rows.sort("device_id")


def _tags(changes: pl.LazyFrame, selection: DeviceSelection, where: DeviceFilter) -> pl.LazyFrame:
    """The keys, values and times of each device's tags, in lists; no row where there is none."""
    tags = fold(Kind.TAG, changes).filter(pl.col("value").is_not_null(), _matches("set_at", where))
    if selection.app_info is not None:
        tags = tags.filter(pl.col("key").is_in(sorted(selection.app_info)))
    return (
        tags.sort("device_id", "key")
        .group_by("device_id", maintain_order=True)
        .agg(pl.col("key").alias("keys"), pl.col("value").alias("values"), "set_at")
    )


def _matches(column: str, where: DeviceFilter) -> pl.Expr:
    """Whether a modification lies in the asked range; none does not."""
    is_inside = pl.col(column).is_not_null()
    milliseconds = pl.col(column).dt.epoch("ms")
    if where.modified_from is not None:
        is_inside &= milliseconds >= where.modified_from
    if where.modified_to is not None:
        is_inside &= milliseconds < where.modified_to
    return is_inside


def _state(row: Mapping[str, Any]) -> DeviceState:
    keys, values, set_at = row["keys"] or (), row["values"] or (), row["set_at"] or ()
    modified = {
        f"meta/{name}": row[column]
        for name, column in _META_COLUMNS.items()
        if row[column] is not None
    }
    modified |= {f"appInfo/{key}": at for key, at in zip(keys, set_at, strict=True)}
    return DeviceState(
        device_id=row["device_id"],
        user_id=row["user_id"],
        info={
            contract_name(column.name): row[column.name]
            for column in INFO_COLUMNS
            if row[column.name] is not None
        },
        location={
            contract_name(column.name): row[column.name]
            for column in LOCATION_COLUMNS
            if row[column.name] is not None
        },
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["seen_at"],
        info_at=row["info_at"],
        location_at=row["location_at"],
        native_push_enabled=row["valid"],
        app_info=dict(zip(keys, values, strict=True)),
        modified_at=modified,
    )
