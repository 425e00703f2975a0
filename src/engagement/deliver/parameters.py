"""Decodes the names, paths and parameters of a container URL, each exactly once.

What is decoded here is what is checked and what is sent: a text that two readers could decode in
two ways, such as `%zz` or a part of a character, is refused instead of repaired.
"""

import re
from collections.abc import Set as AbstractSet
from urllib.parse import unquote

from engagement.exceptions import InvalidContainerError

Parameters = tuple[tuple[str, str], ...]
"""Names and values, decoded, in the order of the URL; each name once."""

UNKNOWN_NAMES_SHOWN = 3

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,24}")


def decode_escapes(text: str) -> str:
    """Return the text with its percent-encoding undone once; `+` stays `+`.

    Raises:
        InvalidContainerError: An escape is broken or is not UTF-8; the text is not repeated.
    """
    try:
        decoded = None if _BROKEN_ESCAPE.search(text) else unquote(text, errors="strict")
    except UnicodeDecodeError:  # it holds the text, so it is left behind
        decoded = None
    if decoded is None:
        raise InvalidContainerError(
            "A container URL must be percent-encoded as UTF-8: % followed by two hex digits, "
            "%25 for the sign itself."
        )
    return decoded


def parse_parameters(query: str, *, plus_is_space: AbstractSet[str] = frozenset()) -> Parameters:
    """Return the parameters of a query.

    Args:
        query: What follows the question mark.
        plus_is_space: In whose values a bare `+` is a space, as in a form. In all others it
            stays: secrets are often written without encoding it.

    Raises:
        InvalidContainerError: A parameter has no `=`, comes twice or is not well encoded.
    """
    parameters: dict[str, str] = {}
    for pair in query.split("&"):
        if not pair:
            continue
        encoded_name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidContainerError("Each parameter of a container URL must be NAME=VALUE.")
        name = decode_escapes(encoded_name)
        if name in parameters:
            raise InvalidContainerError("A container URL must name each parameter once.")
        parameters[name] = decode_escapes(
            value.replace("+", " ") if name in plus_is_space else value
        )
    return tuple(parameters.items())


def refuse_unknown(
    names: AbstractSet[str], allowed: AbstractSet[str], *, names_shown: bool = False
) -> None:
    """Return only if all names are allowed, in just this spelling.

    Args:
        names: The names given.
        allowed: Those that may be.
        names_shown: Whether the message may repeat a name. It may not where a secret could hold
            an ampersand that was not encoded, since the rest of it looks like a name.

    Raises:
        InvalidContainerError: Another one was given.
    """
    unknown = sorted(names - allowed)
    if not unknown:
        return
    plain_names = [name for name in unknown if names_shown and _PLAIN_NAME.fullmatch(name)]
    got = ", ".join(plain_names[:UNKNOWN_NAMES_SHOWN])
    if len(plain_names[:UNKNOWN_NAMES_SHOWN]) < len(unknown):
        others = len(unknown) - len(plain_names[:UNKNOWN_NAMES_SHOWN])
        got = f"{got} and {others} more" if got else f"{others} other"
    raise InvalidContainerError(
        f"A container URL may have the parameters {', '.join(sorted(allowed))}, got {got}."
    )


def require_parameters(query: dict[str, str], names: tuple[str, ...], scheme: str) -> None:
    """Return only if each of the names has a value.

    Raises:
        InvalidContainerError: One has none.
    """
    missing = [name for name in names if not query.get(name)]
    if missing:
        raise InvalidContainerError(
            f"A {scheme} container needs {', '.join(names)} as parameters of its URL; the host's "
            f"own credentials are never used. Missing: {', '.join(missing)}."
        )


def refuse_unsendable(query: dict[str, str], names: AbstractSet[str]) -> None:
    """Return only if these values can be sent in a header as they are.

    The store's client would end with a panic instead of an error.

    Raises:
        InvalidContainerError: One holds a space, a control character or is not ASCII.
    """
    for name in sorted(names & query.keys()):
        if not all("!" <= character <= "~" for character in query[name]):
            raise InvalidContainerError(
                f"The parameter {name} must be printable ASCII characters without spaces."
            )
