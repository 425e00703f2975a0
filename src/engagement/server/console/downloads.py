"""Gives a page's table as CSV or JSON, under the same address and query."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from starlette.responses import Response

from engagement.server.console.policy import PAGE_HEADERS
from engagement.server.console.visits import PageVisit

ROWS_MAX = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def download_format(visit: PageVisit) -> str | None:
    """Return `csv` or `json` if the page's table is asked for in it."""
    wanted = visit.query.get("as", "")
    return wanted if wanted in {"csv", "json"} else None


def answer_download(
    visit: PageVisit, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, object]]
) -> Response:
    """Return a table as a file of the format that was asked for."""
    kind = download_format(visit)
    headers = PAGE_HEADERS | {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    if kind == "json":
        content = json.dumps(
            [{column: _write_value(row.get(column)) for column in columns} for row in rows]
        )
        return Response(content, media_type="application/json", headers=headers)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(_write_value(row.get(column))) for column in columns] for row in rows)
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _write_value(value: object) -> object:
    """Return a value as a download has it: instants as texts."""
    return value.isoformat() if isinstance(value, datetime) else value


def _cell(value: object) -> object:
    """A text that a spreadsheet would run gets an apostrophe before it."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
