"""Tests that every code of a failure has one class, and every class its code."""

import pytest

from engagement import exceptions
from engagement.exceptions import (
    DestinationError,
    EngagementError,
    ErrorCode,
    Retryable,
    class_of_code,
    error_of_code,
)

CLASSES = [
    kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, EngagementError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_keeps_its_class_by_its_code(kind: type[EngagementError]) -> None:
    error = kind("because")

    again = error_of_code(error.code, str(error))

    assert str(again) == "because"
    assert again.code is kind.code
    assert type(again) is kind or issubclass(kind, DestinationError)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_a_class(code: ErrorCode) -> None:
    kind = class_of_code(code)

    assert error_of_code(code, "because").code is code
    assert issubclass(kind, DestinationError) or kind.code is code
    assert (kind is EngagementError) is (code is ErrorCode.INTERNAL)


def test_what_may_pass_at_a_container_is_marked() -> None:
    of_containers = [
        code for code in ErrorCode if issubclass(class_of_code(code), DestinationError)
    ]

    assert {code for code in of_containers if issubclass(class_of_code(code), Retryable)} == {
        ErrorCode.CONCURRENT_WRITER,
        ErrorCode.DESTINATION_THROTTLED,
        ErrorCode.DESTINATION_TIMEOUT,
        ErrorCode.DESTINATION_UNAVAILABLE,
        ErrorCode.DNS_ERROR,
    }
