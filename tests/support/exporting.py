"""Exports what an app has collected, of all types, into plain records."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import engagement
from engagement.model.exports import Compression, ExportFormat, ExportType
from support.export_files import Record, read_part
from support.server_process import Credentials, RunningServer
from support.waiting import WAIT_SECONDS_MAX

ALL_TIME = {"start": datetime(1970, 1, 1, tzinfo=UTC), "end": datetime(2100, 1, 1, tzinfo=UTC)}


def exported(
    server: RunningServer,
    owner: Credentials,
    app_id: str,
    folder: Path,
    types: Iterable[ExportType] = ExportType,
) -> dict[str, list[Record]]:
    """Everything that an app has now, by export type, without types that are empty.

    Args:
        server: A server that may write to the folder.
        owner: A client of it that may export the app.
        app_id: The app.
        folder: Where the exports go.
        types: What to export; Push: of native pushes.
    """
    access = {
        "tenant_id": owner.tenant_id,
        "client_id": owner.client_id,
        "client_secret": owner.client_secret,
    }
    found = {}
    with engagement.Client(server.address, **access) as client:
        pollers = [
            client.create_export(
                app_id, item, f"file://{folder}", export_format="NdjsonBlob", **_everything(item)
            )
            for item in types
        ]
        for poller in pollers:
            task = poller.result(WAIT_SECONDS_MAX)
            parts = sorted((folder / task.folder).glob("part-*"))
            records = [
                record
                for part in parts
                for record in read_part(
                    part.read_bytes(), task.export_type, ExportFormat.NDJSON, Compression.NONE
                )
            ]
            if records:
                found[task.export_type.value] = records
    return found


def _everything(export_type: ExportType) -> dict[str, Any]:
    if export_type is ExportType.PUSH:
        return {"campaign_type": "NativePush", **ALL_TIME}
    return ALL_TIME if export_type.is_historical else {}
