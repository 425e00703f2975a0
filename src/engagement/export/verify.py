"""Proves a delivered export: against its manifest, and against the lake."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
import zstandard
from isal import isal_zlib

from engagement.deliver.destination import Destination
from engagement.deliver.object_names import manifest_name
from engagement.exceptions import VerificationError
from engagement.export.fields import shape_of
from engagement.export.freeze import check_source
from engagement.export.part_writer import part_receipt
from engagement.model.compression import GZIP_WINDOW_BITS
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Compression, ExportFormat, Receipt
from engagement.model.manifest import Manifest, parse_manifest
from engagement.model.plan import Plan
from engagement.store.lake import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was proved of a delivered export."""

    task_id: str
    """The export task."""
    parts: int
    """Parts that were read again, byte for byte."""
    rows: int
    """Rows that they hold, counted by parsing them."""
    bytes: int
    """Their size together."""
    compared_with_lake: bool
    """Whether they were also computed anew from the pinned table versions, and were equal."""


def verify_delivered(destination: Destination, folder: str) -> tuple[Manifest, Verification]:
    """Return only if every part is there with the size, digest and rows of the manifest.

    Raises:
        VerificationError: Not so; names the part.
        DestinationError: The manifest or a part is not there, or may not be read.
    """
    manifest = parse_manifest(b"".join(destination.get(manifest_name(folder))))
    for part in manifest.parts:
        _check_part(destination, folder, manifest, part)
    return manifest, Verification(
        task_id=manifest.task_id,
        parts=len(manifest.parts),
        rows=manifest.rows,
        bytes=manifest.bytes,
        compared_with_lake=False,
    )


def verify_with_lake(lake: Lake, request: ExportRequest, plan: Plan, manifest: Manifest) -> None:
    """Return only if the parts equal what the pinned table versions give, byte for byte.

    Raises:
        VerificationError: Not so; names the part.
        EngagementError: A pinned file is gone or altered, with the code SourceUnavailable.
    """
    pinned = {kind.value: version for kind, version in plan.head.versions.items()}
    if manifest.tables != pinned or len(manifest.parts) != len(plan.parts):
        raise VerificationError(
            f"The manifest must name the plan's tables {pinned} and {len(plan.parts)} parts, "
            f"got {manifest.tables} and {len(manifest.parts)}."
        )
    check_source(lake, request, plan.head)
    for planned, delivered in zip(plan.parts, manifest.parts, strict=True):
        expected = part_receipt(lake, request, plan.head, planned, name=delivered.name)
        if expected != delivered:
            raise VerificationError(
                f"{delivered.name} must equal the lake's {expected.rows} rows with SHA-256 "
                f"{expected.sha256}, got {delivered.rows} rows with {delivered.sha256}."
            )


def _check_part(destination: Destination, folder: str, manifest: Manifest, part: Receipt) -> None:
    data = read_part(destination, folder, part)
    rows = _COUNTERS[manifest.export_format](_decompressed(data, manifest), manifest)
    if rows != part.rows:
        raise VerificationError(f"{part.name} must hold {part.rows} rows, got {rows}.")


def read_part(destination: Destination, folder: str, part: Receipt) -> bytes:
    """The bytes of a part, if they are those of the manifest.

    Raises:
        VerificationError: They are not.
        DestinationError: It is not there, or may not be read.
    """
    data = b"".join(destination.get(f"{folder}/{part.name}"))
    digest = hashlib.sha256(data).hexdigest()
    if (len(data), digest) != (part.bytes, part.sha256):
        raise VerificationError(
            f"{part.name} must have {part.bytes} bytes with SHA-256 {part.sha256}, "
            f"got {len(data)} bytes with {digest}."
        )
    return data


def _decompressed(data: bytes, manifest: Manifest) -> bytes:
    if manifest.export_format is ExportFormat.PARQUET:
        return data
    if manifest.compression is Compression.GZIP:
        return bytes(isal_zlib.decompress(data, GZIP_WINDOW_BITS))
    if manifest.compression is Compression.ZSTD:
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def _json_rows(data: bytes, manifest: Manifest) -> int:
    """Records of the array; where they are gathered in objects, those inside."""
    shape = shape_of(manifest.export_type)
    items = json.loads(data)
    return (
        len(items) if shape.gathered is None else sum(len(item[shape.gathered]) for item in items)
    )


def _ndjson_rows(data: bytes, manifest: Manifest) -> int:
    del manifest
    return sum(1 for line in io.BytesIO(data) if json.loads(line) is not None)


def _csv_rows(data: bytes, manifest: Manifest) -> int:
    del manifest
    return pl.read_csv(io.BytesIO(data), infer_schema=False).height


def _parquet_rows(data: bytes, manifest: Manifest) -> int:
    del manifest
    return pl.read_parquet(io.BytesIO(data)).height


_COUNTERS: dict[ExportFormat, Callable[[bytes, Manifest], int]] = {
    ExportFormat.JSON: _json_rows,
    ExportFormat.NDJSON: _ndjson_rows,
    ExportFormat.CSV: _csv_rows,
    ExportFormat.PARQUET: _parquet_rows,
}
