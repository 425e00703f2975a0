"""Replays a history on the product and on the model, and compares every export."""

import json
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

from oracle_histories import History, Operation
from oracle_model import Batch, Model, Record, read_batch
from oracle_product import Product
from oracle_records import Request, expected_records
from oracle_shapes import as_text, is_refused, written
from oracle_tracking import read_messages

from engagement.exceptions import InvalidExportError
from engagement.model.exports import ExportType
from engagement.operations.upkeep import ERASED_DAYS
from engagement.settings import Settings

SETTINGS = Settings()
TIMEOUT = timedelta(seconds=SETTINGS.session_timeout_seconds)
TRIES_MAX = 200
SHOWN_MAX = 4
REASON_CHARACTERS_MAX = 4_000


class DifferenceError(AssertionError):
    """The product and the model disagree."""

    exported = ""
    """The type of the export that differs; empty if the history ended elsewhere."""


def replay(history: History, product: Product) -> None:
    """Return only if the product does all that the model says.

    Raises:
        DifferenceError: It does not; says at which operation.
    """
    product.begin()
    model = Model()
    for place, operation in enumerate(history):
        try:
            _apply(operation, model, product)
        except Exception as error:
            difference = DifferenceError(
                f"operation {place}: {type(error).__name__} {error}"[:REASON_CHARACTERS_MAX]
            )
            if isinstance(error, AssertionError) and operation["do"] == "export":
                difference.exported = operation["request"]["type"]
            raise difference from error


def _apply(operation: Operation, model: Model, product: Product) -> None:
    clock = datetime.fromisoformat(operation["clock"])
    product.set_clock(clock)
    match operation["do"]:
        case "post":
            product.post(operation["body"])
            model.accept(operation["body"]["batchId"], _read(operation["body"], clock, live=True))
        case "import":
            product.take_in_lines(operation["bodies"])
            for body in operation["bodies"]:
                model.accept(body["batchId"], _read(body, clock, live=False))
            model.flush(TIMEOUT)
        case "track":
            product.track(operation["body"])
            for batch in read_messages(operation["body"], model.known, received=clock):
                model.keep(batch)
        case "export":
            model.flush(TIMEOUT)
            compare(operation["request"], model, product)
        case "retain":
            first_kept = date.fromisoformat(operation["first_kept"])
            product.flush()
            model.flush(TIMEOUT)
            if model.can_retain(first_kept):
                product.retain(first_kept)
                model.retain(first_kept)
        case upkeep:
            _upkeep(upkeep, operation, model, product, clock)


def _upkeep(
    name: str, operation: Operation, model: Model, product: Product, clock: datetime
) -> None:
    match name:
        case "flush":
            product.flush()
            model.flush(TIMEOUT)
        case "fold":
            product.fold()
            model.fold(clock - timedelta(days=SETTINGS.fold_days_min))
        case "compact":
            product.compact()
        case "vacuum":
            product.vacuum()
            model.vacuum(
                clock - timedelta(days=SETTINGS.batch_dedup_days),
                clock - timedelta(days=ERASED_DAYS),
            )
        case "erase":
            product.erase(operation["device"])
            model.flush(TIMEOUT)
            model.erase(operation["device"], clock)
        case _:
            raise NotImplementedError(name)


def _read(body: Record, clock: datetime, *, live: bool) -> Batch:
    return read_batch(body, received=clock, live=live)


