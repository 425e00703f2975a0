"""Reads the member of an enumeration, and the order of a list, that words name."""

from enum import StrEnum
from typing import TypeVar

from engagement.exceptions import BadInputError

Choice = TypeVar("Choice", bound=StrEnum)
ORDER_CHARACTERS_MAX = 64
_DIRECTIONS = {"asc": False, "desc": True}


def parse_choice(
    kind: type[Choice],
    text: object,
    *,
    what: str,
    error: type[BadInputError] = BadInputError,
) -> Choice:
    """Return the member that a word names, by its value or its name, in any case.

    Args:
        kind: The enumeration.
        text: The word; anything but a text names nothing.
        what: What is chosen, for the message.
        error: The class of the error.

    Raises:
        BadInputError: It names none; of the class that was given.
    """
    if isinstance(text, str):
        word = text.lower()
        for member in kind:
            if word in {member.value.lower(), member.name.lower()}:
                return member
    wanted = ", ".join(member.value for member in kind)
    raise error(f"The {what} must be one of {wanted}, got {text!r:.100}.")


def parse_order(properties: type[Choice], text: str | None) -> tuple[Choice, bool]:
    """Return the property that an `$orderby` of OData names, and whether the largest comes first.

    Words are understood in any case; without any, the list is in the order of the first property.

    Args:
        properties: What the list may be sorted by.
        text: A property, then `asc`, `desc` or nothing.

    Raises:
        BadInputError: It is something else.
    """
    if not text:
        return next(iter(properties)), False
    words = text.lower().split()
    named = {member.value.lower(): member for member in properties}
    direction = words[1] if len(words) > 1 else "asc"
    has_form = 1 <= len(words) <= 2  # noqa: PLR2004 - a property and a direction
    if not has_form or words[0] not in named or direction not in _DIRECTIONS:
        raise BadInputError(
            f"An $orderby must be one of {', '.join(properties)}, then asc, desc or nothing, "
            f"got {text[:ORDER_CHARACTERS_MAX]!r}."
        )
    return named[words[0]], _DIRECTIONS[direction]
