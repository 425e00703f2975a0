"""Plants bugs in what exports mean, to show that the oracle finds them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from engagement.collect import flush, payload, record_columns, record_tables, records
from engagement.collect.limits import RefusedRecordError, parse_instant
from engagement.export import freeze, part_writer, requests, rows, steps
from engagement.model.exports import ExportType
from engagement.model.plan import Plan
from engagement.model.records import CONTENT_KINDS, Kind, derive_guid
from engagement.store import folds, upkeep
from engagement.store.upkeep import Upkeep

_PLAIN = {ExportType.ACTIVITY, ExportType.EVENT, ExportType.ERROR, ExportType.CRASH}
_HISTORY = _PLAIN | {ExportType.JOB, ExportType.SESSION}
_ALL = set(ExportType) - {ExportType.INFO, ExportType.LOCATION}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """Something that was, or could be, wrong."""

    name: str
    """What the bug does."""
    types: set[ExportType]
    """The exports in which it shows."""
    plant: Callable[[pytest.MonkeyPatch], None]
    """Puts it into this process until the patch is undone."""


BUGS: list[Bug] = []


def shown_by(types: Iterable[ExportType]) -> Callable[[Any], Any]:
    """Count a function that plants a bug among the bugs."""

    def add(plant: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
        BUGS.append(Bug(name=plant.__name__, types=set(types), plant=plant))
        return plant

    return add


@shown_by({ExportType.TOKEN, ExportType.DEVICE})
def tokens_are_known_by_their_device_alone(patch: pytest.MonkeyPatch) -> None:
    """Taking back an old token takes the new one too, and a second type hides the first."""
    patch.setitem(folds.FOLD_KEYS, Kind.TOKEN, ("device_id", "valid"))


@shown_by({ExportType.TOKEN, ExportType.DEVICE})
def tokens_stay_with_every_device(patch: pytest.MonkeyPatch) -> None:
    """A token that another device registered later is listed with both."""
    valid_tokens = rows.valid_tokens

    def of_each(changes: pl.LazyFrame, everywhere: pl.LazyFrame) -> pl.LazyFrame:
        devices = changes.select("device_id").unique().collect()["device_id"]
        found = [valid_tokens(changes.clear(), everywhere)]
        for device in devices:
            own = changes.filter(pl.col("device_id") == pl.lit(device))
            found.append(valid_tokens(own, own))
        return pl.concat(found).sort("device_id", "type")

    patch.setattr(rows, "valid_tokens", of_each)


@shown_by({ExportType.TAG, ExportType.TOKEN, ExportType.PUSH})
def snapshots_name_the_user_of_their_own_batch(patch: pytest.MonkeyPatch) -> None:
    """The user is missing before log-in, and old after a change."""
    patch.setattr(rows, "name_users", lambda named, _: named)


@shown_by({ExportType.PUSH})
def folding_keeps_only_the_first_feedback(patch: pytest.MonkeyPatch) -> None:
    """A campaign leaves its window when its feedback is folded."""
    of_feedback = folds._AGGREGATES[Kind.FEEDBACK]  # noqa: SLF001

    def first_alone(columns: list[str]) -> list[pl.Expr]:
        first = pl.coalesce("first_at", "occurred_at").min().alias("occurred_at")
        return [first if name == "occurred_at" else of_feedback([name])[0] for name in columns]

    patch.setitem(folds._AGGREGATES, Kind.FEEDBACK, first_alone)  # noqa: SLF001


@shown_by({ExportType.INFO, *_HISTORY})
def folding_deletes_information(patch: pytest.MonkeyPatch) -> None:
    """What the information was is gone after some days."""
    fold_snapshots = Upkeep.fold_snapshots

    def deleting(self: Upkeep, app_id: str, *, before: datetime) -> Any:
        self._rewrite(
            app_id,
            [Kind.INFO],
            wanted=lambda _, files: [files],
            change=lambda _, rows: rows.filter(pl.col("received_at") >= before).collect(),
        )
        return fold_snapshots(self, app_id, before=before)

    patch.setattr(Upkeep, "fold_snapshots", deleting)


@shown_by({ExportType.INFO, ExportType.LOCATION})
def erasing_leaves_information(patch: pytest.MonkeyPatch) -> None:
    """What an erased device told of itself is there still."""
    rewrite = Upkeep._rewrite  # noqa: SLF001

    def leaving(self: Upkeep, app_id: str, kinds: Any, **named: Any) -> Any:
        if len(kinds) == len(Kind):  # as only erasing asks for
            kinds = [kind for kind in kinds if kind not in CONTENT_KINDS]
        return rewrite(self, app_id, kinds, **named)

    patch.setattr(Upkeep, "_rewrite", leaving)


@shown_by(_HISTORY)
def records_get_the_information_of_their_device(patch: pytest.MonkeyPatch) -> None:
    """A record is joined with some information of its device, not with its own."""
    with_contents = part_writer.with_contents

    def of_the_device(*given: Any) -> pl.LazyFrame:
        *others, of_part = given
        frame = of_part.collect()
        same = frame.with_columns(pl.col("info_id").max().over("device_id"))
        joined = with_contents(*others, same.lazy()).collect()
        return joined.with_columns(frame["info_id"]).lazy()

    patch.setattr(part_writer, "with_contents", of_the_device)


@shown_by({ExportType.DEVICE})
def times_of_devices_are_milliseconds_everywhere(patch: pytest.MonkeyPatch) -> None:
    """Formats beside JsonBlob write the times of the contract of 2014."""
    shape_of = requests.shape_of

    def in_milliseconds(*given: Any, **named: Any) -> Any:
        return shape_of(*given, **(named | {"epoch_times": True}))

    patch.setattr(requests, "shape_of", in_milliseconds)


@shown_by({ExportType.JOB})
def every_report_of_a_job_is_a_row(patch: pytest.MonkeyPatch) -> None:
    """A job that is told at its start and again at its end is there twice until it is compacted."""
    fold = rows.fold

    def not_jobs(kind: Kind, changes: pl.LazyFrame, **named: Any) -> pl.LazyFrame:
        return changes if kind is Kind.JOB else fold(kind, changes, **named)

    patch.setattr(rows, "fold", not_jobs)


@shown_by({ExportType.JOB})
def a_job_forgets_what_a_later_report_leaves_out(patch: pytest.MonkeyPatch) -> None:
    """Extras, user and information are those of the last report, even if it has none."""
    patch.setitem(folds._AGGREGATES, Kind.JOB, _spans_only)  # noqa: SLF001


def _spans_only(columns: list[str]) -> list[pl.Expr]:
    return [folds._span_column(name) for name in columns]  # noqa: SLF001


@shown_by({ExportType.SESSION, ExportType.JOB})
def what_lasts_begins_anew_each_day(patch: pytest.MonkeyPatch) -> None:
    """A session that is active on several days is several rows."""
    place_spans = flush.place_spans
    patch.setattr(flush, "place_spans", lambda folded, keys, _: place_spans(folded, keys, {}))


@shown_by(_PLAIN)
def messages_have_the_record_ids_of_their_batch(patch: pytest.MonkeyPatch) -> None:
    """The id depends on the messages beside it, so that a repeat of some changes it."""
    record_ids = record_tables._record_ids  # noqa: SLF001

    def of_batches(kind: Kind, gathered: Any, owners: pl.Series, places: pl.Series) -> pl.Series:
        changed = [_WithoutIds(batch.device_id) for batch in gathered.batches]
        return record_ids(kind, replace(gathered, batches=changed), owners, places)

    patch.setattr(record_tables, "_record_ids", of_batches)


@dataclass(frozen=True, slots=True)
class _WithoutIds:
    device_id: str
    record_ids: None = None


@shown_by({ExportType.SESSION, ExportType.JOB})
def upkeep_gathers_files_without_a_fold(patch: pytest.MonkeyPatch) -> None:
    """A file that upkeep made holds several rows of one job, which exports take for folded."""
    patch.setattr(upkeep, "_folded", lambda _, rows: rows)


@shown_by({ExportType.SESSION, ExportType.JOB})
def what_grows_gets_another_record_id(patch: pytest.MonkeyPatch) -> None:
    """The id of a session depends on the flush that last told of it."""
    with_record_ids = flush.with_record_ids

    def of_the_flush(kind: Kind, rows: pl.DataFrame, **named: Any) -> pl.DataFrame:
        made = with_record_ids(kind, rows, **named)
        ids = [derive_guid(*row) for row in made.select("record_id", "batch_id").iter_rows()]
        return made.with_columns(pl.Series("record_id", ids))

    patch.setattr(flush, "with_record_ids", of_the_flush)


@shown_by({ExportType.SESSION, ExportType.JOB})
def what_grows_was_received_first(patch: pytest.MonkeyPatch) -> None:
    """A session that went on is not in the range of its latest receipt."""
    span_column = folds._span_column  # noqa: SLF001

    def first(name: str) -> pl.Expr:
        return pl.col(name).min() if name == "received_at" else span_column(name)

    patch.setattr(folds, "_span_column", first)


@shown_by(_ALL)
def small_skews_are_corrected(patch: pytest.MonkeyPatch) -> None:
    """The time that a request takes is taken for an error of the clock."""
    patch.setattr(payload, "clock_shift", lambda sent_at, received_at: received_at - sent_at)


@shown_by({*_PLAIN, ExportType.JOB})
def the_time_of_the_device_is_lost(patch: pytest.MonkeyPatch) -> None:
    """What a device's clock said is known only where it was right."""
    for module in (records, record_columns):
        patch.setattr(module, "other_time", lambda *_: None)


@shown_by(_ALL)
def an_end_in_the_future_hides_a_later_start(patch: pytest.MonkeyPatch) -> None:
    """Times are compared after both were capped at the receipt."""

    def end(self: Any, text: str | None, device_start: int) -> int | None:
        if text is None:
            return None
        kept = self.correct_time(parse_instant(text, "end"), "end")
        if kept < self.correct_time(device_start, "timestamp"):
            raise RefusedRecordError("end_before_start", "end must not be before timestamp.")
        return int(kept)

    patch.setattr(records.RecordReader, "correct_end", end)


@shown_by(ExportType)
def no_rows_are_no_part(patch: pytest.MonkeyPatch) -> None:
    """A result without rows delivers nothing but a manifest."""
    make_plan = steps.make_plan

    def filled_only(*given: Any, **named: Any) -> Plan:
        made = make_plan(*given, **named)
        parts = tuple(part for part in made.parts if part.rows)
        return replace(made, parts=parts)

    for module in (steps, freeze):
        patch.setattr(module, "make_plan", filled_only)
