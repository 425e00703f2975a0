"""Makes what flushes, exports and imports are run with."""

from collections.abc import Iterable
from datetime import timedelta

from engagement.collect.flush import Flush, FlushLimits
from engagement.collect.tag_imports import ImportRunner, ImportTools
from engagement.deliver.containers import open_destination
from engagement.export.retry_limit import RetryLimit
from engagement.export.steps import ExportTools
from engagement.failpoints import FailpointHook
from engagement.runtime.service import Runtime
from engagement.step_watch import StepWatch
from engagement.store.recovery import LakeRecovery


def make_flush(runtime: Runtime, on_failpoint: FailpointHook) -> Flush:
    """What moves batches to the lake."""
    limits = FlushLimits(
        records_max=runtime.settings.flush_logs_max,
        session_timeout=timedelta(seconds=runtime.settings.session_timeout_seconds),
    )
    return Flush(
        runtime.inbox,
        runtime.staging,
        runtime.seen,
        runtime.erased,
        runtime.lake,
        limits=limits,
        clock=runtime.clock,
        on_failpoint=on_failpoint,
    )


def make_tools(
    runtime: Runtime, flush: Flush, on_failpoint: FailpointHook
) -> tuple[ExportTools, ImportRunner]:
    """What tasks are run with."""
    exports = ExportTools(
        tasks=runtime.tasks,
        plans=runtime.plans,
        inbox=runtime.inbox,
        staging=runtime.staging,
        lake=runtime.lake,
        recovery=LakeRecovery(runtime.inbox, runtime.staging, runtime.lake),
        vault=runtime.task_vault,
        flush=flush.flush,
        open_destination=runtime.destination,
        part_rows_target=runtime.settings.part_rows_target,
        count_slots=lambda: runtime.slots,
        clock=runtime.clock,
        on_failpoint=on_failpoint,
        step_watch=StepWatch(runtime.settings.stall_seconds),
        retry_limit=RetryLimit(runtime.settings.retry_seconds),
    )
    imports = ImportTools(
        tasks=runtime.imports,
        inbox=runtime.inbox,
        lake=runtime.lake,
        vault=runtime.task_vault,
        flush=flush.flush,
        read_blob=lambda app_id, url: _read_blob(runtime, app_id, url),
        clock=runtime.clock,
        step_watch=StepWatch(runtime.settings.stall_seconds),
    )
    return exports, ImportRunner(imports)


def _read_blob(runtime: Runtime, app_id: str, storage_url: str) -> Iterable[bytes]:
    url, key = runtime.parse_import_url(app_id, storage_url)
    return open_destination(url).get(key)
