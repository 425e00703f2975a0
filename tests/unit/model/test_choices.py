"""Tests that words name the member of an enumeration and the order of a list."""

import pytest

from engagement.exceptions import BadInputError, InvalidExportError
from engagement.model.choices import parse_choice, parse_order
from engagement.model.export_tasks import TaskOrder
from engagement.model.exports import ExportFormat


@pytest.mark.parametrize("word", ["CsvBlob", "csvblob", "CSV", "csv"])
def test_a_member_is_named_by_its_value_or_name_in_any_case(word: str) -> None:
    assert parse_choice(ExportFormat, word, what="format") is ExportFormat.CSV


@pytest.mark.parametrize("word", ["", "xml", "csv ", None, 1, ExportFormat])
def test_what_names_no_member_is_refused_with_those_there_are(word: object) -> None:
    with pytest.raises(InvalidExportError, match=r"The format must be one of JsonBlob, .*got"):
        parse_choice(ExportFormat, word, what="format", error=InvalidExportError)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        (None, (TaskOrder.ID, False)),
        ("", (TaskOrder.ID, False)),
        ("dateCreated", (TaskOrder.CREATED, False)),
        ("DATECREATED  Desc", (TaskOrder.CREATED, True)),
        ("taskStatus asc", (TaskOrder.STATE, False)),
    ],
)
def test_an_order_is_a_property_and_a_direction(
    text: str | None, order: tuple[TaskOrder, bool]
) -> None:
    assert parse_order(TaskOrder, text) == order


@pytest.mark.parametrize("text", [" ", "name", "taskId up", "taskId asc desc", "taskId,", "x" * 99])
def test_another_order_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="An \\$orderby must be one of taskId"):
        parse_order(TaskOrder, text)
