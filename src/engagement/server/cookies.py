"""Passes on what browsers keep for this service, and nothing else that they send with it.

To read cookies as Python does takes time that grows with the square of their length, and every
route has them read. Anybody may send them, and a browser sends those of others at the same host.
"""

from collections.abc import Collection, Iterable

VALUE_BYTES_MAX = 4_096
"""Browsers keep no longer ones."""
_ESCAPE = b"\\"
"""What no value of ours has in it, and what takes long to read."""

Header = tuple[bytes, bytes]


def keep_cookies(headers: Iterable[Header], names: Collection[bytes]) -> list[Header]:
    """Return the headers with the named cookies alone, each once, as it was sent last.

    Args:
        headers: Of a request, names in lower case.
        names: The cookies to keep.
    """
    others: list[Header] = []
    kept: dict[bytes, bytes] = {}
    for header in headers:
        if header[0] != b"cookie":
            others.append(header)
            continue
        for pair in header[1].split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name in names and len(value) <= VALUE_BYTES_MAX and _ESCAPE not in value:
                kept[name] = value
    if kept:
        others.append((b"cookie", b"; ".join(b"=".join(pair) for pair in kept.items())))
    return others
