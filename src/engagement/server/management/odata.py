"""Reads the OData options of lists: `$skip`, `$top` and `$orderby`."""

from typing import Annotated

from fastapi import Query

from engagement.model.choices import ORDER_CHARACTERS_MAX, parse_order
from engagement.model.export_tasks import TaskOrder, TaskPage

TOP_MAX = 40
TOP_DEFAULT = 20
SKIP_MAX = 2**31 - 1

Skip = Annotated[int, Query(alias="$skip", ge=0, le=SKIP_MAX, description="How many to leave out.")]
Top = Annotated[
    int, Query(alias="$top", ge=1, le=TOP_MAX, description="How many to return at most.")
]
OrderBy = Annotated[
    str | None,
    Query(
        alias="$orderby",
        max_length=ORDER_CHARACTERS_MAX,
        description="`{property} [asc|desc]`: taskId, errorDetails, dateCreated or taskStatus.",
    ),
]


async def task_page(skip: Skip = 0, top: Top = TOP_DEFAULT, orderby: OrderBy = None) -> TaskPage:
    """Return the page that the options ask for.

    Raises:
        BadInputError: `$orderby` names something else than it may.
    """
    order_by, descending = parse_order(TaskOrder, orderby)
    return TaskPage(skip=skip, top=top, order_by=order_by, descending=descending)


def next_page(page: TaskPage) -> dict[str, str]:
    """Return the options of the page after this one."""
    direction = "desc" if page.descending else "asc"
    return {
        "$skip": str(page.skip + page.top),
        "$top": str(page.top),
        "$orderby": f"{page.order_by} {direction}",
    }
