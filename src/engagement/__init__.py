"""Collects raw mobile engagement data and exports it whole into your storage."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engagement.agent import DeviceAgent
    from engagement.client import AsyncClient, Client

    __version__: str

__all__ = ["AsyncClient", "Client", "DeviceAgent", "__version__"]

_PACKAGES = {"AsyncClient": "client", "Client": "client", "DeviceAgent": "agent"}


def __getattr__(name: str) -> Any:
    """The clients and the agent, loaded when they are asked for: a service does without them."""
    if name == "__version__":
        return version("engagement-export")
    if name in _PACKAGES:
        return getattr(import_module(f"engagement.{_PACKAGES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
