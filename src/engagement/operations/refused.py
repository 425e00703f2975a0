"""The operations on refused records: look, count, replay, drop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from engagement.collect.inbox import accept
from engagement.collect.payload import Batch, decode_batch
from engagement.collect.protocols.segment.messages import read_messages
from engagement.collect.refused import make_refused_message_records, make_refused_records
from engagement.exceptions import CorruptInputError
from engagement.model.audit import Action
from engagement.model.refused import (
    RefusedCount,
    RefusedEntry,
    RefusedFilter,
    RefusedRecord,
    SenderProtocol,
)
from engagement.operations.audit import record_change
from engagement.runtime.opening import Runtime
from engagement.store.queries.refused import Replay

REPLAYED_PER_TRANSACTION = 8
"""Few, since the body of each may have ten mebibytes."""

Decoded = tuple[list[Batch], list[RefusedRecord]]
"""The batches that a body holds, and a record for each part of it that is refused."""


@dataclass(slots=True, kw_only=True)
class ReplaySummary:
    """What a replay did so far."""

    tried: int = 0
    """Records that were tried."""
    replayed: int = 0
    """Those of them that were accepted, at least in part."""
    refused: dict[str, int] = field(default_factory=dict)
    """Records that are refused still, and parts of those that were accepted in part, by code."""


def list_refused(
    runtime: Runtime, chosen: RefusedFilter, *, limit: int, before: int | None = None
) -> list[RefusedEntry]:
    """Some refused records without their bodies, newest first, from before an id on."""
    return runtime.refused.list_page(chosen, limit=limit, before=before)


def count_refused(runtime: Runtime, chosen: RefusedFilter) -> list[RefusedCount]:
    """How many records were refused, by app and code, the most first."""
    return runtime.refused.count(chosen)


def get_refused(runtime: Runtime, refused_id: int) -> RefusedRecord:
    """The refused record with this id.

    Raises:
        UnknownRefusedRecordError: There is none.
    """
    return runtime.refused.get(refused_id)


def drop_refused(runtime: Runtime, chosen: RefusedFilter) -> int:
    """Forget refused records for good; how many there were."""
    _record(runtime, Action.REFUSED_DROP, chosen)
    return runtime.refused.drop(chosen)


def replay_refused(
    runtime: Runtime,
    chosen: RefusedFilter,
    on_progress: Callable[[ReplaySummary], None] = lambda _: None,
) -> ReplaySummary:
    """Try each record again, as if it had just come when it first did.

    What is accepted is durable in the inbox before it leaves the refused records, and its batch
    id is known from then on, so that an interruption loses nothing and doubles nothing. What is
    refused again stays, with the reason that holds now. Records that come meanwhile are not tried.

    Args:
        runtime: The service; it needs no workers, and may run beside a server.
        chosen: The records to try.
        on_progress: Told the summary so far, after each transaction.
    """
    _record(runtime, Action.REFUSED_REPLAY, chosen)
    summary = ReplaySummary()
    newest, last = runtime.refused.newest_id(), 0
    while page := runtime.refused.take_page(chosen, limit=REPLAYED_PER_TRANSACTION, after=last):
        records = [record for record in page if record.refused_id <= newest]
        if not records:
            break
        _replay(runtime, records, summary)
        last = page[-1].refused_id
        on_progress(summary)
    return summary


def _record(runtime: Runtime, action: Action, chosen: RefusedFilter) -> None:
    """Keep who asks for something to be done with refused records."""
    code = "any code" if chosen.code is None else chosen.code
    count = len(chosen.refused_ids) or "all"
    subject = f"{count} refused records of {code}"
    record_change(runtime, action, app_id=chosen.app_id, subject=subject)


def _replay(runtime: Runtime, records: Sequence[RefusedRecord], summary: ReplaySummary) -> None:
    accepted: dict[str, list[Batch]] = {}
    gone: list[int] = []
    kept: list[RefusedRecord] = []
    left: list[RefusedRecord] = []
    for record in records:
        batches, refused = _decoded(record)
        if refused and not any(batch.accepted for batch in batches):
            kept.append(replace(record, code=refused[0].code, message=refused[0].message))
        else:
            accepted.setdefault(record.app_id, []).extend(batches)
            gone.append(record.refused_id)
            left += refused
    for app_id, batches in accepted.items():
        accept(runtime.inbox, app_id, batches, received_at=runtime.clock())
    runtime.refused.record_replay(Replay(gone=gone, kept=kept, left=left))
    summary.tried += len(records)
    summary.replayed += len(gone)
    for record in (*kept, *left):
        summary.refused[record.code] = summary.refused.get(record.code, 0) + 1


def _decoded(record: RefusedRecord) -> Decoded:
    try:
        return _DECODERS[record.protocol](record)
    except CorruptInputError as error:
        return [], [replace(record, code=error.code, message=str(error))]


def _native(record: RefusedRecord) -> Decoded:
    body, app_id, received_at = record.body, record.app_id, record.received_at
    batch = decode_batch(body, received_at=received_at, live=True)
    return [batch], make_refused_records(body, batch, app_id=app_id, received_at=received_at)


def _tracking(record: RefusedRecord) -> Decoded:
    messages = read_messages(record.body, received_at=record.received_at)
    refused = make_refused_message_records(
        messages.list_refused(), app_id=record.app_id, received_at=record.received_at
    )
    return messages.batches(), refused


_DECODERS: dict[SenderProtocol, Callable[[RefusedRecord], Decoded]] = {
    SenderProtocol.NATIVE: _native,
    SenderProtocol.TRACKING: _tracking,
}
"""How the records of each protocol are read again."""
