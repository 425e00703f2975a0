"""Gives commands the options of an export, from the list that HTTP and the clients have too."""

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer

from engagement.exceptions import InvalidExportError
from engagement.model.choices import parse_choice
from engagement.model.export_options import OPTIONS, ExportOptions
from engagement.model.exports import ExportType
from engagement.model.option_kinds import DayOrInstant, Instant, Numbers, OptionKind, Switch, Texts

TypeName = Annotated[
    str,
    typer.Argument(metavar="TYPE", help=", ".join(export_type.value for export_type in ExportType)),
]
_WINDOW = {
    "window_start": ("start", "Push: start of the feedback window."),
    "window_end": ("end", "Push: end of the feedback window."),
}


def with_export_options(
    command: Callable[..., None], *, without: Collection[str] = ()
) -> Callable[..., None]:
    """Return the command with an option for each of an export, in the place of `options`.

    The command is given them by their keywords, as typed: whoever makes the request reads them.

    Args:
        command: It takes `export_type` and, by keyword, `options`.
        without: Keywords of options that it does not take.
    """
    taken = {
        name: _parameter(name, option.flag, option.kind, option.help)
        for name, option in OPTIONS.items()
        if name not in without
    } | {
        name: _parameter(name, "--" + name.replace("_", "-"), DayOrInstant(), text)
        for name, (_, text) in _WINDOW.items()
    }

    @functools.wraps(command)
    def run(**given: Any) -> None:
        values = {name: given.pop(name) for name in taken}
        command(**given, options=_options(given["export_type"], values))

    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "options"
    ]
    first = [parameter for parameter in own if parameter.default is inspect.Parameter.empty]
    rest = [parameter for parameter in own if parameter.default is not inspect.Parameter.empty]
    parameters = [*first, *taken.values(), *rest]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameter(name: str, flag: str, kind: OptionKind, text: str) -> inspect.Parameter:
    type_: Any = str
    metavar = None
    if isinstance(kind, Switch):
        type_ = bool
    elif isinstance(kind, Numbers):
        type_, metavar = list[int], "ID"
    elif isinstance(kind, Texts):
        type_, metavar = list[str], "NAME"
    elif isinstance(kind, (Instant, DayOrInstant)):
        metavar = "TIME"
    is_repeatable = isinstance(kind, (Numbers, Texts))
    help_text = f"{text} Repeatable." if is_repeatable else text
    option = typer.Option(flag, metavar=metavar, help=help_text)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[type_ | None, option],
    )


def _options(export_type: str, values: dict[str, Any]) -> ExportOptions:
    """The options that were typed; a feedback window is the range of a Push."""
    window = {target: values.pop(name) for name, (target, _) in _WINDOW.items()}
    options: ExportOptions = {}
    options.update(
        {name: value for name, value in values.items() if value not in (None, [])}  # type: ignore[typeddict-item]
    )
    if any(window.values()):
        kind = parse_choice(ExportType, export_type, what="export type", error=InvalidExportError)
        if kind is not ExportType.PUSH:
            raise InvalidExportError(f"A feedback window is for Push exports, got one for {kind}.")
        if "start" in options or "end" in options:
            raise InvalidExportError("Give a feedback window or --from and --to, got both.")
        options.update({name: value for name, value in window.items() if value})  # type: ignore[typeddict-item]
    return options
