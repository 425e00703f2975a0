"""The command that serves the API until it is asked to stop."""

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from engagement.cli.arguments import choose_roles
from engagement.cli.console import sign_in_address
from engagement.cli.opening import open_service, say_if_new
from engagement.cli.output import AsJson, print_json, print_note
from engagement.exceptions import BadInputError, EngagementError
from engagement.model.executors import SERVER_ROLES, ProcessRole

if TYPE_CHECKING:
    from engagement.runtime.opening import Runtime
    from engagement.settings import Settings

KEEP_ALIVE_SECONDS = 60
FIRST_KEY_FILE = "first-app.key"
"""A log keeps what a server prints, so the first key is in a file that its owner alone reads."""
STOP_SECONDS_MAX = 10
FIRST_APP = {
    "name": "first",
    "collection": "default",
    "resource_group": "default",
    "subscription": "default",
}


def serve(
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65_535, help="0 takes a free one.")
    ] = 8080,
    roles: Annotated[
        str,
        typer.Option(
            metavar="ROLES",
            help=f"In a cluster: what it answers, of {', '.join(SERVER_ROLES)}; all by default.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Serve the API and run exports until interrupted; a fresh folder gets a first app."""
    import structlog

    from engagement.runtime.logging import start_logging
    from engagement.runtime.processes import raise_descriptor_limit
    from engagement.runtime.tuning import limit_malloc_arenas
    from engagement.settings import Settings

    limit_malloc_arenas()
    descriptors_max = raise_descriptor_limit()
    settings = Settings.from_environment()
    proxies = [_network(proxy) for proxy in settings.trusted_proxies]
    chosen = choose_roles(roles, settings, SERVER_ROLES)
    start_logging(settings.log_level or "info")
    try:
        with ExitStack() as closing:
            runtime = closing.enter_context(_open_server(settings, chosen))
            listener = closing.enter_context(_listen(host, port))
            address = f"http://{_host_and_port(listener)}"
            public_url = settings.public_url.rstrip("/") or address
            say_hello(runtime, address, public_url, chosen, as_json=as_json)
            _run(runtime, listener, public_url, proxies, descriptors_max, chosen)
    except EngagementError as error:
        structlog.get_logger().error("start_refused", code=error.code.value, error=str(error))
        raise


@contextmanager
def _open_server(settings: "Settings", roles: tuple[ProcessRole, ...]) -> Iterator["Runtime"]:
    """The service with a worker of its own, or as one of a cluster's processes."""
    from engagement.worker.client import running_worker

    if settings.is_cluster:
        with open_service(settings, run_tasks=False, roles=roles) as runtime:
            yield runtime
        return
    say_if_new(settings)  # the worker makes the home before this process opens it
    with (
        running_worker(settings) as worker,
        open_service(settings, run_tasks=False, runner=worker) as runtime,
    ):
        yield runtime


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2_048)
    except OSError as error:
        raise BadInputError(
            f"The server must be able to listen on {host} port {port}, but: {error.strerror}."
        ) from error


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise BadInputError(
            f"ENGAGEMENT_TRUSTED_PROXIES must hold IP addresses and networks, but: {error}."
        ) from error


def _host_and_port(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def say_hello(
    runtime: "Runtime",
    address: str,
    public_url: str,
    roles: tuple["ProcessRole", ...],
    *,
    as_json: bool,
) -> None:
    """Print where the server is and what to do first; of the console only where it is shown."""
    from engagement import operations
    from engagement.runtime.home import private_file

    apps = operations.list_apps(runtime)
    key_file = None
    if not apps:
        try:
            made = operations.create_app(runtime, **FIRST_APP)
        except BadInputError:  # another server of a cluster was first
            apps = operations.list_apps(runtime)
        else:
            key_file = private_file(runtime.settings.home / FIRST_KEY_FILE).absolute()
            key_file.write_text(made.app_key + "\n", encoding="ascii")
            apps = [made.app]
    hello = {
        "address": address,
        "publicUrl": public_url,
        "tenantId": operations.tenant_id(runtime),
        "firstApp": apps[0].resource_path,
    }
    if as_json:
        print_json(hello | ({"firstAppKeyFile": str(key_file)} if key_file else {}))
        sys.stdout.flush()  # whoever started the server waits for this line
    else:
        print_note(f"Serving on {address} (documentation: {public_url}/docs)")
        print_note(f"First app: {apps[0].resource_path}")
        if key_file:
            print_note(f"Its key, for its devices, is in {key_file}; keep it, and delete the file.")
        has_clients = bool(operations.list_clients(runtime))
        if not has_clients:
            print_note("A first client: engagement clients create NAME --role owner")
        if ProcessRole.API in roles and has_clients:
            print_note(f"Console: {public_url}/console/")
        elif ProcessRole.API in roles:
            code = operations.create_sign_in_code(runtime).code
            print_note(f"Console, once within five minutes: {sign_in_address(public_url, code)}")
    if runtime.settings.allow_loopback_containers:
        print_note(
            "WARNING: ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS is on. Whoever may create exports can "
            "make this server send requests, unencrypted, to services of this very machine. "
            "It is for development only."
        )


def _run(
    runtime: "Runtime",
    listener: socket.socket,
    public_url: str,
    proxies: list[str],
    descriptors_max: int,
    roles: tuple[ProcessRole, ...],
) -> None:
    import uvicorn

    from engagement.runtime.open_telemetry import running_telemetry
    from engagement.runtime.routines import running_routine
    from engagement.runtime.tuning import tune_garbage_collector
    from engagement.server.app import build_server
    from engagement.server.points import RECORD_SECONDS, PointRecorder
    from engagement.server.uvicorn_protocol import ConnectionLimits, LimitedHttpProtocol

    settings = runtime.settings
    points = PointRecorder(runtime)
    server = build_server(
        runtime,
        public_url=public_url,
        roles=roles,
        is_stopping=lambda: serving.should_exit,
        points=points,
    )
    config = uvicorn.Config(
        server,
        http=LimitedHttpProtocol.with_limits(
            ConnectionLimits.of(settings, proxies, descriptors_max=descriptors_max),
            count_refused=server.count_refused,
        ),
        ws="none",  # another protocol would know no limits
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the protocol reads them, which counts by whom they name
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS_MAX,
    )
    serving = uvicorn.Server(config)
    tune_garbage_collector()
    try:
        with (
            running_telemetry("server", server.metrics.families.read),
            running_routine("points", RECORD_SECONDS, points.record),
        ):
            serving.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn repeats the signal once it has stopped: all is well
        print_note("Stopped.")
