"""Answers those who watch over the server."""

from datetime import timedelta

import structlog
from fastapi import APIRouter
from starlette.responses import Response

from engagement import operations
from engagement.exceptions import WANTED_ENDS
from engagement.runtime.home import RunnerHealth
from engagement.server.dependencies import InContext
from engagement.server.errors import Problem
from engagement.server.schemas import ApiError
from engagement.settings import Settings

router = APIRouter(tags=["Health"])
_log = structlog.get_logger()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": ApiError, "description": "Not now."}})
def readyz(context: InContext) -> dict[str, object]:
    """Whether the state database answers, so that requests can be served, and how the worker is.

    While a worker is started anew requests are served; without one for longer the answer is 503. A
    clock that has jumped, and tables that are damaged, are named; they stop nothing else.
    """
    try:
        damaged = operations.list_damaged_tables(context.runtime)
        unconfirmed = operations.read_unconfirmed_clock(context.runtime)
    except WANTED_ENDS:
        raise
    except BaseException as error:
        _log.exception("not_ready")
        raise Problem(503, "NotReady", "The state database does not answer.") from error
    status: dict[str, object] = {"status": "ready"}
    if (runner := context.runtime.runner) is not None:
        status["worker"] = _worker_state(runner.health(), context.runtime.settings)
    if unconfirmed >= operations.CLOCK_MOVED_MIN:
        seconds = unconfirmed // timedelta(seconds=1)
        status["clock"] = f"moved by {seconds} seconds that were not seen running"
    if damaged:
        status["damagedTables"] = [
            {"app": table.app_id, "kind": table.kind.value} for table in damaged
        ]
    return status


def _worker_state(health: RunnerHealth, settings: Settings) -> str:
    """How the worker is.

    Raises:
        Problem: There was none for too long.
    """
    if health.silent_seconds > settings.worker_silence_seconds:
        raise Problem(
            503, "NotReady", f"The worker has been silent for {health.silent_seconds:.0f} s."
        )
    return "running" if health.is_alive else "starting"


@router.get("/metrics", response_class=Response)
def metrics(context: InContext) -> Response:
    """The server's counters, in the text format that Prometheus reads."""
    return Response(context.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
