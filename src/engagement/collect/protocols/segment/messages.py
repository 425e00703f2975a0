"""Reads bodies of tracking messages, and makes batches of those that are new."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from engagement.collect.payload import Batch
from engagement.collect.protocols.segment.bodies import BrokenMessage, find_messages
from engagement.collect.protocols.segment.outcomes import (
    KeptMessage,
    MessageOutcome,
    MessageSender,
    OutcomeReader,
    RefusedMessage,
)
from engagement.collect.protocols.segment.wire import read_message, text_of
from engagement.collect.records import Row, transpose
from engagement.model.records import UNFOLDED_KINDS, Kind, derive_guid, record_id_prefixes


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """The messages of a body, each either to be kept or refused."""

    write_key: str | None
    """The app's key, if the body holds it."""
    ids: tuple[str, ...]
    """For each message in its order, the id by which it is told from others."""
    repaired: int
    """Values that were altered, or left out, so that the rest could be kept."""
    outcomes: tuple[MessageOutcome, ...]
    """What becomes of each message, in their order; of those with one id, only of the first."""

    def batches(self, known: Collection[str] = ()) -> list[Batch]:
        """One batch for each device and what its messages say of it alike.

        Every message that is not refused and not known is in one of them. The id of a batch
        depends on the ids of its messages alone.

        Args:
            known: Ids of messages that were accepted before and are left out.
        """
        before = frozenset(known)
        groups: defaultdict[MessageSender, list[KeptMessage]] = defaultdict(list)
        for outcome in self.outcomes:
            if isinstance(outcome, KeptMessage) and outcome.message_id not in before:
                groups[outcome.sender].append(outcome)
        return [_batch(sender, group) for sender, group in groups.items()]

    def list_refused(self, known: Collection[str] = ()) -> list[RefusedMessage]:
        """The messages that cannot be kept, in their order.

        Args:
            known: Ids of messages to leave out, as for `batches`.
        """
        before = frozenset(known)
        return [
            outcome
            for outcome in self.outcomes
            if isinstance(outcome, RefusedMessage) and outcome.message_id not in before
        ]


def read_messages(
    body: bytes,
    *,
    received_at: datetime,
    message_type: str | None = None,
    age_days_max: int | None = None,
) -> Messages:
    """Read a body so that each of its messages is either kept or refused with a reason.

    A message is refused only if nothing of it can be kept; else what does not fit is repaired.
    The same body, received at the same time, is read the same way.

    Args:
        body: JSON, not compressed: `{"batch": […]}`, or one message alone.
        received_at: When it came, aware; no time is kept later.
        message_type: What a message alone is if it does not say so, from a path that tells.
        age_days_max: Messages that are older when they come are refused, if given.

    Raises:
        CorruptInputError: It holds no messages, or too many or too much; none can be accepted.
    """
    found = find_messages(body, message_type)
    reader = OutcomeReader(received_at, found.sent_at, age_days_max=age_days_max)
    reader.sanitiser.repaired += found.repaired
    ids: list[str] = []
    outcomes: dict[str, MessageOutcome] = {}
    for index, raw in enumerate(found.messages):
        if isinstance(raw, BrokenMessage):
            refused = reader.refuse_broken(index, raw)
            ids.append(refused.message_id)
            outcomes.setdefault(refused.message_id, refused)
            continue
        message = read_message(raw)
        message_id = reader.message_id(raw, message)
        ids.append(message_id)
        if message_id not in outcomes:
            outcomes[message_id] = reader.outcome(index, message_id, raw, message)
    return Messages(
        write_key=text_of(found.write_key),
        ids=tuple(ids),
        repaired=reader.sanitiser.repaired,
        outcomes=tuple(outcomes.values()),
    )


def _batch(sender: MessageSender, messages: Sequence[KeptMessage]) -> Batch:
    rows: defaultdict[Kind, list[Row]] = defaultdict(list)
    counts: defaultdict[Kind, list[tuple[str, int]]] = defaultdict(list)
    for message in messages:
        for kind, kept in message.rows.items():
            rows[kind] += kept
            counts[kind].append((message.message_id, len(kept)))
    return Batch(
        batch_id=derive_guid("tracking", *(message.message_id for message in messages)),
        device_id=sender.device_id,
        user_id=sender.user_id,
        info=messages[0].info,
        info_id=sender.info_id,
        location=messages[0].location,
        location_id=sender.location_id,
        columns=transpose(rows),
        first_at=min(message.first_at for message in messages),
        last_at=max(message.last_at for message in messages),
        accepted=len(messages),
        refused=(),
        record_ids={
            kind: _record_ids(kind, sender.device_id, of_messages)
            for kind, of_messages in counts.items()
            if kind in UNFOLDED_KINDS
        },
    )


def _record_ids(kind: Kind, device_id: str, counts: Sequence[tuple[str, int]]) -> list[str]:
    """The ids of a kind's rows, given each message and how many of them it became."""
    prefixes = record_id_prefixes(kind, ((device_id, message_id) for message_id, _ in counts))
    places = [f"{place:08}" for place in range(max(count for _, count in counts))]
    return [
        prefix + place
        for prefix, (_, count) in zip(prefixes, counts, strict=True)
        for place in places[:count]
    ]
