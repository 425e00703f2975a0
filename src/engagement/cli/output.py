"""Writes results to standard output and everything else to standard error."""

import json
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.exceptions import Abort

from engagement.model.instants import format_rfc3339
from engagement.model.text import to_camel_case

PIPE_COLUMNS = 200
"""Width of tables that no terminal shows, so that ids are not cut."""
UNIT_STEP = 1024

PRINTS_JSON = ContextVar("prints_json", default=False)
"""Whether the command that runs prints JSON, for what is not given its options."""
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def plain(value: object) -> object:
    """Return a result as JSON holds it: camelCase names, RFC 3339 times, enums as their values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            to_camel_case(field.name): plain(getattr(value, field.name)) for field in fields(value)
        }
    if isinstance(value, date):
        return format_rfc3339(value) if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(name): plain(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def byte_count(count: int) -> str:
    """Return a number of bytes for people."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < UNIT_STEP:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= UNIT_STEP
    return f"{amount:.1f} TiB"


def short_instant(instant: datetime | None) -> str:
    """Return an instant for a table: to the minute, in UTC."""
    return "-" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"


def print_json(value: object) -> None:
    """Print a result as one line of JSON."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print results as a table of the terminal's width, from which nothing is cut.

    Columns named with a leading `>` are numbers, with a leading `#` ids, which stay on one line.
    """
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0),
    )
    for name in columns:
        is_number = name.startswith(">")
        table.add_column(
            name.lstrip(">#"),
            justify="right" if is_number else "left",
            no_wrap=name.startswith((">", "#")),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    _console().print(table)


def print_fields(values: Sequence[tuple[str, str]]) -> None:
    """Print one result as names and values, a line each."""
    width = max(len(name) for name, _ in values)
    for name, value in values:
        sys.stdout.write(f"{name:<{width}}  {value}\n")


def print_hint(text: str) -> None:
    """Tell a person something that a program which reads JSON has no use for."""
    if not PRINTS_JSON.get():
        print_note(text)


def print_note(text: str) -> None:
    """Tell a person something beside the result."""
    sys.stderr.write(text + "\n")


def print_error(code: str, message: str, *, as_json: bool) -> None:
    """Print an error as one line on standard error."""
    line = " ".join(message.split())
    if as_json:
        text = json.dumps({"error": {"code": str(code), "message": line}}, ensure_ascii=False)
    else:
        text = f"error [{code}]: {line}"
    sys.stderr.write(text + "\n")


class ExplainedInterrupt(Abort):
    """An interruption of which a person was told what it leaves.

    Typer makes an exit with a status of every `KeyboardInterrupt`, and lets this one through.
    """


def print_interruption(hint: str, *, as_json: bool, **names: str) -> None:
    """Say on standard error what an interruption leaves and how to go on."""
    named = {to_camel_case(name): value for name, value in names.items()}
    text = json.dumps({"interrupted": {**named, "message": hint}}) if as_json else hint
    print_note(text if as_json else f"interrupted: {text}")


def progress_console(*, as_json: bool) -> Console | None:
    """Return where progress is drawn: on a terminal's standard error, else nowhere."""
    console = Console(stderr=True)
    return console if console.is_terminal and not as_json else None


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_COLUMNS)
