"""The operations that bring batches in from files."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from engagement.collect import reading
from engagement.collect.inbox import accept
from engagement.collect.payload import Batch, decode_batch
from engagement.exceptions import CorruptInputError
from engagement.operations.collecting import ERASED_CODE, ERASED_MESSAGE
from engagement.runtime.opening import Runtime
from engagement.sample.population import generate

IMPORT_BATCHES_PER_TRANSACTION = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRefusal:
    """A log, or a whole batch, that an import did not accept."""

    line: int
    """Line of the input, from 1."""
    index: int | None
    """Place of the log in its batch, from 0; None if the batch was refused."""
    code: str
    """Why, as a code."""
    message: str
    """Why, in words."""


@dataclass(slots=True, kw_only=True)
class ImportSummary:
    """What an import did so far."""

    batches: int = 0
    """Batches that were new."""
    duplicates: int = 0
    """Batches that were accepted before."""
    accepted: int = 0
    """Logs accepted."""
    refused: dict[str, int] = field(default_factory=dict)
    """Logs and batches refused, by code."""
    bytes: int = 0
    """Bytes of input read, decompressed."""


def read_lines(stream: BinaryIO, on_trailing: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """The lines of plain, gzip or zstd input, with bounded memory.

    Args:
        stream: The input.
        on_trailing: Called if there are bytes behind the end of compressed data, which are left
            out.

    Raises:
        CorruptInputError: The input cannot be decompressed, or a line is too long; says where.
    """
    return reading.read_lines(stream, on_trailing)


def generate_sample(*, devices: int, days: int, seed: int) -> Iterator[bytes]:
    """Realistic batches, one a line, the same for the same arguments on every machine."""
    return generate(devices=devices, days=days, seed=seed)


def import_batches(
    runtime: Runtime,
    *,
    app_id: str,
    lines: Iterable[bytes],
    on_refused: Callable[[ImportRefusal], None] = lambda _: None,
    on_progress: Callable[[ImportSummary], None] = lambda _: None,
) -> ImportSummary:
    """Return only when every accepted log is in the lake, each once.

    Device clocks are taken as they are, since a file may be read long after it was written.
    An import that was interrupted can be repeated: batches that were accepted are known.

    Args:
        runtime: The service, with workers.
        app_id: The app that the batches belong to.
        lines: One batch each, as JSON.
        on_refused: Told each log and each batch that is refused.
        on_progress: Told the summary so far, after each transaction.

    Raises:
        UnknownAppError: No app has this id.
        CorruptInputError: The input cannot be decompressed.
    """
    runtime.apps.get(app_id)
    summary = ImportSummary()
    waiting: list[Batch] = []
    unflushed = 0
    for number, line in enumerate(lines, start=1):
        summary.bytes += len(line)
        batch = _decoded(runtime, app_id, line, number, summary, on_refused)
        if batch is not None:
            waiting.append(batch)
        if len(waiting) == IMPORT_BATCHES_PER_TRANSACTION:
            unflushed += _accept(runtime, app_id, waiting, summary)
            if unflushed >= runtime.settings.flush_logs_max:
                runtime.flush(app_id)
                unflushed = 0
            on_progress(summary)
    _accept(runtime, app_id, waiting, summary)
    runtime.flush(app_id)
    on_progress(summary)
    return summary


def _decoded(  # noqa: PLR0913, PLR0917 - a line, where it stands, and who is told of it
    runtime: Runtime,
    app_id: str,
    line: bytes,
    number: int,
    summary: ImportSummary,
    on_refused: Callable[[ImportRefusal], None],
) -> Batch | None:
    batch = None
    try:
        batch = decode_batch(line, received_at=runtime.clock(), live=False)
        refusals = [
            ImportRefusal(
                line=number, index=refused.index, code=refused.code, message=refused.message
            )
            for refused in batch.refused
        ]
        if runtime.erased.is_erased(app_id, batch.device_id):
            batch = None
            refusals = [
                ImportRefusal(line=number, index=None, code=ERASED_CODE, message=ERASED_MESSAGE)
            ]
    except CorruptInputError as error:
        refusals = [ImportRefusal(line=number, index=None, code=error.code, message=str(error))]
    for refusal in refusals:
        summary.refused[refusal.code] = summary.refused.get(refusal.code, 0) + 1
        on_refused(refusal)
    return batch


def _accept(runtime: Runtime, app_id: str, waiting: list[Batch], summary: ImportSummary) -> int:
    """Accept what waits in one transaction; how many logs were new."""
    before = summary.accepted
    are_new = accept(runtime.inbox, app_id, waiting, received_at=runtime.clock())
    for batch, is_new in zip(waiting, are_new, strict=True):
        summary.batches += is_new
        summary.duplicates += not is_new
        summary.accepted += batch.accepted if is_new else 0
    waiting.clear()
    return summary.accepted - before
