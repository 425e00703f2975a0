"""Draws JSON with numbers that JSON does not have, and says what is to be kept of it."""

import math
from typing import Any

from hypothesis import strategies as st

texts = st.text('aN{}[]:,"\\ é😀', max_size=5) | st.sampled_from(
    ["NaN", '":NaN,', "Infinity", "[-Infinity]"]
)
numbers = st.sampled_from([math.nan, math.inf, -math.inf]) | st.integers(-9, 9) | st.just(1.5)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | texts | numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=25,
)


def _is_non_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def finite(value: Any) -> Any:
    """The value as it should be kept: members dropped, elements null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items() if not _is_non_finite(item)}
    if isinstance(value, list):
        return [finite(element) for element in value]
    return None if _is_non_finite(value) else value


def count_non_finite(value: Any) -> int:
    """How many numbers of it JSON does not have."""
    if isinstance(value, dict):
        return sum(map(count_non_finite, value.values()))
    return sum(map(count_non_finite, value)) if isinstance(value, list) else _is_non_finite(value)
