"""Answers those who watch over the server."""

import structlog
from fastapi import APIRouter
from starlette.responses import Response

from engagement import operations
from engagement.server.dependencies import InContext
from engagement.server.errors import Problem
from engagement.server.schemas import ApiError

router = APIRouter(tags=["Health"])
_log = structlog.get_logger()


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": ApiError, "description": "Not now."}})
def readyz(context: InContext) -> dict[str, str]:
    """Whether the state database answers, so that requests can be served."""
    try:
        operations.count_exports(context.runtime)
    except Exception as error:
        _log.exception("not_ready")
        raise Problem(503, "NotReady", "The state database does not answer.") from error
    return {"status": "ready"}


@router.get("/metrics", response_class=Response)
def metrics(context: InContext) -> Response:
    """The server's counters, in the text format that Prometheus reads."""
    return Response(context.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
