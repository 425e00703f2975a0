"""Says which device reports, who uses it and what it is like."""

import locale
import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version

from engagement.agent.checks import check_integer, check_text, compact, quote
from engagement.exceptions import BadInputError
from engagement.model.limits import ID_CHARACTERS_MAX, INFO_CHARACTERS_MAX
from engagement.model.records import INFO_COLUMNS, ColumnType
from engagement.model.text import to_camel_case

_MINUTE_SECONDS = 60


INFO_FIELDS = {to_camel_case(column.name): column.type for column in INFO_COLUMNS} | {
    "androidAPILevel": ColumnType.INTEGER  # as the published documents spell it
}
"""What `info` may say, with what each field holds."""


def device_head(device_id: str, user_id: str | None, info: Mapping[str, str | int]) -> str:
    """The members of a batch that say whose records it holds, as JSON without the braces.

    Raises:
        BadInputError: An id or the info cannot be kept as it is.
    """
    check_text(device_id, "device_id", ID_CHARACTERS_MAX, may_have_control=True)
    members: dict[str, object] = {"deviceId": device_id}
    if user_id is not None:
        check_text(user_id, "user_id", ID_CHARACTERS_MAX, may_have_control=True)
        members["userId"] = user_id
    return compact(members | {"info": _check_info(info)})[1:-1]


def machine_info(now: datetime) -> dict[str, str | int]:
    """What this machine says of itself: system, machine, locale and offset from UTC."""
    offset = now.astimezone().utcoffset()
    info: dict[str, str | int] = {
        "firmwareName": platform.system(),
        "firmwareVersion": platform.release(),
        "phoneModel": platform.machine(),
        "locale": _language(),
        "timeZoneOffset": int(offset.total_seconds()) // _MINUTE_SECONDS if offset else 0,
        "serviceVersion": version("engagement-export"),
    }
    return {
        field: value[:INFO_CHARACTERS_MAX] if isinstance(value, str) else value
        for field, value in info.items()
        if value != ""
    }


def _language() -> str:
    """The language and region, like `en-US`; empty if this machine has none that Python knows."""
    try:
        name, _ = locale.getlocale()
    except ValueError:
        name = None
    return (name or "").replace("_", "-")


def _check_info(info: Mapping[str, str | int]) -> dict[str, str | int]:
    for field, value in info.items():
        if field not in INFO_FIELDS:
            raise BadInputError(f"info may hold {', '.join(INFO_FIELDS)}, got {quote(field)}.")
        if INFO_FIELDS[field] is ColumnType.INTEGER:
            check_integer(value, f"info.{field}")
        else:
            check_text(
                value, f"info.{field}", INFO_CHARACTERS_MAX, shortest=0, may_have_control=True
            )
    return dict(info)
