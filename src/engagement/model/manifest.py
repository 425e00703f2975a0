"""A manifest: what an export delivered, as its `manifest.json` says it."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engagement.exceptions import VerificationError
from engagement.model.exports import Compression, ExportFormat, ExportType, Receipt

MANIFEST_FORMAT = 1
_PART_NAME = re.compile(r"part-\d{5,}\.[a-z]+(\.[a-z]+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an export delivered. It depends on nothing but that, so a re-run gives equal bytes."""

    task_id: str
    """The export task."""
    app_id: str
    """The app whose records it holds."""
    export_type: ExportType
    """What was delivered."""
    export_format: ExportFormat
    """How rows are written."""
    compression: Compression
    """How parts are compressed."""
    selection: dict[str, Any]
    """What was asked for: range, instant, campaigns and options."""
    tables: dict[str, int]
    """The pinned version of every table that was read."""
    fields: tuple[tuple[str, str], ...]
    """Name and type of every field of a record."""
    parts: tuple[Receipt, ...]
    """What was delivered; names are relative to the manifest."""

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes for part in self.parts)


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


def parse_manifest(data: bytes) -> Manifest:
    """The manifest that the bytes say.

    Raises:
        VerificationError: They are not a manifest, or its totals are not those of its parts.
    """
    try:
        manifest, totals = _manifest(json.loads(data))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise VerificationError(
            f"The manifest must be of format {MANIFEST_FORMAT}, but it cannot be read: "
            f"{type(error).__name__} {error}."
        ) from error
    got = {"parts": len(manifest.parts), "rows": manifest.rows, "bytes": manifest.bytes}
    if totals != got:
        raise VerificationError(f"The manifest's totals must be {got} as its parts, got {totals}.")
    return manifest


def _manifest(content: dict[str, Any]) -> tuple[Manifest, dict[str, int]]:
    if content["manifestFormat"] != MANIFEST_FORMAT:
        raise ValueError(f"manifestFormat is {content['manifestFormat']!r}")
    manifest = Manifest(
        task_id=_text(content["taskId"]),
        app_id=_text(content["appId"]),
        export_type=ExportType(content["exportType"]),
        export_format=ExportFormat(content["exportFormat"]),
        compression=Compression(content["compression"]),
        selection=dict(content["selection"]),
        tables={name: _count(version) for name, version in content["tables"].items()},
        fields=tuple((_text(one["name"]), _text(one["type"])) for one in content["fields"]),
        parts=tuple(_part(one) for one in content["parts"]),
    )
    return manifest, {name: _count(total) for name, total in content["totals"].items()}


def _part(content: dict[str, Any]) -> Receipt:
    rows = _count(content["rows"])
    # The name is read from the container it describes, so it must not lead anywhere else.
    return Receipt(
        name=_matching(_PART_NAME, content["name"]),
        rows=rows,
        rows_read=rows,
        bytes=_count(content["bytes"]),
        sha256=_matching(_SHA256, content["sha256"]),
        first_at=_instant(content["firstAt"]),
        last_at=_instant(content["lastAt"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"wanted a text, got {type(value).__name__}")
    return value


def _matching(pattern: re.Pattern[str], value: object) -> str:
    text = _text(value)
    if not pattern.fullmatch(text):
        raise ValueError(f"wanted a text like {pattern.pattern}, got {text[:100]!r}")
    return text


def _count(value: object) -> int:
    # In Python a boolean is an integer, in JSON it is not.
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"wanted a whole number from 0, got {value!r:.100}")
    return value


def _instant(value: object) -> datetime | None:
    if value is None:
        return None
    instant = datetime.fromisoformat(_text(value))
    if instant.tzinfo is None or instant.isoformat() != value:
        raise ValueError(f"wanted a time with its offset as we write it, got {value!r:.100}")
    return instant
