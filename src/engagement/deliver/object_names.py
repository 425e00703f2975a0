"""The names of an export's objects in a container."""

from engagement.model.exports import Compression, ExportFormat, ExportType

_ENDINGS = {Compression.NONE: "", Compression.GZIP: ".gz", Compression.ZSTD: ".zst"}


def folder(export_type: ExportType, task_id: str) -> str:
    """The folder of an export's objects, below the destination's own prefix."""
    return f"{export_type.value}/{task_id}"


def part_name(
    in_folder: str, index: int, export_format: ExportFormat, compression: Compression
) -> str:
    """The object key of a part; it depends on the plan alone, so a repeat overwrites itself.

    Parquet is compressed inside, so its names do not change with the compression.
    """
    ending = "" if export_format is ExportFormat.PARQUET else _ENDINGS[compression]
    return f"{in_folder}/part-{index:05d}.{export_format.extension}{ending}"


def manifest_name(in_folder: str) -> str:
    """The object key of the manifest."""
    return f"{in_folder}/manifest.json"
