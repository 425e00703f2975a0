"""The Python client of a server: what it says to it and how it reads exports."""

from engagement.client.asynchronous.client import AsyncClient, AsyncExportPoller
from engagement.client.sync.client import Client, ExportPoller

__all__ = ["AsyncClient", "AsyncExportPoller", "Client", "ExportPoller"]
