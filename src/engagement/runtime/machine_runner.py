"""Has tasks run by a cluster's workers, from a machine that runs none, and flushes by itself."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import structlog
from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions

from engagement.export.steps import ExportTools
from engagement.export.workflow import EXPORT_WORKFLOW, EXPORTS_QUEUE, INSTANCE
from engagement.model.tag_imports import ImportTask
from engagement.runtime.engine import APPLICATION_NAME, APPLICATION_VERSION, export_workflow_id
from engagement.runtime.home import RunnerHealth
from engagement.runtime.import_workflow import (
    IMPORT_WORKFLOW,
    IMPORTS_QUEUE,
    import_workflow_id,
)
from engagement.runtime.import_workflow import INSTANCE as IMPORT_INSTANCE
from engagement.settings import Settings

_log = structlog.get_logger()


class MachineRunner:
    """Puts tasks into the queues that workers take them from.

    Where that fails the task is there all the same, and a worker finds it within seconds.
    """

    def __init__(self, settings: Settings, tools: ExportTools) -> None:
        self._settings = settings
        self._tools = tools

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before is in the lake; how many logs were moved."""
        return self._tools.flush(app_id)

    def submit(self, task_id: str) -> None:
        """Queue a task's workflow; its id is the task's, so a repeat changes nothing."""
        export = self._tools.plans.read_export(task_id)
        app_id = export.request.app_id
        self._enqueue(
            EnqueueOptions(
                workflow_name=EXPORT_WORKFLOW,
                queue_name=EXPORTS_QUEUE,
                workflow_id=export_workflow_id(task_id, export.attempt),
                app_version=APPLICATION_VERSION,
                queue_partition_key=app_id,
                class_name="ExportWorkflow",
                instance_name=INSTANCE,
            ),
            task_id,
            export.attempt,
            app_id,
        )

    def start_import(self, task: ImportTask) -> None:
        """Queue an import's workflow; a repeat changes nothing."""
        self._enqueue(
            EnqueueOptions(
                workflow_name=IMPORT_WORKFLOW,
                queue_name=IMPORTS_QUEUE,
                workflow_id=import_workflow_id(task.task_id),
                app_version=APPLICATION_VERSION,
                queue_partition_key=task.app_id,
                class_name="ImportWorkflow",
                instance_name=IMPORT_INSTANCE,
            ),
            task.app_id,
            task.task_id,
        )

    def health(self) -> RunnerHealth:
        """How the runner is: whoever accepts batches can do so without any worker."""
        return RunnerHealth(is_alive=True, restarts=0, silent_seconds=0.0)

    def count_running(self) -> Counter[str]:
        """How many workflows each process has begun and not ended, by their executors' ids."""
        try:
            running = self._client.list_workflows(
                status="PENDING", load_input=False, load_output=False
            )
        except Exception as error:  # noqa: BLE001 - no worker has ever started
            _log.warning("workflows_not_counted", error=type(error).__name__)
            return Counter()
        return Counter(str(workflow.executor_id) for workflow in running)

    def close(self) -> None:
        """Give the connections up."""
        if "_client" in self.__dict__:
            self._client.destroy()

    @cached_property
    def _client(self) -> DBOSClient:
        return DBOSClient(
            system_database_url=self._settings.state_url,
            application_name=APPLICATION_NAME,
            serializer=DBOSPortableJSONSerializer(),
            retry_connection_errors=False,
            lazy=True,
        )

    def _enqueue(self, options: EnqueueOptions, *arguments: object) -> None:
        try:
            self._client.enqueue(options, *arguments)
        except Exception as error:  # noqa: BLE001 - the first worker may not have started yet
            _log.warning(
                "not_queued", workflow=options["workflow_name"], error=type(error).__name__
            )


@contextmanager
def running_machine(settings: Settings, tools: ExportTools) -> Iterator[MachineRunner]:
    """Tasks are run by the cluster's workers."""
    runner = MachineRunner(settings, tools)
    try:
        yield runner
    finally:
        runner.close()
