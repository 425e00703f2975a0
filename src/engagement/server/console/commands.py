"""Says what a page does as a command and as a request to the API, without secrets."""

import json
import shlex
from datetime import datetime

from engagement.model.apps import App
from engagement.model.export_options import OPTIONS, body_of, create_word, options_of
from engagement.model.export_request import ExportRequest
from engagement.model.option_kinds import Switch, write_instant

VERSION = "2026-11-01"
SAS_PLACE = "CONTAINER_URL_WITH_SAS"


def command_of(request: ExportRequest) -> str:
    """Return the command that makes the same export."""
    words = ["engagement", "export", "create", request.export_type.value]
    words += ["--app", request.app_id, "--container", SAS_PLACE]
    for name, value in options_of(request).items():
        option = OPTIONS[name]
        if isinstance(option.kind, Switch):
            on, _, off = option.flag.partition("/")
            if value and name != "empty_file":
                words.append(on)
            elif not value and off:
                words.append(off)
            continue
        if value == "" or (name, value) == ("time_axis", "event"):
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        for item in values:
            text = write_instant(item) if isinstance(item, datetime) else item
            words += [option.flag, str(text)]
    return shlex.join(words)


def call_of(app: App, request: ExportRequest) -> str:
    """Return the request to the API that makes the same export."""
    word = create_word(request.export_type, by_campaign=bool(request.campaign_ids))
    body = {"containerUrl": SAS_PLACE, **body_of(request)}
    return (
        f"POST {app.resource_path}/devices/exportTasks/{word}?api-version={VERSION}\n\n"
        f"{json.dumps(body, indent=2, ensure_ascii=False)}"
    )
