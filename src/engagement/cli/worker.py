"""The command that does the work of a cluster until it is asked to stop."""

import sys
import threading
from typing import Annotated

import typer

from engagement.cli.arguments import choose_roles
from engagement.cli.output import AsJson, print_json, print_note
from engagement.exceptions import BadInputError
from engagement.model.executors import WORKER_ROLES


def worker(
    roles: Annotated[
        str,
        typer.Option(
            metavar="ROLES",
            help=f"What it does, of {', '.join(WORKER_ROLES)}; all by default.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Flush, commit, export and do upkeep for a cluster until interrupted or drained."""
    from engagement.runtime.logging import start_logging
    from engagement.runtime.open_telemetry import running_telemetry
    from engagement.runtime.tuning import limit_malloc_arenas, tune_garbage_collector
    from engagement.server.metrics import metrics_of
    from engagement.server.probes import running_probes
    from engagement.settings import Settings
    from engagement.worker.machine import running_roles, wait_for_end

    limit_malloc_arenas()
    settings = Settings.from_environment()
    if not settings.is_cluster:
        raise BadInputError(
            "A worker needs a cluster: ENGAGEMENT_STATE_URL must be postgresql+psycopg://…. "
            "An embedded service has its worker in `engagement serve`."
        )
    chosen = choose_roles(roles, settings, WORKER_ROLES)
    start_logging(settings.log_level or "info")
    with (
        running_roles(settings, chosen) as (runtime, member),
        running_probes(runtime, settings.probe_port) as port,
        running_telemetry("worker", metrics_of(runtime).families.read),
    ):
        tune_garbage_collector()
        if as_json:
            print_json({"executorId": member.executor_id, "roles": chosen, "probePort": port})
            sys.stdout.flush()  # whoever started the worker waits for this line
        else:
            print_note(f"Worker {member.executor_id} does {', '.join(chosen)}.")
        wait_for_end(member, threading.Event())
    print_note("Stopped.")
