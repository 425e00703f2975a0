"""Reads what tracking messages say of their device: its ids, what and where it is."""

import functools
import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from engagement.collect.limits import has_control
from engagement.collect.payload import content_id_of
from engagement.collect.protocols.segment.repair import Sanitiser
from engagement.collect.protocols.segment.wire import Members, integer_of, members, text_of
from engagement.model.limits import (
    ID_CHARACTERS_MAX,
    INFO_CHARACTERS_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    TOKEN_CHARACTERS_MAX,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOKEN_TYPES = {"android": "GCM", "ios": "APNS", "iphone os": "APNS", "ipados": "APNS"}
"""The type of a device's token by the name of its system, in lower case."""
_SECTIONS = ("device", "os", "app", "network", "screen", "library", "location")
_INFO_TEXTS = {
    "firmware_name": ("os", "name"),
    "firmware_version": ("os", "version"),
    "phone_model": ("device", "model"),
    "phone_manufacturer": ("device", "manufacturer"),
    "application_version_name": ("app", "version"),
    "carrier_name": ("network", "carrier"),
}
"""Where texts of a device's technical information are, by the names of `INFO_COLUMNS`."""
_LOCATION_TEXTS = {
    "country_code": ("location", "country"),
    "region": ("location", "region"),
    "locality": ("location", "city"),
}
"""Where texts of a device's place are, by the names of `LOCATION_COLUMNS`."""
_WHOLE = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContext:
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
        self._contexts: dict[bytes, MessageContext] = {}
        self._infos: dict[tuple[int, int], tuple[dict[str, str | int] | None, str | None]] = {}

    def read(self, raw: msgspec.Raw) -> MessageContext:
        """What a context says; of what cannot be understood, nothing."""
        text = bytes(raw)
        context = self._contexts.get(text)
        if context is None:
            context = self._contexts[text] = self._context(raw)
        return context

    def info(
        self, context: MessageContext, at: int
    ) -> tuple[dict[str, str | int] | None, str | None]:
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
            known = self._infos[id(context), minute] = (info or None, content_id_of(info))
        return known

    def _context(self, raw: msgspec.Raw) -> MessageContext:
        fields = members(raw)
        sections = {name: members(fields.get(name)) for name in _SECTIONS}
        location = self._texts(sections, _LOCATION_TEXTS)
        session_id = text_of(fields.get("sessionId"))
        return MessageContext(
            device_id=text_of(sections["device"].get("id")),
            token=self._token(sections),
            session_id=session_id and self._sanitiser.cut(session_id, ID_CHARACTERS_MAX),
            info=self._info(fields, sections),
            zone=_zone(text_of(fields.get("timezone"))),
            location=location or None,
            location_id=content_id_of(location),
            traits=bytes(fields.get("traits", b"")),
        )

    def _info(self, fields: Members, sections: dict[str, Members]) -> dict[str, str | int]:
        info: dict[str, str | int] = dict(self._texts(sections, _INFO_TEXTS))
        if (locale := text_of(fields.get("locale"))) is not None:
            info["locale"] = self._sanitiser.cut(locale, INFO_CHARACTERS_MAX)
        library = [text_of(sections["library"].get(key)) for key in ("name", "version")]
        if service := "/".join(filter(None, library)):
            info["service_version"] = self._sanitiser.cut(service, INFO_CHARACTERS_MAX)
        for key, network_type in (("cellular", "mobile"), ("wifi", "wifi")):
            if bytes(sections["network"].get(key, b"")) == b"true":
                info["network_type"] = network_type
        numbers = {"application_version_code": integer_of(sections["app"].get("build"))}
        for side in ("width", "height"):
            numbers[f"screen_{side}"] = _points(sections["screen"].get(side))
        fitting = {
            column: number
            for column, number in numbers.items()
            if number is not None and INTEGER_MIN <= number <= INTEGER_MAX
        }
        return info | fitting

    def _texts(
        self, sections: dict[str, Members], places: dict[str, tuple[str, str]]
    ) -> dict[str, str]:
        return {
            column: self._sanitiser.cut(text, INFO_CHARACTERS_MAX)
            for column, (section, key) in places.items()
            if (text := text_of(sections[section].get(key))) is not None
        }

    def _token(self, sections: dict[str, Members]) -> tuple[str, str] | None:
        """The token, if it can be kept and the system tells whose it is."""
        device = sections["device"]
        token = text_of(device.get("token"))
        if token is None:
            return None
        system = text_of(sections["os"].get("name")) or text_of(device.get("type")) or ""
        token_type = _TOKEN_TYPES.get(system.lower())
        if token_type is None or len(token) > TOKEN_CHARACTERS_MAX or has_control(token):
            self._sanitiser.repaired += 1
            return None
        return token, token_type


def _points(raw: msgspec.Raw | None) -> int | None:
    """A side of the screen; some SDKs tell it in points, which may be fractions and are cut."""
    points = integer_of(raw)
    if points is None and (text := text_of(raw)) is not None:
        whole = text.partition(".")[0]
        return int(whole) if _WHOLE.fullmatch(whole) else None
    return points


def _zone(name: str | None) -> zoneinfo.ZoneInfo | None:
    # Only names that exist are looked up: any other would be a look at a file of that name.
    return zoneinfo.ZoneInfo(name) if name is not None and name in _zone_names() else None


@functools.cache
def _zone_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