def compare(request: Request, model: Model, product: Product) -> None:
    """Return only if an export holds what the model says, each record as often.

    Raises:
        DifferenceError: Not so; shows some of what is missing and what is too much.
    """
    request = dict(request)
    if is_refused(request):
        _check_refusal(request, product)
        return
    if request.get("as_of") and model.horizon is not None:
        as_of = max(datetime.fromisoformat(request["as_of"]), model.horizon)
        request["as_of"] = as_of.isoformat()
    expected = expected_records(model, request)
    found = product.exported(request)
    if ExportType(request["type"]) in {ExportType.INFO, ExportType.LOCATION}:
        expected, found = _certain(expected, found, request)
    wanted = Counter(as_text(written(record, request)) for record in expected)
    got = Counter(as_text(record) for record in found)
    if wanted != got:
        missing, surplus = wanted - got, got - wanted
        raise DifferenceError(
            f"{json.dumps(request)}\n"
            f"missing {missing.total()} of {wanted.total()}: {_some(missing)}\n"
            f"surplus {surplus.total()} of {got.total()}: {_some(surplus)}"
        )


def _check_refusal(request: Request, product: Product) -> None:
    try:
        product.exported(request)
    except InvalidExportError:
        return
    raise DifferenceError(f"{json.dumps(request)}\nmust be refused")


def _certain(
    expected: list[Record], found: list[Record], request: Request
) -> tuple[list[Record], list[Record]]:
    """Both without what a reduction leaves open: when a content came first, if it is there."""
    own_id = "infoId" if request["type"] == ExportType.INFO else "locationId"
    by_id = {record[own_id]: record for record in expected}
    there = {record.get(own_id) for record in found}
    certain = [record for record in expected if not record["maybe"] or record[own_id] in there]
    for record in found:
        known = by_id.get(record.get(own_id))
        for receipt in known["receipts"] if known and "receivedAt" in record else ():
            if written({"receivedAt": receipt}, request)["receivedAt"] == record["receivedAt"]:
                record["receivedAt"] = written(known, request)["receivedAt"]
    return certain, found


def _some(records: Counter[str]) -> str:
    return "".join(f"\n  {record}" for record in sorted(records)[:SHOWN_MAX])


def shrunk(history: History, product: Product, *, reason: str) -> tuple[History, str]:
    """A shorter history on which the product still differs, and how it does.

    Args:
        history: One on which it differs.
        product: The product.
        reason: How it differs there.
    """
    tries = 0
    changed = True
    while changed and tries < TRIES_MAX:
        changed = False
        for smaller in _smaller(history):
            tries += 1
            found = difference_of(smaller, product)
            if found is not None:
                history, reason, changed = smaller, str(found), True
                break
            if tries == TRIES_MAX:
                break
    return history, reason


def difference_of(history: History, product: Product) -> DifferenceError | None:
    """How the product differs on a history, if it does."""
    try:
        replay(history, product)
    except DifferenceError as difference:
        return difference
    return None


def _smaller(history: History) -> list[History]:
    """The history with something left out: many operations, one, one of several logs, a field."""
    cuts: list[History] = []
    size = len(history) // 2
    while size:
        cuts += [history[:at] + history[at + size :] for at in range(0, len(history), size)]
        size //= 2
    for place, operation in enumerate(history):
        cuts += [
            [*history[:place], smaller, *history[place + 1 :]] for smaller in _parts(operation)
        ]
    return [cut for cut in cuts if any(operation["do"] == "export" for operation in cut)]


def _parts(operation: Operation) -> list[Operation]:
    if operation["do"] == "import":
        bodies = operation["bodies"]
        without = [bodies[:at] + bodies[at + 1 :] for at in range(len(bodies))]
        inside = [
            [*bodies[:at], smaller["body"], *bodies[at + 1 :]]
            for at, body in enumerate(bodies)
            for smaller in _parts({"do": "post", "body": body})
        ]
        return [operation | {"bodies": kept} for kept in (*without, *inside) if kept]
    if operation["do"] != "post":
        return []
    body = operation["body"]
    logs = body["logs"]
    fewer: list[dict[str, Any]] = [
        body | {"logs": logs[:at] + logs[at + 1 :]} for at in range(len(logs)) if len(logs) > 1
    ]
    fewer += [
        {name: value for name, value in body.items() if name != left_out}
        for left_out in ("userId", "info", "location")
        if left_out in body
    ]
    return [operation | {"body": kept} for kept in fewer]
