"""This module writes the server's log: one JSON object a line, without secrets."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET = re.compile(
    r"((?:sig|x-amz-signature|x-amz-credential|signature|secret_access_key|access_token|"
    r"client_secret|session_token|authorization)(?:=|%3d|\"?\s*:\s*\"?))[^&\s\"'<>,}]+"
    r"|(bearer\s+)[\w.~+/=-]+",
    re.IGNORECASE,
)
_HIDDEN = "***"


def redacted(text: str) -> str:
    """The text without the values of signatures, secrets and tokens.

    It is the last line of defence: what is logged is chosen so that none should be in it.
    """
    return _SECRET.sub(lambda found: (found[1] or found[2]) + _HIDDEN, text)


def start_logging() -> None:
    """Send our log, and the warnings of libraries, to standard error as lines of JSON."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            _without_secrets,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_secrets,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _without_secrets(
    logger: object, name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    del logger, name
    return {key: _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {key: _clean(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one) for one in value]
    return value
