"""This module is the one door: every operation of the service, as a function of a Runtime."""

from engagement.operations.apps import create_app, find_app, get_app, list_apps
from engagement.operations.clients import (
    authenticate_client,
    create_client,
    get_client,
    list_clients,
    revoke_client,
    rotate_client,
    signing_key,
    tenant_id,
)
from engagement.operations.collecting import Collected, app_of_key, collect_batch
from engagement.operations.devices import get_device, get_device_by_user, list_devices, tag_devices
from engagement.operations.estimates import estimate_export
from engagement.operations.exports import (
    cancel_export,
    count_exports,
    create_export,
    export_manifest,
    get_export,
    list_exports,
    list_exports_page,
    retry_export,
    verify_export,
    wait_export,
)
from engagement.operations.import_tasks import (
    create_import_task,
    get_import_task,
    list_import_tasks,
)
from engagement.operations.imports import (
    ImportSummary,
    RefusedLog,
    generate_sample,
    import_batches,
    read_lines,
)
from engagement.operations.refused import (
    ReplaySummary,
    count_refused,
    drop_refused,
    get_refused,
    list_refused,
    replay_refused,
)
from engagement.operations.upkeep import (
    compact,
    erase_device,
    fold_snapshots,
    retain,
    vacuum,
)

__all__ = [
    "Collected",
    "ImportSummary",
    "RefusedLog",
    "ReplaySummary",
    "app_of_key",
    "authenticate_client",
    "cancel_export",
    "collect_batch",
    "compact",
    "count_exports",
    "count_refused",
    "create_app",
    "create_client",
    "create_export",
    "create_import_task",
    "drop_refused",
    "erase_device",
    "estimate_export",
    "export_manifest",
    "find_app",
    "fold_snapshots",
    "generate_sample",
    "get_app",
    "get_client",
    "get_device",
    "get_device_by_user",
    "get_export",
    "get_import_task",
    "get_refused",
    "import_batches",
    "list_apps",
    "list_clients",
    "list_devices",
    "list_exports",
    "list_exports_page",
    "list_import_tasks",
    "list_refused",
    "read_lines",
    "replay_refused",
    "retain",
    "retry_export",
    "revoke_client",
    "rotate_client",
    "signing_key",
    "tag_devices",
    "tenant_id",
    "vacuum",
    "verify_export",
    "wait_export",
]
