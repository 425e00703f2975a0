"""Reads what a form posted, within limits."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import Request

from engagement.server.body_limits import LimitedBody
from engagement.server.errors import Problem

FORM_BYTES_MAX = 64 * 1024
FORM_FIELDS_MAX = 128
DAYS_DIGITS_MAX = 5
ID_DIGITS_MAX = 18
"""Of a number that the state database gave."""


@dataclass(slots=True)
class FormErrors:
    """What is wrong with a form: for the summary on top, and beside each field."""

    by_field: dict[str, str] = field(default_factory=dict)
    """The sentence for each field; an empty name is about the form as a whole."""

    def __bool__(self) -> bool:
        return bool(self.by_field)

    def add(self, name: str, sentence: str) -> None:
        """Say what is wrong with a field, unless something was said."""
        self.by_field.setdefault(name, sentence)


def read_number(text: str, *, digits_max: int) -> int | None:
    """Return the whole number that a text is, within a length; None if it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits_max else None


def read_days(text: str, errors: FormErrors) -> int | None:
    """Return the days of the field `days`; None if it is empty, or wrong, which is said then."""
    days = read_number(text, digits_max=DAYS_DIGITS_MAX)
    if text and days is None:
        errors.add("days", f"The days must be a whole number, got {text[:40]!r}.")
    return days


async def read_form(request: Request) -> dict[str, list[str]]:
    """Return the fields that a form posted, each with its values.

    Raises:
        Problem: It is no form, or longer than any of ours.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "UnsupportedMediaType", "A form is needed, got something else.")
    body = LimitedBody(request.receive, request.headers, bytes_max=FORM_BYTES_MAX)
    try:
        pairs = parse_qsl(
            (await body.read()).decode(),
            keep_blank_values=True,
            max_num_fields=FORM_FIELDS_MAX,
            errors="strict",
        )
    except ValueError as error:
        raise Problem(400, "BadRequest", "The form cannot be read.") from error
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form
