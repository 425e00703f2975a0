"""Carries export commands out: here, on a home folder, or at a server."""

import heapq
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from engagement.cli.opening import open_for_tasks, open_service
from engagement.cli.profiles import server_settings
from engagement.cli.progress import follow_anywhere, follow_here, show_progress
from engagement.exceptions import UnknownTaskError
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import Estimate

if TYPE_CHECKING:
    from engagement.client import Client, ExportPoller
    from engagement.model.apps import App
    from engagement.runtime.opening import Runtime
    from engagement.settings import ServerSettings


class Backend(Protocol):
    """Where export tasks are; the same commands work at each."""

    def create(self, request: ExportRequest, *, follow: bool, as_json: bool) -> ExportTask:
        """Create a task, followed to its end if asked for."""

    def estimate(self, request: ExportRequest) -> Estimate:
        """Return how large an export would be."""

    def newest(self, app_id: str | None, limit: int) -> list[ExportTask]:
        """Return the newest tasks, of one app or of all, newest first."""

    def get(self, task_id: str) -> ExportTask:
        """Return a task."""

    def wait(self, task_id: str, *, timeout_seconds: float | None, as_json: bool) -> ExportTask:
        """Return a task when it has ended or the time is over."""

    def cancel(self, task_id: str) -> ExportTask:
        """Ask a task to stop, and return it."""

    def retry(self, task_id: str, container_url: str, *, follow: bool, as_json: bool) -> ExportTask:
        """Queue a task again, followed to its end if asked for."""

    def command(self, words: str) -> str:
        """Return a command line for the same backend."""


def choose_backend(server: str | None, profile: str | None) -> Backend:
    """Return the backend that the options or the environment name.

    Raises:
        BadInputError: They name a server or profile that cannot be.
    """
    settings = server_settings(server, profile)
    return LocalBackend() if settings is None else ServerBackend(settings)


class LocalBackend:
    """The home folder that the environment names."""

    def create(self, request: ExportRequest, *, follow: bool, as_json: bool) -> ExportTask:
        """Create a task; without following nobody runs it yet."""
        from engagement import operations

        with open_for_tasks(run_tasks=follow) as runtime:
            task = operations.create_export(runtime, _of_named_app(runtime, request))
            if follow and runtime.runner is not None:
                return follow_here(runtime, task.task_id, as_json=as_json)
        return _follow_beside(task, as_json=as_json) if follow else task

    def estimate(self, request: ExportRequest) -> Estimate:
        """Return how large an export would be."""
        from engagement.operations.estimates import estimate_export

        with open_service(run_tasks=False) as runtime:
            return estimate_export(runtime, _of_named_app(runtime, request))

    def newest(self, app_id: str | None, limit: int) -> list[ExportTask]:
        """Return the newest tasks, of one app or of all, newest first."""
        from engagement import operations

        with open_service(run_tasks=False) as runtime:
            if app_id is not None:
                app_id = operations.find_named_app(runtime, app_id).app_id
            return operations.list_exports(runtime, app_id=app_id, limit=limit)

    def get(self, task_id: str) -> ExportTask:
        """Return a task."""
        from engagement import operations

        with open_service(run_tasks=False) as runtime:
            return operations.get_export(runtime, task_id)

    def wait(self, task_id: str, *, timeout_seconds: float | None, as_json: bool) -> ExportTask:
        """Return a task when it has ended or the time is over, run here if nobody else does."""
        return follow_anywhere(task_id, timeout_seconds=timeout_seconds, as_json=as_json)

    def cancel(self, task_id: str) -> ExportTask:
        """Ask a task to stop, and return it."""
        from engagement import operations

        with open_service(run_tasks=False) as runtime:
            return operations.cancel_export(runtime, task_id)

    def retry(self, task_id: str, container_url: str, *, follow: bool, as_json: bool) -> ExportTask:
        """Queue a task again; without following nobody runs it yet."""
        from engagement import operations

        with open_for_tasks(run_tasks=follow) as runtime:
            task = operations.retry_export(runtime, task_id, container_url=container_url)
            if follow and runtime.runner is not None:
                return follow_here(runtime, task_id, as_json=as_json)
        return _follow_beside(task, as_json=as_json) if follow else task

    def command(self, words: str) -> str:
        """Return a command line for the same backend."""
        return f"engagement {words}"


