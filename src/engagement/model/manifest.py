"""A manifest: what an export delivered, as its `manifest.json` says it."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from engagement.exceptions import VerificationError
from engagement.model.exports import Compression, ExportFormat, ExportType, Receipt

MANIFEST_FORMAT: Literal[1] = 1


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
    content = _Content(
        manifest_format=MANIFEST_FORMAT,
        task_id=manifest.task_id,
        app_id=manifest.app_id,
        export_type=manifest.export_type,
        export_format=manifest.export_format,
        compression=manifest.compression,
        selection=manifest.selection,
        tables=manifest.tables,
        fields=[_Field(name=name, type=kind) for name, kind in manifest.fields],
        totals=_totals(manifest),
        parts=[_Part.of(part) for part in manifest.parts],
    )
    # The standard library writes it, since the bytes must stay as they always were.
    text = json.dumps(msgspec.to_builtins(content), indent=2, sort_keys=True, ensure_ascii=False)
    return text.encode() + b"\n"


def parse_manifest(data: bytes) -> Manifest:
    """The manifest that the bytes say.

    Raises:
        VerificationError: They are not a manifest, or its totals are not those of its parts.
    """
    try:
        content = msgspec.json.decode(data, type=_Content)
        manifest = content.manifest()
    except (ValueError, RecursionError) as error:
        raise VerificationError(
            f"The manifest must be of format {MANIFEST_FORMAT}, but it cannot be read: "
            f"{type(error).__name__} {error}."
        ) from error
    totals = _totals(manifest)
    if content.totals != totals:
        raise VerificationError(
            f"The manifest's totals must be {totals} as its parts, got {content.totals}."
        )
    return manifest


def _totals(manifest: Manifest) -> dict[str, int]:
    return {"parts": len(manifest.parts), "rows": manifest.rows, "bytes": manifest.bytes}


_Count = Annotated[int, msgspec.Meta(ge=0)]
# The name is read from the container it describes, so it must not lead anywhere else.
_PartName = Annotated[str, msgspec.Meta(pattern=r"\Apart-[0-9]{5,}\.[a-z]+(\.[a-z]+)?\Z")]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class _Field(msgspec.Struct):
    name: str
    type: str


class _Part(msgspec.Struct, rename="camel"):
    name: _PartName
    rows: _Count
    bytes: _Count
    sha256: _Sha256
    first_at: str | None
    last_at: str | None

    @classmethod
    def of(cls, part: Receipt) -> "_Part":
        return cls(
            name=part.name,
            rows=part.rows,
            bytes=part.bytes,
            sha256=part.sha256,
            first_at=None if part.first_at is None else part.first_at.isoformat(),
            last_at=None if part.last_at is None else part.last_at.isoformat(),
        )

    def receipt(self) -> Receipt:
        return Receipt(
            name=self.name,
            rows=self.rows,
            rows_read=self.rows,
            bytes=self.bytes,
            sha256=self.sha256,
            first_at=_instant(self.first_at),
            last_at=_instant(self.last_at),
        )


class _Content(msgspec.Struct, rename="camel"):
    """A manifest as its JSON has it."""

    manifest_format: Literal[1]
    task_id: str
    app_id: str
    export_type: ExportType
    export_format: ExportFormat
    compression: Compression
    selection: dict[str, Any]
    tables: dict[str, _Count]
    fields: list[_Field]
    totals: dict[str, _Count]
    parts: list[_Part]

    def manifest(self) -> Manifest:
        return Manifest(
            task_id=self.task_id,
            app_id=self.app_id,
            export_type=self.export_type,
            export_format=self.export_format,
            compression=self.compression,
            selection=self.selection,
            tables=self.tables,
            fields=tuple((field.name, field.type) for field in self.fields),
            parts=tuple(part.receipt() for part in self.parts),
        )


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None or instant.isoformat() != text:
        raise ValueError(f"wanted a time with its offset as we write it, got {text!r:.100}")
    return instant
