"""What pages can watch: a topic's value, and the app that it is about."""

from collections.abc import Mapping
from typing import Any

from engagement import operations
from engagement.exceptions import UnknownAppError, UnknownTaskError
from engagement.model.apps import App
from engagement.runtime.opening import Runtime
from engagement.server.console.export_values import describe_progress

EXPORT_TOPIC = "export:"
"""Before the id of a task: what a page shows of it."""
NEWEST_TOPIC = "newest:"
"""Before the id of an app: a word that differs when records came into the lake."""


def app_of_topic(runtime: Runtime, topic: str) -> App | None:
    """Return the app that a topic is about; None if there is none."""
    kind, subject_id = _split(topic)
    try:
        if kind == EXPORT_TOPIC:
            subject_id = operations.get_export(runtime, subject_id).app_id
        elif kind != NEWEST_TOPIC:
            return None
        return operations.get_app(runtime, subject_id)
    except (UnknownTaskError, UnknownAppError):
        return None


def read_topics(runtime: Runtime, topics: frozenset[str]) -> Mapping[str, Any]:
    """Return what topics hold now; those that are gone are left out."""
    values: dict[str, Any] = {}
    for topic in topics:
        kind, subject_id = _split(topic)
        try:
            if kind == EXPORT_TOPIC:
                values[topic] = describe_progress(operations.get_export(runtime, subject_id))
            elif kind == NEWEST_TOPIC:
                values[topic] = operations.lake_state(runtime, subject_id)
        except (UnknownTaskError, UnknownAppError):
            continue
    return values


def _split(topic: str) -> tuple[str, str]:
    kind, colon, subject_id = topic.partition(":")
    return kind + colon, subject_id
