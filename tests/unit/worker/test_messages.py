"""Tests that messages between a server and its worker say what was meant."""

from hypothesis import given
from hypothesis import strategies as st

from engagement.worker.messages import (
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)


@given(
    number=st.integers(0),
    do=st.text(),
    arguments=st.dictionaries(st.text(), st.text()),
    result=st.integers(),
)
def test_requests_and_replies_come_as_they_were_sent(
    number: int, do: str, arguments: dict[str, str], result: int
) -> None:
    request = Request(number=number, do=do, arguments=arguments)
    reply = Reply(number=number, result=result)

    assert decode_request(encode_request(request)) == request
    assert decode_reply(encode_reply(reply)) == reply
