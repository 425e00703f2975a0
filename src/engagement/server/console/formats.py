"""Writes numbers, sizes, spans and instants as pages show them."""

import math
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup

from engagement.model.exports import TimeRange
from engagement.operations.export_lists import COUNT_MAX

UNKNOWN = "\u2013"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_SHORT = (("", 1), ("K", 1_000), ("M", 1_000_000), ("B", 1_000_000_000))
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """How somebody looks at pages."""

    zone: str = "UTC"
    """The browser's time zone."""
    shows_utc: bool = False
    """Whether times are in UTC all the same."""
    theme: str = "system"
    """system, light or dark."""

    @property
    def display_zone(self) -> str:
        """The zone that times are written in."""
        return "UTC" if self.shows_utc else self.zone


def format_count(value: int | None) -> str:
    """Return a whole number, grouped: 1,204,881."""
    return UNKNOWN if value is None else f"{value:,}"


def format_bounded(value: int) -> str:
    """Return a count that stops at `COUNT_MAX`: 10,000+."""
    return f"{COUNT_MAX:,}+" if value > COUNT_MAX else f"{value:,}"


def format_short(value: int) -> str:
    """Return a number in a few characters: 43K, 1.2M."""
    unit, factor = next((pair for pair in reversed(_SHORT) if abs(value) >= pair[1]), _SHORT[0])
    scaled = value / factor
    return f"{scaled:.1f}{unit}" if factor > 1 and scaled < 10 else f"{scaled:.0f}{unit}"  # noqa: PLR2004 - one digit before the point


def format_bytes(value: int | None) -> str:
    """Return a size in decimal units, three digits: 24.6 MB."""
    if value is None:
        return UNKNOWN
    scaled, unit = float(value), 0
    while scaled >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - it would show as 1000
        scaled, unit = scaled / 1_000, unit + 1
    if unit == 0:
        return f"{value} B"
    digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0  # noqa: PLR2004 - three digits
    return f"{scaled:.{digits}f} {_UNITS[unit]}"


def format_duration(value: timedelta | float | None) -> str:
    """Return a span by its two largest units: 42 s, 3 min 12 s, 2 d 4 h."""
    if value is None:
        return UNKNOWN
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds < 1:
        return f"{max(0, seconds * 1_000):.0f} ms"
    whole = round(seconds)
    for (name, size), (lower, lower_size) in (
        (("d", 86_400), ("h", 3_600)),
        (("h", 3_600), ("min", 60)),
        (("min", 60), ("s", 1)),
    ):
        if whole >= size:
            rest = whole % size // lower_size
            return f"{whole // size} {name}" + (f" {rest} {lower}" if rest else "")
    return f"{whole} s"


def format_rate(value: float | None, what: str = "rows/s") -> str:
    """Return a rate: 96 K rows/s."""
    return UNKNOWN if value is None else f"{format_short(round(value))} {what}"


def format_percent(done: int, total: int) -> str:
    """Return whole percent, never 100 % before the end."""
    return f"{percent(done, total)} %" if total else UNKNOWN


def percent(done: int, total: int) -> int:
    """Return whole percent, never 100 before the end."""
    if not total:
        return 0
    return 100 if done >= total else min(99, math.floor(100 * done / total))


def format_instant(instant: datetime | None, viewer: Viewer, *, now: datetime) -> Markup:
    """Return a `time` element in the viewer's zone, with UTC in its title."""
    if instant is None:
        return Markup('<span class="unknown">{}</span>').format(UNKNOWN)
    utc = instant.astimezone(UTC)
    local = utc.astimezone(ZoneInfo(viewer.display_zone))
    text = f"{local.day} {local:%b %Y, %H:%M:%S}"
    age = now - utc
    if timedelta(0) <= age < timedelta(days=1):
        text += f" ({_ago(age)})"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%S}Z", f"{utc:%Y-%m-%d %H:%M:%S} UTC", text
    )


def format_range(span: TimeRange | None) -> str:
    """Return a range as people say it: whole days with the last one inside, else instants."""
    if span is None:
        return ""
    if not span.is_whole_days:
        return f"{span.start:%Y-%m-%d %H:%M:%S} to {span.end:%Y-%m-%d %H:%M:%S} UTC"
    first, last = span.first_day, span.last_day
    if first == last:
        return f"{first.day} {first:%b %Y}"
    shared = "" if first.year == last.year else f" {first:%Y}"
    return f"{first.day} {first:%b}{shared} to {last.day} {last:%b %Y}"


def _ago(age: timedelta) -> str:
    seconds = age.total_seconds()
    if seconds < 60:  # noqa: PLR2004 - a minute
        return "just now" if seconds < 5 else f"{seconds:.0f} s ago"  # noqa: PLR2004 - "0 s ago" reads oddly
    if seconds < 3_600:  # noqa: PLR2004 - an hour
        return f"{seconds // 60:.0f} min ago"
    return f"{seconds // 3_600:.0f} h ago"


def visible_text(text: str) -> str:
    """Return a text from outside with what cannot be seen made visible.

    Control characters become their pictures, and characters that turn the direction of writing
    become their code, so that no text can pretend to be another.
    """
    visible = text.translate(_PICTURES)
    if visible.isascii():
        return visible
    return "".join(
        f"U+{ord(letter):04X}"
        if unicodedata.category(letter) in {"Cf", "Cc", "Cs", "Zl", "Zp"}
        and letter not in "\u2400\u2421\u200d\u00ad"
        else letter
        for letter in visible
    )


def format_outside(text: object) -> Markup:
    """Return a text from devices or clients, kept apart from the direction of the page's text."""
    return Markup("<bdi>{}</bdi>").format(visible_text(str(text)))


def format_id(value: str) -> Markup:
    """Return an id, shortened in the middle on the screen, whole in its title and in print."""
    if len(value) <= 12:  # noqa: PLR2004 - nothing to shorten
        return Markup("<code>{}</code>").format(value)
    return Markup(
        '<code class="id" title="{}"><span class="short">{}…{}</span>'
        '<span class="whole">{}</span></code>'
    ).format(value, value[:6], value[-4:], value)
