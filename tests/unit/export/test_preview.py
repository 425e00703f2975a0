"""Tests that a preview is the beginning of the very files that the export then delivers."""

import pytest

from engagement.export.preview import preview_rows
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportFormat, ExportType
from support.batches import everything
from support.home import Home, exported_files


def _preview(home: Home, request: ExportRequest, rows_max: int = 20) -> bytes:
    return preview_rows(
        home.lake,
        request,
        home.inbox.last_commits(home.app_id),
        part_rows_target=500_000,
        rows_max=rows_max,
    )


@pytest.mark.parametrize(
    "export_format", [ExportFormat.JSON, ExportFormat.CSV, ExportFormat.NDJSON]
)
def test_a_preview_of_few_rows_is_all_that_is_delivered(
    home: Home, export_format: ExportFormat
) -> None:
    home.take(everything(0), everything(1))

    for kind in ExportType:
        request = home.request(kind, export_format=export_format)

        assert _preview(home, request) == b"".join(exported_files(home, request)), kind


def test_a_preview_has_no_more_rows_than_it_may(home: Home) -> None:
    home.take(*(everything(number) for number in range(5)))
    request = home.request(ExportType.EVENT)
    (delivered,) = exported_files(home, request)

    preview = _preview(home, request, rows_max=3)

    assert preview.splitlines() == delivered.splitlines()[:3]


def test_a_preview_of_parquet_can_be_read(home: Home) -> None:
    home.take(everything(0))

    preview = _preview(home, home.request(ExportType.EVENT, export_format=ExportFormat.PARQUET))

    assert preview == _preview(home, home.request(ExportType.EVENT))


def test_a_preview_of_nothing_is_empty(home: Home) -> None:
    request = home.request(ExportType.EVENT)

    assert _preview(home, request) == b""
    assert _preview(home, home.request(ExportType.TAG)) == b""
