"""Finds out whether a body that was refused names a device, whoever sent it in whatever format."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from engagement.collect.limits import guid
from engagement.model.limits import ID_CHARACTERS_MAX

_QUOTED = re.compile(rb'"([^"\\]{1,1000})"')


class Mentions:
    """Names of devices to look for."""

    def __init__(self, device_ids: Collection[str], texts: Collection[str]) -> None:
        """Look for these.

        Args:
            device_ids: Devices, by their 32 digits.
            texts: Other texts that name them or their users, as they are sent.
        """
        self._device_ids = frozenset(device_ids)
        self._texts = frozenset(texts)
        spellings = {text.encode("utf-8", "replace") for text in texts}
        spellings |= {json.dumps(text)[1:-1].encode() for text in texts}
        # Anywhere, since a body that is cut short or no JSON has no strings.
        self._anywhere = sorted(spelling for spelling in spellings if spelling)
        self._digits = [device_id.encode() for device_id in device_ids]

    def are_in(self, body: bytes) -> bool:
        """Whether one of them is named in a body."""
        if any(spelling in body for spelling in self._anywhere):
            return True
        plain = body.lower().replace(b"-", b"")
        if any(digits in plain for digits in self._digits):
            return True
        return any(self._is_named_by(text) for text in list_strings(body))

    def _is_named_by(self, text: str) -> bool:
        """Whether a text is one of them, or the id of a device is derived from it."""
        if text in self._texts:
            return True
        is_id = 0 < len(text) <= ID_CHARACTERS_MAX
        return is_id and guid(text, "device") in self._device_ids


def list_strings(body: bytes) -> set[str]:
    """The texts of a JSON document; of what is none, those between quotes."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {found.decode("utf-8", "replace") for found in _QUOTED.findall(body)}
    return set(_strings_in(document))


def _strings_in(document: Any) -> Iterator[str]:
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
