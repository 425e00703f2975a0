"""This package collects raw mobile engagement data and exports it whole into your storage."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engagement.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    """The clients, loaded when they are asked for: a service does without them."""
    if name in __all__:
        from engagement import client  # noqa: PLC0415

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
