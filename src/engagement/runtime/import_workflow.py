"""Runs the imports of a cluster durably, on whichever machine has a slot."""

import threading

from dbos import DBOS, DBOSConfiguredInstance

from engagement.collect.tag_imports import ImportRunner
from engagement.export.steps import StoppedError

IMPORTS_QUEUE = "imports"
IMPORT_WORKFLOW = "import"
INSTANCE = "import"


@DBOS.dbos_class("ImportWorkflow")
class ImportWorkflow(DBOSConfiguredInstance):
    """One step: an import that begins again changes nothing twice.

    DBOS has one registry a process, so there is one instance, attached to the open runtime.
    """

    def __init__(self) -> None:
        super().__init__(INSTANCE)
        self._imports: ImportRunner | None = None
        self._lock = threading.Lock()
        self._running: set[str] = set()

    def attach(self, imports: ImportRunner) -> None:
        """Use these from now on."""
        self._imports = imports

    def is_running(self, workflow_id: str) -> bool:
        """Whether a thread of this process is in the body of a workflow."""
        with self._lock:
            return workflow_id in self._running

    @DBOS.workflow(name=IMPORT_WORKFLOW)
    def run(self, app_id: str, task_id: str) -> None:
        """The whole import; what it came to is kept with its task."""
        workflow_id = str(DBOS.workflow_id)
        with self._lock:
            self._running.add(workflow_id)
        try:
            self.import_tags(app_id, task_id)
        finally:
            with self._lock:
                self._running.discard(workflow_id)

    @DBOS.step()
    def import_tags(self, app_id: str, task_id: str) -> None:
        """Return only when the import's task has ended."""
        if self._imports is None:
            raise TypeError("An import workflow needs an open runtime, got none.")
        if not self._imports.run_to_its_end(self._imports.tasks.get(app_id, task_id)):
            raise StoppedError


def import_workflow_id(task_id: str) -> str:
    """Return the id of the workflow of an import."""
    return f"import-{task_id}"
