"""Tests that the names of delivered objects follow the task, however many there are."""

import pytest

from engagement.deliver.object_names import folder, manifest_name, part_name
from engagement.model.exports import Compression, ExportFormat, ExportType


@pytest.mark.parametrize("export_format", ExportFormat)
@pytest.mark.parametrize("compression", Compression)
def test_names_follow_the_task_and_say_how_a_part_is_written(
    export_format: ExportFormat, compression: Compression
) -> None:
    ending = {Compression.NONE: "", Compression.GZIP: ".gz", Compression.ZSTD: ".zst"}[compression]
    kept = "" if export_format is ExportFormat.PARQUET else ending

    in_folder = folder(ExportType.EVENT, "0123")
    name = part_name(in_folder, 7, export_format, compression)

    assert name == f"Event/0123/part-00007.{export_format.extension}{kept}"
    assert manifest_name(in_folder) == "Event/0123/manifest.json"


def test_names_of_very_many_parts_stay_apart() -> None:
    names = {
        part_name("a", index, ExportFormat.CSV, Compression.NONE)
        for index in (0, 99_999, 100_000, 1_000_000)
    }

    assert len(names) == 4
