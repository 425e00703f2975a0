"""Imports a file of 64 MiB whose tags are all kept, and looks at the memory that it takes."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from collector import note

from support.batches import DEVICES, batch, log
from support.bombs import MIB
from support.memory import Memory
from support.server_process import RunningServer, running_server
from support.waiting import wait_for

IMPORT_BYTES_MAX = 100 * MIB
"""Memory that an import may take, however large its file is."""
LINE_BYTES = 1_100
VERSION = {"api-version": "2026-11-01"}


@pytest.mark.attack
def test_a_large_file_of_tags_is_imported_in_little_memory(
    tmp_path: Path, *, full_counts: bool
) -> None:
    size = 64 * MIB if full_counts else 4 * MIB
    with running_server(tmp_path / "home") as server:
        app = server.app()
        with server.http(app["appKey"]) as http:
            known = http.post("/collect/v1/batch", content=batch(log("event")))
        assert known.status_code == 202
        # Tags that are folded first, so that what the worker needs for any is in memory already.
        assert _imported(server, app, MIB // 8) == "Succeeded"
        process = server.worker_pid
        assert process is not None
        memory = Memory(process)

        assert _imported(server, app, size) == "Succeeded"

        assert server.worker_pid == process
        note(f"importing {size // MIB} MiB of tags took {memory.growth() / MIB:.1f} MiB")
        assert memory.growth() <= IMPORT_BYTES_MAX


def _imported(server: RunningServer, app: dict[str, str], size: int) -> str:
    """How the import of a file of so many bytes ends."""
    folder = Path(server.environment["ENGAGEMENT_HOME"]) / "imports" / app["appId"]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{size}.ndjson"
    with file.open("wb") as lines:
        for _ in range(size // LINE_BYTES):
            tags = {"key": secrets.token_hex(500)}
            lines.write(json.dumps({DEVICES[0]: tags}).encode().ljust(LINE_BYTES - 1) + b"\n")
    with server.http(server.token(server.client("owner"))) as http:
        path = f"{app['resourcePath']}/devices/importTasks"
        body = {"storageUrl": file.as_uri()}
        task = http.post(path, params=VERSION, json=body).raise_for_status().json()

        def find_ended() -> Any:
            found = http.get(f"{path}/{task['id']}", params=VERSION).raise_for_status().json()
            return found if found["state"] not in {"Queued", "Started"} else None

        return str(wait_for(find_ended, "the end of an import")["state"])
