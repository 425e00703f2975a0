"""What an export is: what was asked, how it is cut into parts, what came out."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from engagement.exceptions import InvalidExportError
from engagement.model.records import RECORD_COLUMNS, Kind, own_columns


class ExportType(StrEnum):
    """What an export delivers, with the names of the published contract."""

    ACTIVITY = "Activity"
    EVENT = "Event"
    ERROR = "Error"
    CRASH = "Crash"
    JOB = "Job"
    SESSION = "Session"
    DEVICE = "Device"
    TAG = "Tag"
    TOKEN = "Token"  # noqa: S105 - a record kind, not a secret
    PUSH = "Push"
    INFO = "Info"
    LOCATION = "Location"

    @property
    def kind(self) -> Kind:
        """The kind of record this export reads."""
        return Kind.FEEDBACK if self is ExportType.PUSH else Kind(self.value.lower())

    @property
    def is_historical(self) -> bool:
        """Whether it is asked by range; else it is a snapshot."""
        return self.kind.is_historical

    @property
    def is_named(self) -> bool:
        """Whether its records have a name of their own."""
        return self.is_historical and any(
            column.name == "name" for column in own_columns(self.kind)
        )

    @property
    def has_device_time(self) -> bool:
        """Whether its records are told by devices, whose clocks may be wrong."""
        return self.is_historical and self.kind in RECORD_COLUMNS


PUBLISHED_TYPES = (
    ExportType.ACTIVITY,
    ExportType.TAG,
    ExportType.CRASH,
    ExportType.ERROR,
    ExportType.EVENT,
    ExportType.JOB,
    ExportType.SESSION,
    ExportType.TOKEN,
    ExportType.PUSH,
)
"""The types that the contract of 2014 names, in its order; it names no later ones."""


class ExportFormat(StrEnum):
    """How a part's rows are written."""

    JSON = "JsonBlob"
    CSV = "CsvBlob"
    NDJSON = "NdjsonBlob"
    PARQUET = "ParquetBlob"

    @property
    def extension(self) -> str:
        """The file name's ending, without a dot."""
        return self.name.lower()


class Compression(StrEnum):
    """How a part's bytes are compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class TimeAxis(StrEnum):
    """Which of a record's times a range is about."""

    EVENT = "event"
    RECEIVED = "received"


class ExportState(StrEnum):
    """Where a task stands; the last three are final."""

    QUEUED = "Queued"
    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the state never changes again, except by a retry."""
        return self in {ExportState.SUCCEEDED, ExportState.FAILED, ExportState.CANCELLED}


class CampaignType(StrEnum):
    """What kind of push campaign a feedback belongs to."""

    ANNOUNCEMENT = "Announcement"
    DATA_PUSH = "DataPush"
    NATIVE_PUSH = "NativePush"
    POLL = "Poll"


FEEDBACK_STATUSES = (
    "None",
    "Queued",
    "Dropped",
    "InAppNotificationDisplayed",
    "InAppNotificationActioned",
    "InAppNotificationExited",
    "SystemNotificationDisplayed",
    "SystemNotificationActioned",
    "SystemNotificationExited",
    "ContentDisplayed",
    "ContentActioned",
    "ContentExited",
)
"""The flags of the published schema, in its order, which is also the order of a status set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """A half-open range of UTC instants, `[start, end)`."""

    start: datetime
    """First instant inside."""
    end: datetime
    """First instant outside."""

    def __post_init__(self) -> None:
        for name, instant in (("start", self.start), ("end", self.end)):
            if instant.utcoffset() != timedelta(0):
                raise InvalidExportError(f"The range's {name} must be in UTC, got {instant!r}.")
        if self.start >= self.end:
            raise InvalidExportError(
                "The range must start before it ends, "
                f"got start {self.start.isoformat()} and end {self.end.isoformat()}."
            )

    @classmethod
    def of_days(cls, first: date, last: date) -> "TimeRange":
        """The range of whole UTC days, both included.

        Raises:
            InvalidExportError: The last day is before the first, or beyond what can be counted.
        """
        if last < first:
            raise InvalidExportError(
                f"The end date must not be before the start date, got {first} to {last}."
            )
        if last == date.max:
            raise InvalidExportError(f"The end date must be before {date.max}, got {last}.")
        return cls(
            start=datetime(first.year, first.month, first.day, tzinfo=UTC),
            end=datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1),
        )

    @property
    def first_day(self) -> date:
        """The UTC day of the first instant."""
        return self.start.date()

    @property
    def last_day(self) -> date:
        """The UTC day of the last instant."""
        return (self.end - timedelta(microseconds=1)).date()

    @property
    def is_whole_days(self) -> bool:
        """Whether both ends are at midnight."""
        midnight = datetime.min.time()
        return self.start.time() == midnight and self.end.time() == midnight


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How large an export would be, at the most."""

    rows: int
    """Rows; `operations.estimate_export` says when the number is exact."""
    parts: int
    """Parts that they would be cut into."""
    bytes: int | None
    """Bytes at the mean size of a row so far; None if nothing like it was delivered before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a delivered part proved to be."""

    name: str
    """Object key inside the container."""
    rows: int
    """Rows that the part's bytes hold."""
    rows_read: int
    """Rows that an independent count of the source found for the part."""
    bytes: int
    """Size of the object."""
    sha256: str
    """Of the object's bytes, 64 hexadecimal digits."""
    first_at: datetime | None = None
    """Earliest record time inside."""
    last_at: datetime | None = None
    """Latest record time inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a task is."""

    parts_total: int = 0
    """Parts in the plan; 0 before the plan is made."""
    parts_done: int = 0
    """Parts delivered."""
    rows_total: int = 0
    """Rows planned."""
    rows_done: int = 0
    """Rows delivered."""
    bytes_done: int = 0
    """Bytes delivered."""
    rows_per_second: float | None = None
    """Rows delivered a second since the start."""
    seconds_left: float | None = None
    """Expected time to the end at that rate."""
