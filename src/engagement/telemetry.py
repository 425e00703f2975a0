"""Records what was done as spans of OpenTelemetry, where somebody listens; else costs nothing.

A span says what was done, to which app or task, and how it ended. No value of a record, no
address of a container, no path and no message of an exception is in one.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

Attribute = str | int | float | bool


class SpanRecorder(Protocol):
    """Where spans go."""

    def record(
        self, name: str, *, seconds: float, attributes: Mapping[str, Attribute], failed: bool
    ) -> None:
        """Record what ended now and took so many seconds."""


_recorders: list[SpanRecorder] = []


@contextmanager
def running_recorder(recorder: SpanRecorder) -> Iterator[None]:
    """Give the recorder every span of this process while the block runs."""
    _recorders.append(recorder)
    try:
        yield
    finally:
        _recorders.remove(recorder)


def record_span(
    name: str, *, seconds: float, failed: bool = False, **attributes: Attribute | None
) -> None:
    """Record what has just ended, if anybody listens; attributes that are None are left out."""
    if not _recorders:
        return
    known = {key: value for key, value in attributes.items() if value is not None}
    for recorder in _recorders:
        recorder.record(name, seconds=seconds, attributes=known, failed=failed)


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[None]:
    """Record the block as a span, failed if an exception leaves it; only its class is named."""
    if not _recorders:
        yield
        return
    began = time.perf_counter()
    error_type = None
    try:
        yield
    except BaseException as error:
        error_type = type(error).__name__
        raise
    finally:
        seconds, failed = time.perf_counter() - began, error_type is not None
        record_span(name, seconds=seconds, failed=failed, error_type=error_type, **attributes)
