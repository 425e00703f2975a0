"""Serves style sheets and scripts under an address that changes with them."""

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from engagement.server.errors import Problem

FOLDER = Path(__file__).parent / "static"
CHART_SCRIPT = "vendor/uPlot.iife.min.js"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class StaticFiles:
    """The files of a folder, read once; browsers keep them for as long as they like."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in _TYPES
        }
        digest = hashlib.sha256()
        for name, content in self._files.items():
            digest.update(f"{name}\n{len(content)}\n".encode() + content)
        self._digest = digest.hexdigest()[:12]
        self.root = f"/console/static/{self._digest}"
        """The address of the folder."""

    @property
    def has_charts(self) -> bool:
        """Whether the library is there that draws charts; without it they are tables."""
        return CHART_SCRIPT in self._files

    async def answer(self, request: Request) -> Response:
        """Return a file.

        Raises:
            Problem: There is none.
        """
        name: str = request.path_params["name"]
        content = self._files.get(name)
        if content is None:
            raise Problem(404, "NotFound", "The console has no such file.")
        is_newest = request.path_params["digest"] == self._digest
        kept = "public, max-age=31536000, immutable" if is_newest else "no-store"
        kind = _TYPES[Path(name).suffix]
        headers = {"Cache-Control": kept, "Cross-Origin-Resource-Policy": "same-origin"}
        return Response(content, media_type=kind, headers=headers)
