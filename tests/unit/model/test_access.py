"""Tests what a role includes, and which apps a scope covers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.exceptions import BadInputError
from engagement.model.access import Caller, Grant, Role, Scope
from engagement.model.apps import App

COLLECTION = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MobileEngagement/appcollections/c"
)
APP = App(app_id="a" * 32, name="shop", collection="c", resource_group="g", subscription="s")
names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


def test_each_role_includes_those_before_it() -> None:
    roles = list(Role)

    for place, role in enumerate(roles):
        assert [role.includes(other) for other in roles] == [
            at <= place for at in range(len(roles))
        ]


@given(st.lists(names, min_size=4, max_size=4), st.sampled_from([0, 1, 3, 4]))
def test_a_scope_is_read_back_from_its_path(parts: list[str], depth: int) -> None:
    fields = ("subscription", "resource_group", "collection", "app")
    scope = Scope(**dict(zip(fields[:depth], parts, strict=False)))

    assert Scope.parse(scope.path) == scope


@pytest.mark.parametrize(
    ("path", "is_covered"),
    [
        ("/", True),
        ("/subscriptions/S", True),
        ("/subscriptions/other", False),
        (COLLECTION, True),
        (COLLECTION.upper(), True),
        (f"{COLLECTION}x", False),
        (f"{COLLECTION}/apps/SHOP", True),
        (f"{COLLECTION}/apps/shoe", False),
    ],
)
def test_a_scope_covers_what_lies_below_it_in_any_case(path: str, *, is_covered: bool) -> None:
    assert Scope.parse(path).covers(APP) is is_covered


@pytest.mark.parametrize(
    "text", ["/subscriptions", "/subscriptions//", "/groups/s", f"{COLLECTION}/apps", "a/b/c"]
)
def test_a_text_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="A scope must be"):
        Scope.parse(text)


def test_a_caller_may_do_only_what_one_of_its_grants_allows_there() -> None:
    caller = Caller(
        client_id="c",
        grants=(
            Grant(role=Role.READER, scope=Scope.parse("/")),
            Grant(role=Role.OWNER, scope=Scope.parse("/subscriptions/other")),
        ),
    )

    assert caller.sees(APP)
    assert caller.may(Role.READER, APP)
    assert not caller.may(Role.EXPORTER, APP)
