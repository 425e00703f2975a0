"""Tests that bodies are expanded as they were, and that bombs stop early."""

import contextlib
import ctypes
import gzip
import json
import os
import random
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.bodies import (
    COMPRESSED_BYTES_MAX,
    RATIO_FREE_BYTES,
    RATIO_MAX,
    plain_beginning,
    plain_body,
)
from engagement.collect.payload import decode_batch
from engagement.exceptions import (
    CorruptInputError,
    ErrorCode,
    RequestTooLargeError,
    UnsupportedEncodingError,
)
from engagement.model.limits import BODY_BYTES_MAX
from engagement.runtime.tuning import limit_malloc_arenas
from support.batches import NOW, at, batch
from support.bombs import BATCH, BOMB_BYTES_MAX, BOMBS, GZIP, MIB, ZSTD
from support.memory import Memory

ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "gzip members": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "gzip and padding": lambda data: gzip.compress(data) + bytes(512),
    "gzip with a name": lambda data: (
        b"\x1f\x8b\x08\x08\0\0\0\0\0\xffname\0" + gzip.compress(data)[10:]
    ),
    "zstd": zstandard.compress,
    "zstd with a checksum": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zstd without a size": zstandard.ZstdCompressor(write_content_size=False).compress,
    "zstd frames": lambda data: zstandard.compress(data[:9]) + zstandard.compress(data[9:]),
}
BEGINNING_COST_MAX = 16 * MIB
"""Memory that the beginning of a body takes: a step of the library, and its window of 8 MiB."""
HEADERS = (None, "", "identity", "gzip", "GZip", "x-gzip", "zstd", " ZSTD ")


def is_plain(data: bytes) -> bool:
    """Whether data is none that is told to be compressed."""
    return not data.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")) and data[1:4] != b"\x2a\x4d\x18"


def random_bytes(size: int) -> bytes:
    return random.Random(1).randbytes(size)  # noqa: S311 - must be the same each time


@given(
    data=st.binary(max_size=3000).filter(is_plain),
    encoding=st.sampled_from(sorted(ENCODED)),
    header=st.sampled_from(HEADERS),
)
def test_a_body_is_what_was_encoded_whatever_the_header(
    data: bytes, encoding: str, header: str | None
) -> None:
    assert plain_body(ENCODED[encoding](data), header) == data


@pytest.mark.parametrize("encoding", ENCODED)
def test_a_body_longer_than_a_step_is_expanded_too(encoding: str) -> None:
    data = b"{" + random_bytes(500_000)

    assert plain_body(ENCODED[encoding](data), None) == data


def test_a_regular_batch_passes_at_any_ratio() -> None:
    event = {"type": "event", "name": "tap", "timestamp": at(), "extras": {"note": "ab" * 500}}
    body = batch(*[event] * 100)

    for encoding in ("gzip", "zstd"):
        compressed = ENCODED[encoding](body)
        assert len(body) > RATIO_MAX * len(compressed)
        assert plain_body(compressed, encoding) == body


@pytest.mark.parametrize(
    "header", ["deflate", "br", "compress", "gzip, gzip", "gzip,zstd", "identity, gzip", "gzip;q=1"]
)
def test_other_encodings_are_refused_naming_what_is_known(header: str) -> None:
    for body in (BATCH, GZIP):
        with pytest.raises(UnsupportedEncodingError, match="identity, gzip or zstd") as caught:
            plain_body(body, header)
        assert caught.value.code is ErrorCode.UNSUPPORTED_ENCODING


@pytest.mark.parametrize("encoding", ENCODED)
def test_the_longest_body_passes_and_a_longer_one_does_not(encoding: str) -> None:
    data = b"{" + random_bytes(300_000)
    body = ENCODED[encoding](data)

    assert plain_body(body, None, bytes_max=len(data)) == data
    with pytest.raises(RequestTooLargeError, match=f"at most {len(data) - 1} bytes"):
        plain_body(body, None, bytes_max=len(data) - 1)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_the_ratio_counts_once_the_free_bytes_are_used(encoding: str) -> None:
    free = bytes(RATIO_FREE_BYTES)

    assert plain_body(ENCODED[encoding](free), None) == free
    with pytest.raises(RequestTooLargeError, match=f"bytes of {encoding} become more"):
        plain_body(ENCODED[encoding](free + b"\0"), None)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_the_ratio_allows_what_real_batches_become(encoding: str) -> None:
    data = json.dumps([{"n": number, "name": "home"} for number in range(200_000)]).encode()
    body = ENCODED[encoding](data)

    assert RATIO_FREE_BYTES < len(data) < BODY_BYTES_MAX
    assert len(body) < COMPRESSED_BYTES_MAX
    assert plain_body(body, None) == data


