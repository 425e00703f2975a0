"""Spells names as JSON has them."""


def to_camel_case(name: str) -> str:
    """Return a snake_case name in camelCase, as the published contract spells names."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
