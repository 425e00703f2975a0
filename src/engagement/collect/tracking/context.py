"""This module reads what tracking messages say of their device: its ids, what and where it is."""

import functools
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from engagement.collect.limits import (
    ID_CHARACTERS_MAX,
    INFO_CHARACTERS_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    TOKEN_CHARACTERS_MAX,
    has_control,
)
from engagement.collect.payload import told_id
from engagement.collect.tracking.repair import Sanitiser
from engagement.collect.tracking.wire import members, text_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOKEN_TYPES = {"android": "GCM", "ios": "APNS", "iphone os": "APNS", "ipados": "APNS"}
"""The type of a device's token by the name of its system, in lower case."""
_INFO_TEXTS = (
    ("firmware_name", "os", "name"),
    ("firmware_version", "os", "version"),
    ("phone_model", "device", "model"),
    ("phone_manufacturer", "device", "manufacturer"),
    ("application_version_name", "app", "version"),
    ("carrier_name", "network", "carrier"),
)
_INFO_NUMBERS = (
    ("screen_width", "screen", "width"),
    ("screen_height", "screen", "height"),
    ("application_version_code", "app", "build"),
)
_LOCATION_TEXTS = (("country_code", "country"), ("region", "region"), ("locality", "city"))

_Section = dict[str, msgspec.Raw]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the context of a message says, of all messages with the same."""

    device_id: str | None
    """The sender's own id of the device."""
    token: tuple[str, str] | None
    """The device's push token and its type."""
    session_id: str | None
    """The sender's own id of the session."""
    info: dict[str, str | int]
    """Technical information by the names of `INFO_COLUMNS`, without the time zone's offset."""
    zone: zoneinfo.ZoneInfo | None
    """The device's time zone."""
    location: dict[str, str] | None
    """Where the device is, by the names of `LOCATION_COLUMNS`."""
    location_id: str | None
    """Depends on `location` alone."""
    traits: bytes
    """The user's traits, where RudderStack puts them, as raw JSON."""


class ContextReader:
    """Reads the contexts of one body, each different one once."""

    def __init__(self, sanitiser: Sanitiser) -> None:
        self._sanitiser = sanitiser
        self._contexts: dict[bytes, Context] = {}
        self._infos: dict[tuple[int, int], tuple[dict[str, str | int] | None, str | None]] = {}

    def read(self, raw: msgspec.Raw) -> Context:
        """What a context says; of what cannot be understood, nothing."""
        text = bytes(raw)
        context = self._contexts.get(text)
        if context is None:
            context = self._contexts[text] = self._context(raw)
        return context

    def info(self, context: Context, at: int) -> tuple[dict[str, str | int] | None, str | None]:
        """The technical information at an instant, and its id; None if there is none.

        Args:
            context: From this reader.
            at: Microseconds since 1970.
        """
        minute = at // 60_000_000
        known = self._infos.get((id(context), minute))
        if known is None:
            info = context.info
            if context.zone is not None:
                there = (_EPOCH + timedelta(minutes=minute)).astimezone(context.zone)
                offset = there.utcoffset() or timedelta(0)
                info = info | {"time_zone_offset": offset // timedelta(minutes=1)}
            known = self._infos[id(context), minute] = (info or None, told_id(info))
        return known

    def _context(self, raw: msgspec.Raw) -> Context:
        told = members(raw)
        device, network = members(told.get("device")), members(told.get("network"))
        sections: dict[str, _Section] = {
            "device": device,
            "network": network,
            "os": members(told.get("os")),
            "app": members(told.get("app")),
            "screen": members(told.get("screen")),
        }
        texts: dict[str, str | None] = {
            column: text_of(sections[section].get(key)) for column, section, key in _INFO_TEXTS
        }
        texts["network_type"] = _network_type(network)
        texts["locale"] = text_of(told.get("locale"))
        texts["service_version"] = _library(members(told.get("library")))
        info: dict[str, str | int] = dict(self._short(texts))
        for column, section, key in _INFO_NUMBERS:
            number = _whole(text_of(sections[section].get(key)))
            if number is not None:
                info[column] = number
        place = members(told.get("location"))
        location = self._short({column: text_of(place.get(key)) for column, key in _LOCATION_TEXTS})
        session_id = text_of(told.get("sessionId"))
        return Context(
            device_id=text_of(device.get("id")),
            token=self._token(device, sections["os"]),
            session_id=session_id and self._sanitiser.cut(session_id, ID_CHARACTERS_MAX),
            info=info,
            zone=_zone(text_of(told.get("timezone"))),
            location=location or None,
            location_id=told_id(location),
            traits=bytes(told.get("traits", b"")),
        )

    def _short(self, texts: dict[str, str | None]) -> dict[str, str]:
        return {
            column: self._sanitiser.cut(text, INFO_CHARACTERS_MAX)
            for column, text in texts.items()
            if text is not None
        }

    def _token(self, device: _Section, system: _Section) -> tuple[str, str] | None:
        """The token, if it can be kept and the system tells whose it is."""
        token = text_of(device.get("token"))
        if token is None:
            return None
        name = text_of(system.get("name")) or text_of(device.get("type")) or ""
        token_type = _TOKEN_TYPES.get(name.lower())
        if token_type is None or len(token) > TOKEN_CHARACTERS_MAX or has_control(token):
            self._sanitiser.repaired += 1
            return None
        return token, token_type


def _network_type(network: _Section) -> str | None:
    for key, name in (("wifi", "wifi"), ("cellular", "mobile")):
        if bytes(network.get(key, b"")) == b"true":
            return name
    return None


def _library(library: _Section) -> str | None:
    told = (text_of(library.get("name")), text_of(library.get("version")))
    return "/".join(one for one in told if one is not None) or None


def _whole(text: str | None) -> int | None:
    """The integer part of a number of 64 bits, such as a width in points; None of other texts."""
    digits = (text or "").partition(".")[0]
    if not digits.removeprefix("-").isdecimal() or len(digits) > len(str(INTEGER_MIN)):
        return None
    number = int(digits)
    return number if INTEGER_MIN <= number <= INTEGER_MAX else None


def _zone(name: str | None) -> zoneinfo.ZoneInfo | None:
    # Only names that exist are looked up: any other would be a look at a file of that name.
    return zoneinfo.ZoneInfo(name) if name is not None and name in _zone_names() else None


@functools.cache
def _zone_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