class ServerBackend:
    """A server, which runs the tasks itself."""

    def __init__(self, settings: "ServerSettings") -> None:
        self._settings = settings

    def create(self, request: ExportRequest, *, follow: bool, as_json: bool) -> ExportTask:
        """Create a task, which the server runs."""
        with closing(self._client()) as client:
            poller = client.start_export(request.app_id, request)
            return self._follow(poller, as_json=as_json) if follow else poller.task

    def estimate(self, request: ExportRequest) -> Estimate:
        """Return how large an export would be."""
        with closing(self._client()) as client:
            return client.estimate_request(request.app_id, request)

    def newest(self, app_id: str | None, limit: int) -> list[ExportTask]:
        """Return the newest tasks, of one app or of all that the client may see, newest first."""
        with closing(self._client()) as client:
            apps: list[App] | list[str] = client.apps() if app_id is None else [app_id]
            each = [client.list_exports(app) for app in apps]
            merged = heapq.merge(*each, key=lambda task: task.created_at, reverse=True)
            return list(islice(merged, limit))

    def get(self, task_id: str) -> ExportTask:
        """Return a task."""
        with closing(self._client()) as client:
            return _find_task(client, task_id).task

    def wait(self, task_id: str, *, timeout_seconds: float | None, as_json: bool) -> ExportTask:
        """Return a task when it has ended or the time is over."""
        with closing(self._client()) as client:
            return self._follow(
                _find_task(client, task_id), timeout_seconds=timeout_seconds, as_json=as_json
            )

    def cancel(self, task_id: str) -> ExportTask:
        """Ask a task to stop, and return it."""
        with closing(self._client()) as client:
            return _find_task(client, task_id).cancel()

    def retry(self, task_id: str, container_url: str, *, follow: bool, as_json: bool) -> ExportTask:
        """Queue a task again, which the server runs."""
        with closing(self._client()) as client:
            task = _find_task(client, task_id).task
            poller = client.retry_export(task.app_id, task_id, container_url)
            return self._follow(poller, as_json=as_json) if follow else poller.task

    def command(self, words: str) -> str:
        """Return a command line for the same backend."""
        given = self._settings
        way = f"--profile {given.profile}" if given.profile else f"--server {given.server}"
        return f"engagement {words} {way}"

    def _client(self) -> "Client":
        from engagement.client import Client

        given = self._settings
        return Client(
            given.server,
            tenant_id=given.tenant_id,
            client_id=given.client_id,
            client_secret=given.client_secret,
            subscription=given.subscription,
        )

    def _follow(
        self, poller: "ExportPoller", *, timeout_seconds: float | None = None, as_json: bool
    ) -> ExportTask:
        task_id = poller.task.task_id
        again = self.command(f"export wait {task_id}")
        with show_progress(task_id, again=again, as_json=as_json) as show:
            return poller.wait(timeout_seconds, show)


def _of_named_app(runtime: "Runtime", request: ExportRequest) -> ExportRequest:
    """Return the request with the id of the app that it names in whatever way."""
    from engagement import operations

    return replace(request, app_id=operations.find_named_app(runtime, request.app_id).app_id)


def _follow_beside(task: ExportTask, *, as_json: bool) -> ExportTask:
    """Return the task when the process beside, or this one after its end, has run it."""
    return follow_anywhere(task.task_id, timeout_seconds=None, as_json=as_json)


def _find_task(client: "Client", task_id: str) -> "ExportPoller":
    """Return the task of whichever app; the API asks for an app, a person knows the task's id."""
    for app in client.apps():
        try:
            return client.follow_export(app, task_id)
        except UnknownTaskError:
            continue
    raise UnknownTaskError(f"There is no export task {task_id[:64]!r} that the client may see.")
