"""Tests that every destination keeps the promises of `Destination`, on real servers."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.deliver.containers import BLOCK_BYTES, open_destination
from engagement.deliver.destination import Destination
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import DestinationError, ErrorCode, Retryable
from engagement.testing import MemoryContainer
from support.servers import S3, Azurite

MIB = 1024 * 1024
LARGE = secrets.token_bytes(22 * MIB + 7)
KEY = "Activity/0123/part-00000.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A container to test with."""

    writer: Destination
    """With the least rights that an export needs."""
    owner: Destination
    """With the right to read, list and delete too."""
    absent: Destination | None
    """In a container that does not exist; None where there is no such thing."""
    names: Callable[[], list[str]]
    """What lies in the container, by other means where there are any."""
    read: Callable[[str], bytes]
    """The bytes of an object, by other means where there are any."""


def _opened(url: str, *, local_root: Path | None = None) -> Destination:
    policy = DestinationPolicy(
        local_roots=(local_root,) if local_root else (), allow_loopback=True, allow_memory=True
    )
    return open_destination(parse_container_url(url, policy))


def _memory() -> Backend:
    container, prefix = MemoryContainer(), "below/here/"
    destination = _opened(container.url + "/below/here")
    return Backend(
        writer=destination,
        owner=destination,
        absent=None,
        names=lambda: [key.removeprefix(prefix) for key in container.list_keys(prefix)],
        read=lambda key: container.read(prefix + key),
    )


def _local(root: Path) -> Backend:
    folder = root / "container"
    (root / "file").touch()
    destination = _opened(folder.as_uri(), local_root=root)
    return Backend(
        writer=destination,
        owner=destination,
        absent=_opened((root / "file" / "container").as_uri(), local_root=root),
        names=lambda: sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        ),
        read=lambda key: (folder / key).read_bytes(),
    )


def _azure(server: Azurite) -> Backend:
    container = server.container()
    return Backend(
        writer=_opened(container.write_url),
        owner=_opened(server.url(container.name, "racwdl")),
        absent=_opened(server.url("c-that-is-not", "racwdl")),
        names=container.admin.list,
        read=container.admin.read,
    )


def _s3(server: S3) -> Backend:
    container = server.container()
    return Backend(
        writer=_opened(container.write_url),
        owner=_opened(container.read_url),
        absent=_opened(server.url("c-that-is-not")),
        names=container.admin.list,
        read=container.admin.read,
    )


