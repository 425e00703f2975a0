"""What a page shows of a chart: lines for the script, a sentence, and the same as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engagement.model.points import Chart
from engagement.server.console import formats

SERIES_MAX = 6
OTHER = "other"
TABLE_ROWS_MAX = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart as a page shows it."""

    name: str
    """Names it in addresses."""
    title: str
    """Its heading, with the quantity."""
    at: Sequence[int]
    """Moments, in seconds since 1970."""
    series: Mapping[str, Sequence[float | None]]
    """Values by name, at most `SERIES_MAX`."""
    unit: str = ""
    """How values are written: as numbers, or `bytes`."""

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        return {"at": list(self.at), "series": {k: list(v) for k, v in self.series.items()}} | {
            "unit": self.unit,
            "says": self.sentence,
        }

    @property
    def sentence(self) -> str:
        """Lowest, highest and newest sum of the series."""
        totals = [
            sum(value for value in values if value is not None)
            for values in zip(*self.series.values(), strict=True)
            if any(value is not None for value in values)
        ]
        if not totals:
            return "Nothing was counted in this time."
        low, high, now = (self.write(value) for value in (min(totals), max(totals), totals[-1]))
        return f"Lowest {low}, highest {high}, now {now}."

    @property
    def rows(self) -> list[tuple[datetime, list[str]]]:
        """The newest moments, newest first, with each value as text."""
        newest = list(enumerate(self.at))[-TABLE_ROWS_MAX:]
        return [
            (
                datetime.fromtimestamp(at, UTC),
                [self.write(values[place]) for values in self.series.values()],
            )
            for place, at in reversed(newest)
        ]

    def write(self, value: float | None) -> str:
        """Return a value as text; unknown is not zero."""
        if value is None:
            return formats.UNKNOWN
        if self.unit == "bytes":
            return formats.format_bytes(round(value))
        return f"{value:,.1f}" if value % 1 else f"{value:,.0f}"


def make_figure(  # noqa: PLR0913 - what a figure is
    chart: Chart, name: str, title: str, *, prefix: str, per_minute: bool = False, unit: str = ""
) -> Figure:
    """Return a chart's figure: its largest series by name, the rest as one, and no negative."""
    ordered = sorted(chart.series.items(), key=lambda item: -sum(value or 0 for value in item[1]))
    kept = dict(ordered[:SERIES_MAX] if len(ordered) <= SERIES_MAX else ordered[: SERIES_MAX - 1])
    rest = [values for series, values in ordered if series not in kept]
    factor = 60 / chart.step if per_minute else 1.0
    series = {
        key.removeprefix(prefix).lstrip(".") or title: _scaled(values, factor)
        for key, values in sorted(kept.items())
    }
    if rest:
        series[OTHER] = _scaled([_total(values) for values in zip(*rest, strict=True)], factor)
    return Figure(name=name, title=title, at=chart.at, series=series, unit=unit)


def _scaled(values: Sequence[int | None], factor: float) -> list[float | None]:
    return [
        None if value is None else value if factor == 1 else round(value * factor, 2)
        for value in values
    ]


def _total(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
