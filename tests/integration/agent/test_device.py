"""Holds the device that the agent accepts to the one that a server accepts."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engagement.agent.device import INFO_FIELDS, device_head
from engagement.collect.payload import decode_batch
from engagement.exceptions import BadInputError
from support.device_server import RECEIVED_AT

HALF = "\ud83d"
texts = st.text(st.characters(), max_size=70) | st.sampled_from(
    ["", "a" * 64, "é" * 65, "line\n", "\x7f", "\x85", HALF, '"\\/\u2028']
)  # fmt: skip
numbers = (
    st.integers() | st.floats() | st.sampled_from([10**308, 10**309, -(2**1024), 1e-320, -0.0])
)
scalars = st.none() | st.booleans() | numbers | texts


def _log(make: Any, *given_: Any) -> str | None:
    """The log, None if the agent refuses it at the call."""
    try:
        log: str = make(*given_)
    except BadInputError:
        return None
    return log


@given(
    device_id=texts | st.sampled_from(["d" * 256, "d" * 257]),
    user_id=st.none() | texts,
    info=st.dictionaries(st.sampled_from([*INFO_FIELDS]), scalars),
)
def test_a_device_is_accepted_by_the_agent_only_if_a_server_accepts_it(
    device_id: str, user_id: str | None, info: dict[str, Any]
) -> None:
    head = _log(device_head, device_id, user_id, info)

    if head is not None:
        body = f'{{"batchId":"b","sentAt":"2026-03-01T12:00:00Z",{head},"logs":[]}}'
        batch = decode_batch(body.encode(), received_at=RECEIVED_AT, live=True)
        assert len(batch.info or {}) == len(info)
        assert batch.user_id == user_id
