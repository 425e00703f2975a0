"""The command that imports batches from files."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Self

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from engagement.cli.arguments import AppName
from engagement.cli.opening import open_or_reach_service
from engagement.cli.output import (
    AsJson,
    ExplainedInterrupt,
    byte_count,
    plain,
    print_fields,
    print_interruption,
    print_json,
    print_note,
    progress_console,
)
from engagement.exceptions import BadInputError, CorruptInputError

if TYPE_CHECKING:
    from engagement.operations import ImportRefusal, ImportSummary
    from engagement.runtime.opening import Runtime

STANDARD_INPUT = "-"


def import_files(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help="NDJSON batches: plain, gzip or zstd; - is stdin."),
    ],
    app_id: AppName,
    refused: Annotated[
        Path | None,
        typer.Option(help="Where refused records go; by default refused-<time>.ndjson, if any."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import batches; return when every accepted log is in the lake, once.

    Repeating an import that was interrupted is safe: batches that were accepted are known.
    """
    from engagement import operations

    with open_or_reach_service() as runtime, ExitStack() as closing:
        app_id = operations.find_named_app(runtime, app_id).app_id
        inputs = Inputs([_open(file, closing) for file in files])
        rejects = closing.enter_context(RefusedFile(refused, inputs))
        show = _progress(inputs, closing, as_json=as_json)
        try:
            summary = _import(runtime, app_id, inputs, rejects, show)
        except KeyboardInterrupt:
            print_interruption(
                "what was accepted stays; repeat the import to go on, nothing is taken twice",
                as_json=as_json,
                app_id=app_id,
            )
            raise ExplainedInterrupt from None
    if summary.refused and not summary.batches and not summary.duplicates:
        raise CorruptInputError(f"No batch could be read; the first: {rejects.first_message}")
    _report(summary, rejects, inputs, as_json=as_json)


class Inputs:
    """The lines of several inputs, one after another, with the line being worked on."""

    def __init__(self, streams: list[BinaryIO]) -> None:
        self._streams = streams
        self.line = b""
        """The line that was given last."""
        self.trailing = 0
        """Inputs with bytes behind the end of their compressed data, which were left out."""

    @property
    def bytes_total(self) -> int | None:
        """Bytes of all inputs as they are stored; None if one is not a file."""
        sizes = [_size(stream) for stream in self._streams]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def bytes_done(self) -> int:
        """Bytes read so far, as they are stored."""
        return sum(
            stream.tell() for stream in self._streams if not stream.closed and stream.seekable()
        )

    def lines(self) -> Iterator[bytes]:
        """Every line."""
        from engagement import operations

        for stream in self._streams:
            for line in operations.read_lines(stream, self._count_trailing):
                self.line = line
                yield line

    def _count_trailing(self) -> None:
        self.trailing += 1


class RefusedFile:
    """The file of refused records, made with the first of them."""

    def __init__(self, path: Path | None, inputs: Inputs) -> None:
        self.path = path or Path(f"refused-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.ndjson")
        self.first_message = ""
        self._inputs = inputs
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    @property
    def exists(self) -> bool:
        """Whether there was a refusal."""
        return self._stream is not None

    def add(self, refusal: "ImportRefusal") -> None:
        """Keep a refusal beside the record that it is about."""
        if self._stream is None:
            self.first_message = f"line {refusal.line}: {refusal.message}"
            try:
                self._stream = self.path.open("wb")
            except OSError as error:
                raise BadInputError(
                    f"Refused records cannot be written to {self.path}: {error.strerror}."
                ) from error
        described = plain(refusal)
        if isinstance(described, dict):
            described["record"] = _record(self._inputs.line, refusal.index)
        text = json.dumps(described, ensure_ascii=False) + "\n"
        # A lone surrogate may stand in a record; it must not stop the report about it.
        self._stream.write(text.encode("utf-8", errors="backslashreplace"))


def _record(line: bytes, index: int | None) -> object:
    """What was refused, as JSON where it is JSON and as text where it is not."""
    try:
        batch = json.loads(line)
        return batch if index is None else batch["logs"][index]
    except (ValueError, LookupError, TypeError, RecursionError):
        return line.decode("utf-8", errors="replace")


def _import(
    runtime: "Runtime",
    app_id: str,
    inputs: Inputs,
    rejects: RefusedFile,
    show: Callable[["ImportSummary"], None],
) -> "ImportSummary":
    from engagement import operations

    return operations.import_batches(
        runtime,
        app_id=app_id,
        lines=inputs.lines(),
        on_refused=rejects.add,
        on_progress=show,
    )


def _open(name: str, closing: ExitStack) -> BinaryIO:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer
    try:
        return closing.enter_context(Path(name).open("rb"))
    except OSError as error:
        raise BadInputError(f"The input {name} cannot be read: {error.strerror}.") from error


def _size(stream: BinaryIO) -> int | None:
    try:
        return os.fstat(stream.fileno()).st_size if stream.seekable() else None
    except OSError:
        return None


def _progress(
    inputs: Inputs, closing: ExitStack, *, as_json: bool
) -> Callable[["ImportSummary"], None]:
    console = progress_console(as_json=as_json)
    if console is None:
        return lambda _: None
    bar = Progress(
        TextColumn("importing"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[accepted]:,} logs"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    line = closing.enter_context(bar).add_task("import", total=inputs.bytes_total, accepted=0)

    def show(summary: "ImportSummary") -> None:
        bar.update(line, completed=inputs.bytes_done, accepted=summary.accepted)

    return show


def _report(
    summary: "ImportSummary", rejects: RefusedFile, inputs: Inputs, *, as_json: bool
) -> None:
    file = str(rejects.path) if rejects.exists else None
    if as_json:
        described = plain(summary)
        counts = described if isinstance(described, dict) else {}
        print_json({**counts, "refusedFile": file, "trailing": inputs.trailing})
        return
    print_fields(
        [
            ("accepted", f"{summary.accepted:,} logs"),
            ("batches", f"{summary.batches:,} new, {summary.duplicates:,} known before"),
            ("read", byte_count(summary.bytes)),
            ("refused", f"{sum(summary.refused.values()):,}"),
            *((f"  {code}", f"{count:,}") for code, count in sorted(summary.refused.items())),
        ]
    )
    if inputs.trailing:
        print_note(
            f"Warning: {inputs.trailing} of the inputs had bytes behind the end of their "
            "compressed data, which were left out."
        )
    if file is not None:
        print_note(f"The refused records are in {file}.")
