"""Tests that plans of earlier releases are read."""

import json

from engagement.model.codec import decode
from engagement.model.plan import Part


def test_a_part_that_was_kept_before_places_were_is_read() -> None:
    kept = {
        "index": 1,
        "first_day": "2026-01-01",
        "last_day": "2026-01-01",
        "device_from": "8",
        "device_to": None,
        "files": {"event": ["a"]},
        "rows": 7,
        "in_order": True,
        "is_folded": False,
    }

    part = decode(json.dumps(kept), Part)

    assert (part.device_from, part.place_from, part.place_to) == ("8", None, None)
