"""This module holds the operations that take in what devices post."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta

from engagement.collect.bodies import plain_body
from engagement.collect.inbox import offer_of
from engagement.collect.payload import Refusal, decode_batch
from engagement.collect.refused import refused_of, unreadable
from engagement.exceptions import BadInputError, NotAuthenticatedError
from engagement.model.apps import App
from engagement.model.refused import Protocol
from engagement.runtime import Runtime
from engagement.store.queries.inbox import Kept, Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What became of a body, which must not be answered before it is durable."""

    durable: Future[int]
    """Done when all that is kept of the body is on disk."""
    accepted: int = 0
    """Logs that are kept; they count once, however often they come."""
    refused: Sequence[Refusal] = ()
    """Logs that are not, each with its reason; they are kept aside."""
    unreadable: BadInputError | None = None
    """Why nothing of the body can be accepted; it is kept aside whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxState:
    """What was taken in and is not in the lake."""

    logs: int
    """Logs that wait to go there."""
    lag: timedelta
    """How long the oldest of them has waited."""
    refused: int
    """Refused records that are kept aside."""


def inbox_state(runtime: Runtime) -> InboxState:
    """What waits now."""
    oldest = runtime.inbox.oldest_at()
    return InboxState(
        logs=runtime.inbox.depth(),
        lag=timedelta(0) if oldest is None else runtime.clock() - oldest,
        refused=runtime.refused.total(),
    )


def app_of_key(runtime: Runtime, key: str) -> App:
    """The app whose devices write with this key.

    Raises:
        NotAuthenticatedError: There is none.
    """
    app = runtime.apps.of_key(hashlib.sha256(key.encode("utf-8", "replace")).hexdigest())
    if app is None:
        raise NotAuthenticatedError("The app key is not one of an app.")
    return app


def collect_batch(
    runtime: Runtime, app_id: str, body: bytes, *, content_encoding: str | None
) -> Collected:
    """Take in a native batch that a device has just posted.

    Raises:
        OverloadedError: Too much waits to be stored; nothing of it is kept.
    """
    received_at = runtime.clock()
    text = body
    try:
        text = plain_body(body, content_encoding)
        batch = decode_batch(text, received_at=received_at, live=True)
    except BadInputError as error:
        return _kept_aside(runtime, app_id, text, error, Protocol.NATIVE)
    refused = refused_of(text, batch, app_id=app_id, received_at=received_at)
    offer = offer_of(app_id, batch, received_at=received_at, refused=refused)
    return Collected(
        durable=runtime.group_commit.accept(offer, size=len(text)),
        accepted=batch.accepted,
        refused=batch.refused,
    )


def _kept_aside(
    runtime: Runtime, app_id: str, body: bytes, error: BadInputError, protocol: Protocol
) -> Collected:
    """A whole body that cannot be read, once, however often it comes."""
    received_at = runtime.clock()
    record = unreadable(body, error, app_id=app_id, protocol=protocol, received_at=received_at)
    kept = Kept(refused=(record,))
    offer = Offer(
        app_id=app_id,
        received_at=received_at,
        keys=(f"body {hashlib.sha256(body).hexdigest()}",),
        kept=lambda _: kept,
    )
    durable = runtime.group_commit.accept(offer, size=len(body))
    return Collected(durable=durable, unreadable=error)
