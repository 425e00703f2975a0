"""This module reads the OData options of lists: `$skip`, `$top` and `$orderby`."""

from typing import Annotated

from fastapi import Query

from engagement.api.problems import Problem
from engagement.model.exports import TaskOrder, TaskPage

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
        max_length=64,
        description="`{property} [asc|desc]`: taskId, errorDetails, dateCreated or taskStatus.",
    ),
]


async def task_page(skip: Skip = 0, top: Top = TOP_DEFAULT, orderby: OrderBy = None) -> TaskPage:
    """The page that the options ask for.

    Raises:
        Problem: `$orderby` names something else than it may.
    """
    words = (orderby or TaskOrder.ID.value).split()
    names = {one.value.lower(): one for one in TaskOrder}
    direction = words[1].lower() if len(words) > 1 else "asc"
    if not 1 <= len(words) <= 2 or words[0].lower() not in names or direction not in _DIRECTIONS:  # noqa: PLR2004
        raise Problem(
            400,
            "BadRequest",
            f"$orderby must be one of {', '.join(TaskOrder)}, then asc or desc.",
        )
    return TaskPage(
        skip=skip, top=top, order_by=names[words[0].lower()], descending=direction == "desc"
    )


_DIRECTIONS = {"asc", "desc"}


def next_page(page: TaskPage) -> dict[str, str]:
    """The options of the page after this one."""
    direction = "desc" if page.descending else "asc"
    return {
        "$skip": str(page.skip + page.top),
        "$top": str(page.top),
        "$orderby": f"{page.order_by} {direction}",
    }
