"""Makes bodies that are small to send and meant to be dear to read."""

import gzip
import struct
import zlib
from collections.abc import Callable

import zstandard

from support.batches import batch, log

KIB, MIB, GIB = 2**10, 2**20, 2**30
BOMB_BYTES_MAX = 32 * MIB
"""Memory that a bomb may take."""
BATCH = batch(*(log("event", number, extras={"n": number}) for number in range(50)))
GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""The head of a gzip member without fields."""
GZIP, ZSTD = gzip.compress(BATCH), zstandard.ZstdCompressor(write_checksum=True).compress(BATCH)
BLOCK_BYTES = 128 * KIB
"""The most that a zstd block may become."""

FNAME, FEXTRA, FHCRC = 8, 4, 2
WINDOW_8_MIB, WINDOW_16_MIB, WINDOW_2_GIB = 13 << 3, 14 << 3, 21 << 3


def repeated(pattern: bytes, size: int) -> bytes:
    """A gzip member of a pattern again and again; only a small part of it is ever in memory."""
    some = pattern * (4 * MIB // len(pattern))
    compressor = zlib.compressobj(9, wbits=-15)
    unit = compressor.compress(some) + compressor.flush(zlib.Z_FULL_FLUSH)
    return GZIP_HEAD + unit * (size // len(some)) + b"\x03\0" + bytes(8)


def members(content: bytes, count: int) -> bytes:
    """Many gzip members."""
    return gzip.compress(content) * count


def member(flags: int, fields: bytes = b"", *, method: int = 8) -> bytes:
    """A gzip member whose head is unusual."""
    return bytes((0x1F, 0x8B, method, flags, 0, 0, 0, 0, 0, 0xFF)) + fields + GZIP[10:]


def empty_blocks(size: int) -> bytes:
    """Deflate blocks that build tables and hold nothing; nothing costs more time for its bytes."""
    lengths = {18, 1}  # of runs of zeros, and of the one code that ends a block
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)
    fields = [
        (0, 1),
        (2, 2),
        (0, 5),
        (0, 5),
        (14, 4),
        *((int(item in lengths), 3) for item in order),
    ]
    fields += [(1, 1), (138 - 11, 7), (1, 1), (118 - 11, 7), (0, 1), (0, 1), (0, 1)]
    bits = "".join(f"{value:0{width}b}"[::-1] for value, width in fields) * 8
    unit = int(bits[::-1], 2).to_bytes(len(bits) // 8, "little")
    return GZIP_HEAD + unit * (size // len(unit))


def frame(*blocks: bytes, window: int = WINDOW_8_MIB) -> bytes:
    """A zstd frame that names a window."""
    return b"\x28\xb5\x2f\xfd\0" + bytes([window]) + b"".join(blocks) + zstd_block(0, 0, last=True)


def zstd_block(kind: int, size: int, content: bytes = b"", *, last: bool = False) -> bytes:
    """A zstd block: 0 is raw, 1 repeats one byte, 3 is reserved."""
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3] + content


def zeros(size: int, *, window: int = WINDOW_8_MIB) -> bytes:
    """A zstd frame of zeros, four bytes for each block."""
    return frame(zstd_block(1, BLOCK_BYTES, b"\0") * (size // BLOCK_BYTES), window=window)


def sized(size: int, content: bytes) -> bytes:
    """A zstd frame that says how many bytes it becomes, whether or not that is so."""
    head = b"\x28\xb5\x2f\xfd\xc0" + bytes([WINDOW_8_MIB]) + struct.pack("<Q", size)
    return head + zstd_block(0, len(content), content, last=True)


def skippable(size: int, content: bytes = b"") -> bytes:
    """A zstd frame to be skipped, of a size that it says."""
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", size) + content


def altered(data: bytes, place: int) -> bytes:
    """The data with one byte turned around."""
    changed = bytearray(data)
    changed[place] ^= 0xFF
    return bytes(changed)


def nested(data: bytes, *compress: Callable[[bytes], bytes]) -> bytes:
    """The data, compressed in several ways one after another."""
    for item in compress:
        data = item(data)
    return data


RAW_BATCH = zstd_block(0, len(BATCH), BATCH)
"""So that what is refused is the frame around it."""
SIZES = {"2 MiB": 2 * MIB, "9 MiB": 9 * MIB, "64 MiB": 64 * MIB, "1 GiB": GIB, "10 GiB": 10 * GIB}
CUTS = (2, 3, 9, 10, 11, len(GZIP) // 2, len(GZIP) - 8, len(GZIP) - 4, len(GZIP) - 1)
ZSTD_CUTS = (4, 5, 6, len(ZSTD) // 2, len(ZSTD) - 4, len(ZSTD) - 1)
PATTERNS = {"spaces": b" ", "pairs": b"[]", "matches": bytes(258), "logs": BATCH + b"\n"}

BOMBS: dict[str, Callable[[], bytes]] = {
    **{f"gzip, zeros of {name}": lambda n=size: repeated(b"\0", n) for name, size in SIZES.items()},
    **{f"zstd, zeros of {name}": lambda n=size: zeros(n) for name, size in SIZES.items()},
    **{
        f"gzip, {name}": lambda item=pattern: repeated(item, 128 * MIB)
        for name, pattern in PATTERNS.items()
    },
    **{f"gzip, cut at {cut}": lambda end=cut: GZIP[:end] for cut in CUTS},
    **{f"zstd, cut at {cut}": lambda end=cut: ZSTD[:end] for cut in ZSTD_CUTS},
    "gzip, bad CRC": lambda: altered(GZIP, -8),
    "gzip, other length": lambda: altered(GZIP, -1),
    "gzip, length of 4 GiB": lambda: GZIP[:-4] + b"\xff" * 4,
    "gzip, damaged data": lambda: altered(GZIP, len(GZIP) // 2),
    "gzip, unknown method": lambda: member(0, method=7),
    "gzip, wrong head CRC": lambda: member(FHCRC, b"\0\0"),
    "gzip, name without end": lambda: GZIP_HEAD[:3] + bytes([FNAME]) + b"\0" * 6 + b"n" * MIB,
    "gzip, name of 900 KiB before a bomb": lambda: (
        member(FNAME, b"n" * 900 * KIB + b"\0")[: -len(GZIP[10:])] + repeated(b"\0", 64 * MIB)[10:]
    ),
    "gzip, extra field cut": lambda: member(FEXTRA, b"\xff\xff")[:30],
    "gzip, reserved block": lambda: GZIP_HEAD + b"\x07" + bytes(50),
    "gzip, empty blocks with tables": lambda: empty_blocks(MIB - 99),
    "gzip, empty stored blocks": lambda: GZIP_HEAD + b"\0\0\0\xff\xff" * (MIB // 5 - 9),
    "gzip, 10,000 members": lambda: members(bytes(2 * KIB), 10_000),
    "gzip, 50,000 empty members": lambda: members(b"", 50_000),
    "gzip, 10,000 members and a bomb": lambda: members(b" ", 10_000) + repeated(b" ", 64 * MIB),
    "gzip, batch and a bomb": lambda: GZIP + repeated(b" ", 64 * MIB),
    "gzip, batch and garbage": lambda: GZIP + b"\x1f\x8bgarbage",
    "gzip, batch and half a head": lambda: GZIP + b"\x1f\x8b",
    "gzip, more than a mebibyte": lambda: members(b"", MIB),
    "zstd, bad checksum": lambda: altered(ZSTD, -1),
    "zstd, damaged data": lambda: altered(ZSTD, len(ZSTD) // 2),
    "zstd, window of 16 MiB": lambda: frame(RAW_BATCH, window=WINDOW_16_MIB),
    "zstd, window of 2 GiB": lambda: frame(RAW_BATCH, window=WINDOW_2_GIB),
    "zstd, window of 2 GiB and a bomb": lambda: zeros(GIB, window=WINDOW_2_GIB),
    "zstd, says 2 GiB": lambda: sized(2 * GIB, BATCH),
    "zstd, says 2 bytes": lambda: sized(2, BATCH),
    "zstd, says 2^63 bytes": lambda: sized(2**63, BATCH),
    "zstd, one segment of 2 GiB": lambda: b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", 2 * GIB),
    "zstd, needs a dictionary": lambda: b"\x28\xb5\x2f\xfd\x21\x07\x02\x11\0\0{}",
    "zstd, reserved block": lambda: frame(zstd_block(3, 9, bytes(9))),
    "zstd, block beyond the most": lambda: frame(zstd_block(1, BLOCK_BYTES + 1, b"\0")),
    "zstd, empty blocks": lambda: frame(zstd_block(0, 0) * (MIB // 3 - 9)),
    "zstd, 10,000 frames": lambda: zeros(BLOCK_BYTES) * 10_000,
    "zstd, 100,000 empty frames": lambda: frame() * 100_000,
    "zstd, 100,000 frames to skip": lambda: skippable(0) * 100_000,
    "zstd, skips 4 GiB": lambda: skippable(2**32 - 1, bytes(KIB)),
    "zstd, skips and a bomb": lambda: skippable(900 * KIB, bytes(900 * KIB)) + zeros(GIB),
    "zstd, batch and a bomb": lambda: ZSTD + zeros(GIB),
    "zstd, batch and garbage": lambda: ZSTD + ZSTD[:4] + b"garbage",
    "nested, gzip in gzip": lambda: nested(BATCH, gzip.compress, gzip.compress),
    "nested, gzip bomb in gzip": lambda: gzip.compress(repeated(b"\0", 512 * MIB)),
    "nested, zstd bomb in gzip": lambda: gzip.compress(zeros(10 * GIB)),
    "nested, gzip bomb in zstd": lambda: zstandard.compress(repeated(b"\0", 512 * MIB)),
    "nested, three times": lambda: nested(zeros(10 * GIB), zstandard.compress, gzip.compress),
    "plain, more than a body may have": lambda: b" " * (10 * MIB + 1),
    "plain, a zip archive": lambda: b"PK\x03\x04" + bytes(KIB),
    "plain, brackets": lambda: b"[" * MIB,
}
"""Each by its name; none is made before it is needed."""
