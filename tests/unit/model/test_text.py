"""Spells snake_case names in camelCase."""

from hypothesis import given
from hypothesis import strategies as st

from engagement.model.text import to_camel_case

words = st.lists(st.from_regex(r"[a-z][a-z0-9]*", fullmatch=True), min_size=1)


def test_a_name_is_spelt_as_batches_spell_it() -> None:
    assert to_camel_case("application_version_code") == "applicationVersionCode"


@given(words)
def test_each_word_after_the_first_begins_with_a_capital(parts: list[str]) -> None:
    spelt = to_camel_case("_".join(parts))

    assert spelt.lower() == "".join(parts)
    assert [letter for letter in spelt if letter.isupper()] == [
        word[0].upper() for word in parts[1:]
    ]
