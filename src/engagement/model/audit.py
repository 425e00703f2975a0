"""What the audit log says of a change: who made it, when, what and on what."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engagement.model.instants import format_rfc3339

LOCAL_ACTOR = "this machine"
"""Who makes changes by commands on the home folder: whoever may enter it."""


class Action(StrEnum):
    """What was done."""

    APP_CREATE = "app.create"
    APP_RENAME = "app.rename"
    APP_DELETE = "app.delete"
    KEY_CREATE = "key.create"
    KEY_ROTATE = "key.rotate"
    KEY_REVOKE = "key.revoke"
    CLIENT_CREATE = "client.create"
    CLIENT_ROTATE = "client.rotate"
    CLIENT_REVOKE = "client.revoke"
    EXPORT_CREATE = "export.create"
    EXPORT_CANCEL = "export.cancel"
    EXPORT_RETRY = "export.retry"
    TAGS_IMPORT = "tags.import"
    TAGS_SET = "tags.set"
    REFUSED_REPLAY = "refused.replay"
    REFUSED_DROP = "refused.drop"
    DEVICE_ERASE = "device.erase"
    RETENTION_SET = "retention.set"
    HISTORY_RETAIN = "history.retain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change that somebody asked for."""

    changed_at: datetime
    """When."""
    actor: str
    """Who, as the door knows them: a client's id, an issuer's subject, or this machine."""
    action: Action
    """What was done."""
    app_id: str | None
    """The app that it was done to; None if it concerns no app alone."""
    subject: str
    """On what, in names and ids; never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedChange:
    """A change with its place in the audit log."""

    position: int
    """It rises with each change."""
    change: Change
    """The change."""

    def columns(self) -> tuple[str, str, str, str, str, str]:
        """The change as a row of text, in the order of `COLUMNS`."""
        change = self.change
        return (
            str(self.position),
            format_rfc3339(change.changed_at),
            change.actor,
            change.action.value,
            change.app_id or "",
            change.subject,
        )


COLUMNS = ("position", "changedAt", "actor", "action", "appId", "subject")
"""The columns of an audit log that is exported as CSV."""


def write_csv(changes: Iterable[RecordedChange]) -> str:
    """Return changes as CSV by RFC 4180, with a header."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(entry.columns() for entry in changes)
    return text.getvalue()