@given(st.integers(0, 8 * len(GZIP) - 1), st.sampled_from([GZIP, ZSTD]))
def test_damage_is_told_or_does_not_matter(bit: int, whole: bytes) -> None:
    damaged = bytearray(whole)
    damaged[bit // 8 % len(whole)] ^= 1 << bit % 8

    try:
        found = plain_body(bytes(damaged), None)
    except (CorruptInputError, RequestTooLargeError):
        return
    assert found in {BATCH, bytes(damaged)}


@given(st.sampled_from([GZIP[:4], GZIP[:10], ZSTD[:4], ZSTD[:6]]), st.binary(max_size=200))
def test_garbage_after_a_head_fails_in_no_other_way(head: bytes, garbage: bytes) -> None:
    """By chance it may also be a whole stream."""
    with contextlib.suppress(CorruptInputError, RequestTooLargeError):
        plain_body(head + garbage, None)


def test_what_was_compressed_twice_is_expanded_once() -> None:
    for inner in (GZIP, ZSTD):
        for encoding in ("gzip", "gzip members", "zstd", "zstd frames"):
            assert plain_body(ENCODED[encoding](inner), "gzip") == inner


def memory_of(work: Callable[[], object]) -> int:
    """Bytes of memory at its highest beyond what there was before some work.

    What is large has a mapping of its own, as in a server, and memory that tests before have let go
    is given back first: else what lies in it would seem to take none.
    """
    limit_malloc_arenas()
    ctypes.CDLL(None).malloc_trim(0)
    memory = Memory(os.getpid())
    work()
    return memory.growth()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_little_cost(name: str) -> None:
    body = BOMBS[name]()
    encoding = name.split(",", maxsplit=1)[0]
    header = encoding if encoding in {"gzip", "zstd"} else None

    def collect() -> None:
        with pytest.raises((CorruptInputError, RequestTooLargeError)):
            decode_batch(plain_body(body, header), received_at=NOW, live=True)

    assert memory_of(collect) <= BOMB_BYTES_MAX


@pytest.mark.parametrize("encoding", ["gzip", "gzip members", "gzip and padding", "zstd"])
@given(data=st.binary(max_size=99), trailing=st.binary(min_size=1, max_size=9))
def test_bytes_behind_the_end_are_left_out_and_told(
    encoding: str, data: bytes, trailing: bytes
) -> None:
    warnings: list[int] = []
    trailing = b"." + trailing
    body = ENCODED[encoding](data) + trailing

    assert plain_body(body, None, lambda: warnings.append(1)) == data
    assert warnings == [1]
    assert plain_body(ENCODED[encoding](data), None, lambda: warnings.append(2)) == data
    assert warnings == [1]


def test_there_are_as_many_bombs_as_promised() -> None:
    assert len(BOMBS) >= 60


def test_without_its_limits_a_bomb_costs_more_than_is_allowed() -> None:
    """So the measurement above can fail: a bomb as above, its limits taken away."""
    body = gzip.compress(bytes(96 * MIB))

    cost = memory_of(lambda: plain_body(body, "gzip", bytes_max=2**40, ratio_max=2**40))

    assert cost > BOMB_BYTES_MAX


@given(
    data=st.binary(max_size=3_000).filter(is_plain),
    encoding=st.sampled_from(sorted(ENCODED)),
    bytes_max=st.integers(0, 4_000),
)
def test_the_beginning_of_a_body_is_that_of_the_plain_one(
    data: bytes, encoding: str, bytes_max: int
) -> None:
    assert plain_beginning(ENCODED[encoding](data), bytes_max) == data[:bytes_max]


@pytest.mark.parametrize("name", ["gzip, zeros of 64 MiB", "zstd, zeros of 64 MiB"])
def test_the_beginning_of_a_bomb_is_expanded_no_further(name: str) -> None:
    body = BOMBS[name]()

    cost = memory_of(lambda: plain_beginning(body, 1_000))

    assert cost < BEGINNING_COST_MAX
