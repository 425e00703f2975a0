"""Tests that what tasks are run with moves what was accepted, and takes turns."""

import threading
from pathlib import Path

from engagement import operations
from engagement.failpoints import no_failpoint
from engagement.runtime.opening import open_service
from engagement.runtime.task_tools import make_flush, make_tools
from engagement.settings import Settings
from support.batches import batch, log


def test_a_flush_leaves_an_app_alone_that_somebody_else_flushes(tmp_path: Path) -> None:
    with open_service(Settings(home=tmp_path), run_tasks=False) as runtime:
        app = operations.create_app(
            runtime, name="app", collection="c", resource_group="g", subscription="s"
        ).app
        operations.import_batches(runtime, app_id=app.app_id, lines=[batch(log("event"))])
        flush = make_flush(runtime, no_failpoint)
        moved: list[int] = []

        with runtime.lake.flush_lock(app.app_id):
            thread = threading.Thread(target=lambda: moved.append(flush.flush_if_free(app.app_id)))
            thread.start()
            thread.join()
        moved.append(flush.flush_if_free(app.app_id))

    assert moved == [0, 1]


def test_exports_and_imports_flush_by_the_same_flush(tmp_path: Path) -> None:
    with open_service(Settings(home=tmp_path), run_tasks=False) as runtime:
        flush = make_flush(runtime, no_failpoint)
        exports, imports = make_tools(runtime, flush, no_failpoint)

        assert exports.flush == flush.flush
        assert exports.flush("nobody") == 0
        assert imports.tasks.list_unfinished() == []
        imports.stop()
