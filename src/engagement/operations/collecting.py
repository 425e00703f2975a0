"""The operations that take in what devices post."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from engagement.collect.bodies import plain_beginning, plain_body
from engagement.collect.inbox import inbox_row, submission_of
from engagement.collect.limits import guid
from engagement.collect.mentions import list_strings
from engagement.collect.payload import Batch, Refusal, decode_batch
from engagement.collect.protocols.segment.bodies import WRITE_KEY_BYTES_MAX
from engagement.collect.protocols.segment.bodies import find_write_keys as find_keys_in
from engagement.collect.protocols.segment.messages import Messages, read_messages
from engagement.collect.protocols.segment.outcomes import RefusedMessage
from engagement.collect.refused import (
    make_refused_message_records,
    make_refused_records,
    make_unreadable_record,
)
from engagement.exceptions import BadInputError
from engagement.model.records import Kind
from engagement.model.refused import RefusedRecord, SenderProtocol
from engagement.runtime.opening import Runtime
from engagement.store.queries.inbox import AcceptedContent, Submission

ERASED_CODE = "erased_device"
ERASED_MESSAGE = "The device was erased lately, so that nothing of it is taken in for some time."
NAMES_BYTES_MAX = 64 * 1024
NAMES_MAX = 1_000
"""Texts of a refused body that are looked at for the name of a device, and where they stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What became of a body, which must not be answered before it is durable."""

    durable: Future[int]
    """Done when all that is kept of the body is on disk."""
    accepted: int = 0
    """Logs that are kept; they count once, however often they come."""
    kinds: Mapping[Kind, int] = field(default_factory=dict)
    """Rows that are kept, by what they tell."""
    refused: Sequence[Refusal | RefusedMessage] = ()
    """Logs that are not, each with its reason; they are kept aside."""
    unreadable: BadInputError | None = None
    """Why nothing of the body can be accepted; it is kept aside whole."""
    repaired: int = 0
    """Values that were altered, or left out, so that the rest could be kept."""
    trailing: int = 0
    """1 if there were bytes behind the end of the compressed body, which were left out."""
    size: int = 0
    """Bytes of the body when it is plain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxState:
    """What was taken in and is not in the lake."""

    logs_by_app: Mapping[str, int]
    """Logs that wait to go there, by their apps' ids."""
    lag: timedelta
    """How long the oldest of them has waited."""
    refused: int
    """Refused records that are kept aside."""
    refused_crowded_out: int
    """Those that made room for later ones of their app, ever."""
    transactions: int
    """Transactions in which requests were accepted since the start."""

    @property
    def logs(self) -> int:
        """Logs that wait to go there, of all apps."""
        return sum(self.logs_by_app.values())


def inbox_state(runtime: Runtime) -> InboxState:
    """What waits now."""
    waiting = runtime.inbox.measure_waiting()
    oldest = min((found.oldest_at for found in waiting.values()), default=None)
    refused = runtime.refused.read_totals()
    return InboxState(
        logs_by_app={app_id: found.records for app_id, found in waiting.items()},
        lag=timedelta(0) if oldest is None else runtime.clock() - oldest,
        refused=refused.records,
        refused_crowded_out=refused.crowded_out,
        transactions=runtime.group_commit.transactions,
    )


def is_body_within(body: bytes, bytes_max: int) -> bool:
    """Whether a body has at most so many bytes when it is plain; it is expanded no further."""
    return len(plain_beginning(body, bytes_max + 1)) <= bytes_max


def find_write_keys(body: bytes) -> tuple[str, ...]:
    """Texts of a body of tracking messages that may be its app's key.

    Only its first plain bytes are looked through, so that it costs little whatever was sent.
    """
    return find_keys_in(plain_beginning(body, WRITE_KEY_BYTES_MAX))


def collect_batch(
    runtime: Runtime, app_id: str, body: bytes, *, content_encoding: str | None
) -> Collected:
    """Take in a native batch that a device has just posted.

    What is refused is kept aside, where the oldest that the app has there make room for it.

    Raises:
        OverloadedError: Too much waits to be stored; nothing of it is kept.
    """
    received_at = runtime.clock()
    text = body
    trailing: list[int] = []
    try:
        text = plain_body(body, content_encoding, lambda: trailing.append(1))
        batch = decode_batch(
            text,
            received_at=received_at,
            live=True,
            age_days_max=runtime.settings.record_age_days_max,
        )
    except BadInputError as error:
        return _kept_aside(runtime, app_id, text, error, SenderProtocol.NATIVE)
    if runtime.erased.is_erased(app_id, batch.device_id):
        done: Future[int] = Future()
        done.set_result(1)
        erased = _refuse_erased(batch.accepted + len(batch.refused))
        return Collected(durable=done, refused=erased, size=len(text))
    refused: Sequence[RefusedRecord] = ()
    if batch.refused:
        refused = make_refused_records(text, batch, app_id=app_id, received_at=received_at)
    submission = submission_of(app_id, batch, received_at=received_at, refused=refused)
    return Collected(
        durable=runtime.group_commit.accept(submission, size=len(text)),
        accepted=batch.accepted,
        kinds=count_rows(batch),
        refused=batch.refused,
        trailing=len(trailing),
        size=len(text),
    )


