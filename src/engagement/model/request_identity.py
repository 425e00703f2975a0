"""Says what was asked in words that stay as they are, for manifests and for repeated requests."""

import json
from dataclasses import fields
from datetime import datetime
from typing import Any

from engagement.model.export_request import ExportRequest
from engagement.model.exports import TimeRange
from engagement.model.text import to_camel_case

FIRST_FIELDS = (
    "app_id",
    "export_type",
    "export_format",
    "compression",
    "time_range",
    "campaign_type",
    "campaign_ids",
    "as_of",
    "include_user_id",
    "csv_formula_guard",
    "description",
)
"""What every description names. Whatever came later is left out where it was not chosen, so that
what was described before it existed stays as it was: a manifest made anew has the same bytes, and
a repeated request the same hash."""
_NAMES = {"time_range": "range"}
_SECRET = "container_url"  # noqa: S105 - the name of the field that is one
_NOT_CHOSEN = {"published_contract": True}
"""Where that is another value than the default: once all was asked through that contract."""


def describe_request(request: ExportRequest) -> dict[str, Any]:
    """Return what was asked, by the names of JSON, without the container URL."""
    first, later = {}, {}
    for field in fields(request):
        value = getattr(request, field.name)
        name = _NAMES.get(field.name) or to_camel_case(field.name)
        if field.name in FIRST_FIELDS:
            first[name] = _plain(value)
        elif field.name != _SECRET and value != _NOT_CHOSEN.get(field.name, field.default):
            later[name] = _plain(value)
    return first | later


def write_identity(request: ExportRequest) -> str:
    """Return the text by whose hash a repeated request is known, across releases."""
    return json.dumps(describe_request(request))


def _plain(value: Any) -> Any:
    if isinstance(value, TimeRange):
        return [value.start.isoformat(), value.end.isoformat()]
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
