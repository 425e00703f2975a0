"""Tests that a manifest is read back as it was, and nothing else passes for one."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.deliver.object_names import part_name
from engagement.exceptions import VerificationError
from engagement.model.exports import Compression, ExportFormat, ExportType, Receipt
from engagement.model.manifest import Manifest, parse_manifest, render_manifest

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_COUNT = st.integers(min_value=0, max_value=2**63)
_INSTANT = st.none() | st.datetimes(timezones=st.just(UTC))


@st.composite
def _receipts(draw: st.DrawFn, name: str) -> Receipt:
    rows = draw(_COUNT)
    return Receipt(
        name=name,
        rows=rows,
        rows_read=rows,
        bytes=draw(_COUNT),
        sha256=draw(st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
        first_at=draw(_INSTANT),
        last_at=draw(_INSTANT),
    )


@st.composite
def _manifests(draw: st.DrawFn) -> Manifest:
    export_format, compression = (
        draw(st.sampled_from(item)) for item in (ExportFormat, Compression)
    )
    names = [
        part_name("a", index, export_format, compression).removeprefix("a/")
        for index in range(draw(st.integers(0, 4)))
    ]
    return Manifest(
        task_id=draw(_TEXT),
        app_id=draw(_TEXT),
        export_type=draw(st.sampled_from(ExportType)),
        export_format=export_format,
        compression=compression,
        selection=draw(st.dictionaries(_TEXT, st.none() | st.booleans() | _TEXT, max_size=4)),
        tables=draw(st.dictionaries(_TEXT, _COUNT, max_size=4)),
        fields=tuple(draw(st.lists(st.tuples(_TEXT, _TEXT), max_size=4))),
        parts=tuple(draw(_receipts(name)) for name in names),
    )


PART = Receipt(
    name="part-00000.json.gz",
    rows=3,
    rows_read=3,
    bytes=70,
    sha256="ab" * 32,
    first_at=datetime(2026, 2, 28, 23, 59, 59, 999000, tzinfo=UTC),
    last_at=None,
)
MANIFEST = Manifest(
    task_id="0123",
    app_id="4567",
    export_type=ExportType.ACTIVITY,
    export_format=ExportFormat.JSON,
    compression=Compression.GZIP,
    selection={"start": None},
    tables={"activity": 7},
    fields=(("name", "string"),),
    parts=(PART,),
)


@given(manifest=_manifests())
def test_a_manifest_is_read_back_as_it_was(manifest: Manifest) -> None:
    rendered = render_manifest(manifest)

    assert parse_manifest(rendered) == manifest
    assert render_manifest(parse_manifest(rendered)) == rendered


@given(manifest=_manifests())
def test_the_totals_are_those_of_the_parts(manifest: Manifest) -> None:
    content = json.loads(render_manifest(manifest))

    assert content["totals"] == {
        "parts": len(manifest.parts),
        "rows": sum(part["rows"] for part in content["parts"]),
        "bytes": sum(part["bytes"] for part in content["parts"]),
    }


def test_a_manifest_has_its_names_in_order_and_ends_with_a_line_break() -> None:
    content = json.loads(render_manifest(MANIFEST))

    assert render_manifest(MANIFEST).endswith(b"}\n")
    assert list(content) == sorted(content)


def test_the_bytes_of_a_manifest_stay_as_they_are() -> None:
    """A task that is resumed or shown after an upgrade has the manifest that was delivered."""
    manifest = replace(MANIFEST, selection={"start": None, "eventNames": ["é\u2028\x7f\x1f"]})

    assert render_manifest(manifest) == PINNED.encode()


PINNED = """{
  "appId": "4567",
  "compression": "gzip",
  "exportFormat": "JsonBlob",
  "exportType": "Activity",
  "fields": [
    {
      "name": "name",
      "type": "string"
    }
  ],
  "manifestFormat": 1,
  "parts": [
    {
      "bytes": 70,
      "firstAt": "2026-02-28T23:59:59.999000+00:00",
      "lastAt": null,
      "name": "part-00000.json.gz",
      "rows": 3,
      "sha256": "%s"
    }
  ],
  "selection": {
    "eventNames": [
      "é\u2028\x7f\\u001f"
    ],
    "start": null
  },
  "tables": {
    "activity": 7
  },
  "taskId": "0123",
  "totals": {
    "bytes": 70,
    "parts": 1,
    "rows": 3
  }
}
""" % ("ab" * 32)


@given(data=st.data())
def test_a_truncated_manifest_is_refused(data: st.DataObject) -> None:
    rendered = render_manifest(MANIFEST)
    length = data.draw(st.integers(0, len(rendered) - 2))

    with pytest.raises(VerificationError):
        parse_manifest(rendered[:length])


@given(data=st.data())
def test_an_altered_byte_is_refused_or_seen(data: st.DataObject) -> None:
    rendered = bytearray(render_manifest(MANIFEST))
    at = data.draw(st.integers(0, len(rendered) - 1))
    before = rendered[at]
    rendered[at] = data.draw(st.integers(0, 255).filter(lambda item: item != before))

    try:
        read = parse_manifest(bytes(rendered))
    except VerificationError:
        return

    # Only white space between the values, or a value written in another way, may change unseen.
    assert read != MANIFEST or json.loads(rendered) == json.loads(render_manifest(MANIFEST))


@given(st.binary() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(VerificationError, match="format 1"):
        parse_manifest(content)


def test_a_manifest_nested_too_deep_is_refused() -> None:
    with pytest.raises(VerificationError):
        parse_manifest(b"[" * 100_000)


def _changed(*path: str | int, to: Any) -> bytes:
    """The manifest with one value changed, given by the way to it."""
    content = json.loads(render_manifest(MANIFEST))
    holder = content
    for item in path[:-1]:
        holder = holder[item]
    holder[path[-1]] = to
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("manifestFormat",), 2),
        (("manifestFormat",), None),
        (("taskId",), 5),
        (("appId",), None),
        (("exportType",), "Nothing"),
        (("exportFormat",), "XmlBlob"),
        (("compression",), "brotli"),
        (("selection",), 5),
        (("tables",), ["activity"]),
        (("tables", "activity"), -1),
        (("tables", "activity"), "7"),
        (("fields",), [{"name": "a"}]),
        (("parts",), None),
        (("parts", 0), "part-00000.json"),
        (("parts", 0, "name"), "../../elsewhere"),
        (("parts", 0, "name"), "a/part-00000.json"),
        (("parts", 0, "name"), "part-00000.json\n"),
        (("parts", 0, "rows"), 3.0),
        (("parts", 0, "rows"), "3"),
        (("parts", 0, "rows"), float("inf")),
        (("parts", 0, "rows"), -3),
        (("parts", 0, "bytes"), True),
        (("parts", 0, "sha256"), "AB" * 32),
        (("parts", 0, "sha256"), "ab" * 31),
        (("parts", 0, "firstAt"), "yesterday"),
        (("parts", 0, "firstAt"), "2026-02-28T00:00:00"),
        (("parts", 0, "firstAt"), 0),
        (("totals",), None),
        (("totals", "rows"), "3"),
    ],
)
def test_a_manifest_with_a_value_of_the_wrong_kind_is_refused(
    path: tuple[str | int, ...], value: Any
) -> None:
    with pytest.raises(VerificationError, match="cannot be read"):
        parse_manifest(_changed(*path, to=value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("totals", "rows"), 4),
        (("totals", "bytes"), 69),
        (("totals", "parts"), 2),
        (("totals",), {"parts": 1, "rows": 3}),
        (("parts",), []),
        (("parts", 0, "rows"), 2),
        (("parts", 0, "bytes"), 71),
    ],
)
def test_a_manifest_whose_totals_are_not_those_of_its_parts_is_refused(
    path: tuple[str | int, ...], value: Any
) -> None:
    with pytest.raises(VerificationError, match="totals must be"):
        parse_manifest(_changed(*path, to=value))
