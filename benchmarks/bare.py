"""The web framework that the service stands on, bare: fixed bytes for everything.

python -m benchmarks.bare < body
"""

import socket
import sys

import uvicorn
from fastapi import FastAPI, Request, Response


def main() -> None:
    """Answer whatever is asked or posted with the given bytes; print the address first."""
    body = sys.stdin.buffer.read()
    app = FastAPI(openapi_url=None)

    @app.get("/{path:path}")
    def answer(path: str) -> Response:
        del path
        return Response(body, media_type="application/json")

    @app.post("/{path:path}")
    async def forget(path: str, request: Request) -> Response:
        del path
        await request.body()
        return Response(body, status_code=202, media_type="application/json")

    listener = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