@pytest.fixture(params=["memory", "local", "azurite", "s3"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    match request.param:
        case "memory":
            return _memory()
        case "local":
            return _local(tmp_path)
        case "azurite":
            return _azure(request.getfixturevalue("azurite"))
        case _:
            return _s3(request.getfixturevalue("s3"))


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize(
    ("expected", "chunks"),
    [
        pytest.param(b"", [], id="no chunks"),
        pytest.param(b"", [b"", b""], id="empty chunks"),
        pytest.param(b"abc", [b"a", b"", b"bc"], id="small"),
        pytest.param(LARGE[:BLOCK_BYTES], [LARGE[:BLOCK_BYTES]], id="one block"),
        pytest.param(LARGE[: BLOCK_BYTES + 1], [LARGE[: BLOCK_BYTES + 1]], id="over one block"),
        pytest.param(LARGE, list(_pieces(LARGE, 99_991)), id="large in many"),
        pytest.param(LARGE, [LARGE], id="large in one"),
        pytest.param(b"abcdefgh", [memoryview(b"abcdefgh").cast("I")], id="wide view"),
        pytest.param(
            LARGE,
            [memoryview(piece).cast("b") for piece in _pieces(LARGE, MIB)],
            id="large in views",
        ),
    ],
)
def test_put_stores_exactly_the_bytes(
    backend: Backend, expected: bytes, chunks: Iterable[bytes | memoryview]
) -> None:
    backend.writer.put(KEY, iter(chunks))

    assert backend.names() == [KEY]
    assert backend.read(KEY) == expected


@pytest.mark.parametrize("sizes", [(3, 5), (len(LARGE), 5), (5, len(LARGE))])
def test_put_replaces_what_was_there(backend: Backend, sizes: tuple[int, int]) -> None:
    first, second = (LARGE[:size] for size in sizes)

    backend.writer.put(KEY, [first])
    backend.writer.put(KEY, [second[::-1]])

    assert backend.names() == [KEY]
    assert backend.read(KEY) == second[::-1]


class _BrokenError(Exception):
    """Something of the caller's broke."""


@pytest.mark.parametrize("before", [0, 1, 20], ids=lambda count: f"after {count} MiB")
@pytest.mark.parametrize(
    "failure", [_BrokenError("mine"), OSError(5, "mine"), FileNotFoundError("mine")], ids=repr
)
@pytest.mark.parametrize("previous", [None, b"previous"])
def test_put_whose_chunks_fail_changes_nothing(
    backend: Backend, before: int, failure: Exception, previous: bytes | None
) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [bytes(MIB)] * before
        raise failure

    if previous is not None:
        backend.writer.put(KEY, [previous])
    with pytest.raises(type(failure)) as raised:
        backend.writer.put(KEY, chunks())

    assert raised.value is failure
    assert raised.value.__cause__ is None
    assert backend.names() == ([] if previous is None else [KEY])
    assert previous is None or backend.read(KEY) == previous


def test_put_of_two_writers_at_once_leaves_the_bytes_of_one(backend: Backend) -> None:
    versions = [bytes([number]) * (20 * MIB) for number in (1, 2)]

    def put(data: bytes) -> DestinationError | None:
        try:
            backend.writer.put(KEY, _pieces(data, MIB))
        except DestinationError as error:
            return error
        return None

    with ThreadPoolExecutor() as pool:
        refusals = [item for item in pool.map(put, versions) if item is not None]

    assert backend.read(KEY) in versions
    assert len(refusals) < len(versions)
    assert all(refusal.code is ErrorCode.CONCURRENT_WRITER for refusal in refusals)
    assert all(isinstance(refusal, Retryable) for refusal in refusals)


def test_get_gives_the_bytes_back(backend: Backend) -> None:
    backend.writer.put("empty", [])
    backend.writer.put("large", [LARGE])

    assert b"".join(backend.owner.get("empty")) == b""
    assert b"".join(backend.owner.get("large")) == LARGE


def test_get_of_what_is_not_there_says_so(backend: Backend) -> None:
    backend.writer.put("a/b", [b""])

    for key in ("a/c", "b", "b/c"):
        with pytest.raises(DestinationError, match=key) as raised:
            b"".join(backend.owner.get(key))
        assert raised.value.code is ErrorCode.CONTAINER_NOT_FOUND
        assert not isinstance(raised.value, Retryable)


def test_list_keys_gives_those_below_a_prefix_sorted(backend: Backend) -> None:
    for key in ("b", "a/2", "a/1", "a/x/1", "ab/1", "a-1"):
        backend.writer.put(key, [b""])

    assert backend.owner.list_keys("") == ["a-1", "a/1", "a/2", "a/x/1", "ab/1", "b"]
    assert backend.owner.list_keys("a/") == ["a/1", "a/2", "a/x/1"]
    assert backend.owner.list_keys("a") == ["a-1", "a/1", "a/2", "a/x/1", "ab/1"]
    assert backend.owner.list_keys("a/x") == ["a/x/1"]
    assert backend.owner.list_keys("nothing/") == []


def test_delete_removes_one_object_and_may_be_repeated(backend: Backend) -> None:
    backend.writer.put("a/1", [b""])
    backend.writer.put("a/2", [b""])

    backend.owner.delete("a/1")
    backend.owner.delete("a/1")
    backend.owner.delete("b/1")

    assert backend.names() == ["a/2"]


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\nb", "a\0b"]
)
def test_a_key_that_is_no_plain_path_is_refused(backend: Backend, key: str) -> None:
    for request in (
        lambda: backend.writer.put(key, [b"bytes"]),
        lambda: b"".join(backend.owner.get(key)),
        lambda: backend.owner.delete(key),
    ):
        with pytest.raises(DestinationError) as raised:
            request()
        assert raised.value.code is ErrorCode.EGRESS_DENIED


def test_check_passes_where_an_object_can_be_written(backend: Backend) -> None:
    backend.writer.check()
    backend.writer.check()

    assert [key for key in backend.names() if not key.startswith(".engagement-export")] == []


def test_a_container_that_is_not_there_is_named(backend: Backend) -> None:
    absent = backend.absent
    if absent is None:
        pytest.skip("A container in memory is there as soon as it is named.")

    for request in (
        absent.check,
        lambda: absent.put(KEY, [b"bytes"]),
        lambda: absent.put(KEY, [LARGE]),
        lambda: b"".join(absent.get(KEY)),
        lambda: absent.list_keys(""),
    ):
        with pytest.raises(DestinationError) as raised:
            request()
        assert raised.value.code is ErrorCode.CONTAINER_NOT_FOUND
        assert not isinstance(raised.value, Retryable)


@given(chunks=st.lists(st.binary(max_size=64)))
@settings(max_examples=50)
def test_put_joins_chunks_however_they_are_cut(chunks: list[bytes]) -> None:
    memory = _memory()

    memory.writer.put(KEY, chunks)

    assert memory.read(KEY) == b"".join(chunks)


def test_an_unfinished_s3_upload_is_given_up(s3: S3) -> None:
    container = s3.container()

    def chunks() -> Iterator[bytes]:
        yield from [bytes(MIB)] * 20
        raise _BrokenError

    with pytest.raises(_BrokenError):
        _opened(container.write_url).put(KEY, chunks())

    assert s3.client.list_multipart_uploads(Bucket=container.name).get("Uploads", []) == []


NAMES = (
    "résumé", "50% off", "%41", "%2e%2e", "a b", " a", "a ", "a+b", "a&b", "a=b", "a?b", "a#b",
    "a;b", "a'b", 'a"b', "a,b", "a:b", "~a", "$a", "a!b", "a*b", "(a)", "[a]", "{a}", "@a", "a|b",
    "a^b", "a`b", "<a>", "..a", "a..", "...", "雪", "🎿",
)  # fmt: skip


def test_a_prefix_may_have_any_letters(azurite: Azurite) -> None:
    container = azurite.container()
    address, sas = azurite.url(container.name, "racwdl").split("?")

    for name in NAMES:
        url = f"{address}/{quote(name, safe='')}/below?{sas}"
        destination = _opened(url)
        destination.put(f"{name}/part", [b"bytes"])
        assert container.admin.list() == [f"{name}/below/{name}/part"]
        assert destination.list_keys("") == [f"{name}/part"]
        assert b"".join(destination.get(f"{name}/part")) == b"bytes"
        destination.delete(f"{name}/part")


def test_a_backslash_which_azure_takes_for_a_slash_is_refused(azurite: Azurite) -> None:
    container = azurite.container()

    with pytest.raises(DestinationError) as raised:
        _opened(container.write_url).put("..\\a", [b"bytes"])

    assert raised.value.code is ErrorCode.EGRESS_DENIED
    assert container.admin.list() == []