def count_rows(batch: Batch) -> dict[Kind, int]:
    """How many rows a batch has of each kind."""
    return {kind: len(columns[0]) for kind, columns in batch.columns.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A body of tracking messages that was read, but not taken in: its key may be inside."""

    body: bytes
    """The body, plain where it could be expanded."""
    received_at: datetime
    """When it came."""
    messages: Messages | BadInputError
    """What it holds, or why it cannot be read."""
    trailing: int = 0
    """1 if there were bytes behind the end of the compressed body, which were left out."""

    @property
    def write_key(self) -> str | None:
        """The app's key, if the body holds it."""
        return None if isinstance(self.messages, BadInputError) else self.messages.write_key


def read_posted(
    runtime: Runtime, body: bytes, *, content_encoding: str | None, message_type: str | None
) -> Posted:
    """What a body of tracking messages holds; nothing is kept yet.

    Args:
        runtime: The service.
        body: As it was sent.
        content_encoding: How it is compressed, if its sender says so.
        message_type: What a message alone is, if its path says so.
    """
    received_at = runtime.clock()
    messages: Messages | BadInputError
    trailing: list[int] = []
    try:
        body = plain_body(body, content_encoding, lambda: trailing.append(1))
        messages = read_messages(
            body,
            received_at=received_at,
            message_type=message_type,
            age_days_max=runtime.settings.record_age_days_max,
        )
    except BadInputError as error:
        messages = error
    return Posted(body=body, received_at=received_at, messages=messages, trailing=len(trailing))


def collect_messages(runtime: Runtime, app_id: str, posted: Posted) -> Collected:
    """Take in the tracking messages of a body, each once.

    Senders never hear of a refusal; what is refused is kept aside.

    Raises:
        OverloadedError: Too much waits to be stored; nothing of it is kept.
    """
    messages = posted.messages
    refused = [] if isinstance(messages, BadInputError) else messages.list_refused()
    if isinstance(messages, BadInputError):
        return _kept_aside(runtime, app_id, posted.body, messages, SenderProtocol.TRACKING)

    kinds: Counter[Kind] = Counter()

    def keep_unknown(known: frozenset[str]) -> AcceptedContent:
        before = {id_ for key, id_ in keys.items() if key in known}
        batches = [batch for batch in messages.batches(before) if not is_erased(batch.device_id)]
        if not known:
            for batch in batches:
                kinds.update(count_rows(batch))
        refused = [
            message
            for message in messages.list_refused(before)
            if not _names_erased(runtime, app_id, message.body)
        ]
        return AcceptedContent(
            rows=[inbox_row(app_id, batch, received_at=posted.received_at) for batch in batches],
            refused=make_refused_message_records(
                refused, app_id=app_id, received_at=posted.received_at
            ),
        )

    is_erased = partial(runtime.erased.is_erased, app_id)
    # Batches are known by texts of their senders too, which must not be taken for messages.
    keys = {f"message {message_id}": message_id for message_id in messages.ids}
    all_new = keep_unknown(
        frozenset()
    )  # here, since most are new and the others wait for the transaction
    submission = Submission(
        app_id=app_id,
        received_at=posted.received_at,
        keys=tuple(keys),
        content=lambda known: keep_unknown(known) if known else all_new,
    )
    senders = messages.batches() if runtime.erased.knows_any() else ()
    of_erased = sum(batch.accepted for batch in senders if is_erased(batch.device_id))
    return Collected(
        durable=runtime.group_commit.accept(submission, size=len(posted.body)),
        accepted=len(keys) - len(refused) - of_erased,
        kinds=kinds,
        refused=[*refused, *_refuse_erased(of_erased)],
        repaired=messages.repaired,
        trailing=posted.trailing,
        size=len(posted.body),
    )


def _kept_aside(
    runtime: Runtime, app_id: str, body: bytes, error: BadInputError, protocol: SenderProtocol
) -> Collected:
    """A whole body that cannot be read, once, however often it comes."""
    received_at = runtime.clock()
    record = make_unreadable_record(
        body, error, app_id=app_id, protocol=protocol, received_at=received_at
    )
    is_kept = not _names_erased(runtime, app_id, body)
    keep_unknown = AcceptedContent(refused=(record,) if is_kept else ())
    submission = Submission(
        app_id=app_id,
        received_at=received_at,
        keys=(f"body {hashlib.sha256(body).hexdigest()}",),
        content=lambda _: keep_unknown,
    )
    durable = runtime.group_commit.accept(submission, size=len(body))
    return Collected(durable=durable, unreadable=error, size=len(body))


def _refuse_erased(count: int) -> list[Refusal]:
    """The refusal of each log of a device that was erased, none of which is kept aside."""
    return [
        Refusal(index=index, code=ERASED_CODE, message=ERASED_MESSAGE) for index in range(count)
    ]


def _names_erased(runtime: Runtime, app_id: str, body: bytes) -> bool:
    """Whether what is refused names a device that was erased, and so must not be kept aside."""
    return runtime.erased.knows_any() and any(
        runtime.erased.is_erased(app_id, guid(text, "device"))
        for text in islice(list_strings(body[:NAMES_BYTES_MAX]), NAMES_MAX)
    )
