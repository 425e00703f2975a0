"""Runs one command and turns whatever happens into one line and an exit status."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from engagement import __version__
from engagement.cli import (
    apps,
    audit,
    backups,
    clients,
    cluster,
    console,
    demo,
    exports,
    imports,
    keys,
    recover,
    refused,
    sample,
    serve,
    upkeep,
    verify,
    worker,
)
from engagement.cli.examples import add_examples
from engagement.cli.exit_statuses import (
    EXIT_BAD_INPUT,
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_OUTPUT_CLOSED,
    exit_status,
)
from engagement.cli.output import PRINTS_JSON, ExplainedInterrupt, print_error, print_interruption
from engagement.exceptions import EngagementError, ErrorCode
from engagement.storage_failures import find_failure

AFTER_INTERRUPTION = (
    "what was accepted or created before stays; tasks go on with `engagement serve` or "
    "`engagement export wait`, and `engagement export list` shows them"
)
app = typer.Typer(
    name="engagement",
    help="Collects raw mobile-engagement data and exports it into your own storage.",
    epilog="Exit status: 0 done, 1 failure, 2 bad input, 3 the home folder is busy, "
    "4 the time was over before the task had ended, 130 interrupted, 141 the reader of the output "
    "went away. State, lake and keys live in the folder ENGAGEMENT_HOME.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(apps.app, name="apps")
app.add_typer(clients.app, name="clients")
app.add_typer(cluster.app, name="cluster")
app.add_typer(exports.app, name="export")
app.add_typer(keys.app, name="keys")
app.add_typer(refused.app, name="refused")
app.add_typer(upkeep.app, name="upkeep")
app.command("audit")(audit.audit)
app.command("serve")(serve.serve)
app.command("console")(console.console)
app.command("sample")(sample.sample)
app.command("import")(imports.import_files)
app.command("verify")(verify.verify)
app.command("recover")(recover.recover)
app.command("backup")(backups.back_up)
app.command("restore")(backups.restore)
app.command("move")(backups.move)
app.command("demo")(demo.demo)
app.command("worker")(worker.worker)
app.command("migrate")(cluster.migrate)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"engagement-export {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, help="Print the release.", is_eager=True),
    ] = False,
) -> None:
    del show_version  # its callback has acted already, before a command is asked for


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status; nothing is raised and no stack trace is shown.

    Args:
        arguments: The words after `engagement`.
    """
    as_json = "--json" in arguments
    PRINTS_JSON.set(as_json)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        command = typer.main.get_command(app)
        add_examples(command)
        status = command.main(args=list(arguments), prog_name="engagement", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        if message := error.format_message():  # empty where the help was shown instead
            print_error(ErrorCode.BAD_INPUT, message, as_json=as_json)
        return EXIT_BAD_INPUT
    except ExplainedInterrupt:
        return EXIT_INTERRUPTED
    except (KeyboardInterrupt, Abort):
        print_interruption(AFTER_INTERRUPTION, as_json=as_json)
        return EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        # Typer leaves by SystemExit where it met the broken pipe itself.
        return _output_closed(error)
    except BaseException as error:  # noqa: BLE001 - the edge: a person gets a line, of panics too
        named = find_failure(error) or EngagementError(
            f"Unexpected {type(error).__name__}: {error}"
        )
        print_error(named.code, str(named), as_json=as_json)
        return exit_status(named)
    if status == EXIT_INTERRUPTED:
        print_interruption(AFTER_INTERRUPTION, as_json=as_json)
    return status if isinstance(status, int) else 0


def _output_closed(error: BaseException) -> int:
    """Return the status when the reader of the output went away, as `| head` does."""
    if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
        return error.code if isinstance(error.code, int) else EXIT_FAILURE
    # Without this the interpreter complains once more when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]
    return EXIT_OUTPUT_CLOSED


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Let a polite request to stop take the same way out as Ctrl-C."""
    del signal_number, frame
    raise KeyboardInterrupt
