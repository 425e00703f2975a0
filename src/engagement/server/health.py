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
async def readyz(context: InContext) -> dict[str, object]:
    """Whether the state database answers, so that requests can be served, and how the worker is.

    While a worker is started anew requests are served; without one for longer the answer is 503. A
    clock that has jumped, and tables that are damaged, are named; they stop nothing else. The
    database was asked within the last second.
    """
    try:
        state = await context.state_look.wait()
    except WANTED_ENDS:
        raise
    except BaseException as error:
        _log.exception("not_ready")
        raise Problem(503, "NotReady", "The state database does not answer.") from error
    status: dict[str, object] = {"status": "ready"}
    if (runner := context.runtime.runner) is not None:
        status["worker"] = _worker_state(runner.health(), context.runtime.settings)
    if state.clock_unconfirmed >= operations.CLOCK_MOVED_MIN:
        seconds = state.clock_unconfirmed // timedelta(seconds=1)
        status["clock"] = f"moved by {seconds} seconds that were not seen running"
    if state.damaged:
        status["damagedTables"] = [{"app": app_id, "kind": kind} for app_id, kind in state.damaged]
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
async def metrics(context: InContext) -> Response:
    """The server's counters, in the text format that Prometheus reads; a second old at most."""
    content = await context.metrics.page.wait()
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")
