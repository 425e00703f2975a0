"""The stream that pages listen to, and the same values for those who may not listen."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from engagement.model.console import ConsoleSession
from engagement.runtime.opening import Runtime
from engagement.server.console.live import TOPICS_MAX, LiveHub, TooManyStreamsError
from engagement.server.console.topics import app_of_topic
from engagement.server.errors import Problem

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Events:
    """Lets a session watch what it may see."""

    def __init__(self, runtime: Runtime, hub: LiveHub) -> None:
        self._runtime = runtime
        self._hub = hub

    async def stream(self, request: Request, session: ConsoleSession | None) -> Response:
        """Return the event stream of the topics in the query; 204 ends a browser's asking."""
        if session is None:
            return Response(status_code=204, headers=STREAM_HEADERS)
        topics = await run_in_threadpool(self._check_topics, request, session)
        try:
            lines = await self._hub.watch(session.session_id, topics)
        except TooManyStreamsError:
            return Response(status_code=503, headers={**STREAM_HEADERS, "Retry-After": "10"})
        return StreamingResponse(lines, media_type="text/event-stream", headers=STREAM_HEADERS)

    async def values(self, request: Request, session: ConsoleSession | None) -> Response:
        """Return what the topics in the query hold now."""
        if session is None:
            return Response(status_code=204, headers=STREAM_HEADERS)
        topics = await run_in_threadpool(self._check_topics, request, session)
        values = await run_in_threadpool(self._hub.read_now, topics)
        return JSONResponse(dict(values), headers=STREAM_HEADERS)

    def _check_topics(self, request: Request, session: ConsoleSession) -> frozenset[str]:
        """Return the topics in the query that this person may see.

        Raises:
            Problem: They are too many.
        """
        named = [topic for topic in request.query_params.get("topics", "").split(",") if topic]
        if len(named) > TOPICS_MAX:
            raise Problem(400, "BadRequest", f"A page may watch {TOPICS_MAX} topics.")
        return frozenset(topic for topic in named if self._may_see(topic, session))

    def _may_see(self, topic: str, session: ConsoleSession) -> bool:
        app = app_of_topic(self._runtime, topic)
        return app is not None and session.caller.sees(app)
