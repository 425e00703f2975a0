"""Tests that of cookies only those are read that the service itself keeps."""

import pytest
from starlette.requests import Request

from engagement.server.cookies import VALUE_BYTES_MAX, keep_cookies

NAMES = frozenset({b"engagement", b"engagement_zone"})


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([b"engagement=a-_B"], {"engagement": "a-_B"}),
        ([b"other=1; engagement=a;engagement_zone=Asia%2FTokyo; engagement2=x"],
         {"engagement": "a", "engagement_zone": "Asia%2FTokyo"}),
        ([b"engagement=a", b"engagement=b; x=y"], {"engagement": "b"}),
        ([b"engagement", b"=engagement", b"", b";;;"], {"engagement": ""}),
        ([b'engagement="\\"\\""'], {}),
        ([b'engagement="sealed=="; engagement_zone=UTC'],
         {"engagement": "sealed==", "engagement_zone": "UTC"}),
        ([b"engagement=" + b"a" * (VALUE_BYTES_MAX + 1)], {}),
        ([b'x="' + b'\\"' * 30_000 + b'"; engagement=a'], {"engagement": "a"}),
        ([b"engagement=a;" * 5_000], {"engagement": "a"}),
    ],
)  # fmt: skip
def test_cookies_of_others_are_not_read(sent: list[bytes], kept: dict[str, str]) -> None:
    accept = (b"accept", b"*/*")
    headers = keep_cookies([*((b"cookie", line) for line in sent), accept], NAMES)

    request = Request({"type": "http", "headers": headers})
    assert request.cookies == kept
    assert request.headers["accept"] == "*/*"
    assert sum(len(value) for _, value in headers) <= 2 * VALUE_BYTES_MAX


def test_where_none_is_kept_none_is_read() -> None:
    assert keep_cookies([(b"cookie", b"engagement=a"), (b"a", b"b")], ()) == [(b"a", b"b")]
