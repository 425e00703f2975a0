"""Takes the compression off an HTTP body, within limits that no sender can pass."""

import contextlib
from collections.abc import Callable
from io import BytesIO

from engagement.collect.expanding import BrokenDataError, compression_of, expand
from engagement.collect.limits import quote_value
from engagement.exceptions import (
    CorruptInputError,
    RequestTooLargeError,
    UnsupportedEncodingError,
)
from engagement.model.exports import Compression
from engagement.model.limits import BODY_BYTES_MAX

COMPRESSED_BYTES_MAX = 1024 * 1024
"""Of a compressed body. What expands to nothing costs time too, about 0.1 seconds a mebibyte."""
RATIO_MAX = 100
"""Bytes that each compressed byte may become on average; batches become 5 to 20."""
RATIO_FREE_BYTES = 1024 * 1024
"""A body may expand to this much at any ratio, as short and very regular ones do."""
ZSTD_WINDOW_BYTES_MAX = 8 * 1024 * 1024
"""Memory that a zstd frame may ask for; RFC 9659 allows no more in HTTP."""
BEGINNING_STEP_BYTES = 256
"""Compressed bytes that are expanded at once where only the beginning is wanted."""

_ENCODINGS = {"", "identity", "gzip", "x-gzip", "zstd"}


def plain_body(
    body: bytes,
    content_encoding: str | None,
    on_trailing: Callable[[], None] = lambda: None,
    *,
    bytes_max: int = BODY_BYTES_MAX,
    ratio_max: int = RATIO_MAX,
) -> bytes:
    """The plain bytes of a body; one that would become too much is not expanded to its end.

    Whether a body is gzip, zstd or plain is told by its first bytes, since SDKs send compressed
    bodies without the header, and plain ones with it. What was compressed twice is expanded once.

    Args:
        body: The body as it was sent.
        content_encoding: The header `Content-Encoding`, if there was one.
        on_trailing: Called if there are bytes behind the end of the compressed data, which are
            left out.
        bytes_max: Bytes that the plain body may have.
        ratio_max: Plain bytes for each compressed one, once there are `RATIO_FREE_BYTES`.

    Raises:
        UnsupportedEncodingError: The header names another encoding, or more than one.
        RequestTooLargeError: The body has more bytes, or would expand to more, than may be.
        CorruptInputError: The compressed data is damaged or cut off.
    """
    encoding = (content_encoding or "").strip().lower()
    if encoding not in _ENCODINGS:
        raise UnsupportedEncodingError(
            f"Content-Encoding must be identity, gzip or zstd, got {quote_value(encoding)}."
        )
    compression = compression_of(body)
    if compression is Compression.NONE:
        _check_size(body, "A body", bytes_max)
        return body
    _check_size(body, "A compressed body", COMPRESSED_BYTES_MAX)
    bytes_max = min(bytes_max, max(RATIO_FREE_BYTES, ratio_max * len(body)))
    return _plain(body, compression, bytes_max, on_trailing)


def plain_beginning(body: bytes, bytes_max: int) -> bytes:
    """The first bytes of a body when it is plain, and all of a shorter one.

    It costs no more than `bytes_max` plain bytes do, whatever else the body holds; what is damaged
    ends where the damage is.
    """
    compression = compression_of(body)
    if compression is Compression.NONE:
        return body[:bytes_max]
    source = BytesIO(body[:COMPRESSED_BYTES_MAX])
    pieces: list[bytes] = []
    size = 0
    with contextlib.suppress(BrokenDataError):
        for piece in expand(
            lambda step: source.read(min(step, BEGINNING_STEP_BYTES)),
            compression,
            zstd_window_bytes_max=ZSTD_WINDOW_BYTES_MAX,
        ):
            pieces.append(piece)
            size += len(piece)
            if size >= bytes_max:
                break
    return b"".join(pieces)[:bytes_max]


def _check_size(body: bytes, what: str, bytes_max: int) -> None:
    if len(body) > bytes_max:
        raise RequestTooLargeError(f"{what} must have at most {bytes_max} bytes, got {len(body)}.")


def _plain(
    body: bytes, compression: Compression, bytes_max: int, on_trailing: Callable[[], None]
) -> bytes:
    pieces: list[bytes] = []
    size = 0
    read = BytesIO(body).read
    try:
        for piece in expand(
            read,
            compression,
            zstd_window_bytes_max=ZSTD_WINDOW_BYTES_MAX,
            on_trailing=on_trailing,
        ):
            size += len(piece)
            if size > bytes_max:
                raise RequestTooLargeError(
                    f"A body must expand to at most {bytes_max} bytes, its {len(body)} bytes of "
                    f"{compression} become more."
                )
            pieces.append(piece)
    except BrokenDataError as error:
        raise CorruptInputError(
            f"The body cannot be read: its {compression} data is damaged or cut off ({error})."
        ) from error
    return b"".join(pieces)
