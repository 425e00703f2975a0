"""This module names an export's objects and writes the manifest that says it is complete."""

import json

from engagement.model.exports import Compression, ExportFormat, ExportType
from engagement.model.manifests import MANIFEST_FORMAT, Manifest

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


def render_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON; `parse_manifest` gives back an equal one."""
    content = {
        "manifestFormat": MANIFEST_FORMAT,
        "taskId": manifest.task_id,
        "appId": manifest.app_id,
        "exportType": manifest.export_type.value,
        "exportFormat": manifest.export_format.value,
        "compression": manifest.compression.value,
        "selection": manifest.selection,
        "tables": manifest.tables,
        "fields": [{"name": name, "type": kind} for name, kind in manifest.fields],
        "totals": {
            "parts": len(manifest.parts),
            "rows": manifest.rows,
            "bytes": manifest.bytes,
        },
        "parts": [
            {
                "name": part.name,
                "rows": part.rows,
                "bytes": part.bytes,
                "sha256": part.sha256,
                "firstAt": part.first_at and part.first_at.isoformat(),
                "lastAt": part.last_at and part.last_at.isoformat(),
            }
            for part in manifest.parts
        ],
    }
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
