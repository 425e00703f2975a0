"""Finds its way through JSON that is not well formed, as far as some of it can be kept.

Only texts that a JSON reader refused come here, so nobody waits for it who sends what is right.
"""

import re

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
STRUCTURES_MAX = 500_000
"""Strings, brackets and words of a text that is looked through; one of more is left as it is."""
PARTS_MAX = 100_000
"""Elements or members that a text is split into."""

# Possessive, so that neither time nor memory grows with what cannot be matched.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# Where all strings of a text are looked for, one that is not closed goes on to the end: tried anew
# from each quote in it, a few megabytes of escaped quotes would take days.
_STRING_OR_REST = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|(?P<rest>\\?\Z))'
_SPACE = rb"[ \t\r\n]*+"
_WORD = rb"-?(?:NaN|Infinity)"
_NON_FINITE = re.compile(
    # A string, and what is behind it if that makes it the key of such a number; or one alone.
    rb"(?P<key>%s)(?:%s:%s(?P<member>%s)(?=%s[,}])(?P<comma>%s,)?)?"
    rb"|(?<![0-9A-Za-z.+-])(?P<element>%s)(?=%s(?:[,\]]|\Z))"
    % (_STRING_OR_REST, _SPACE, _SPACE, _WORD, _SPACE, _SPACE, _WORD, _SPACE),
    re.DOTALL,
)
_TO_SEPARATOR = re.compile(rb'(?:[^"{}\[\],]++|%s)*+' % _STRING, re.DOTALL)
_TO_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|%s)*+' % _STRING, re.DOTALL)
_MEMBER = re.compile(rb"%s(%s)%s:(.*)" % (_SPACE, _STRING, _SPACE), re.DOTALL)
_ANY_STRING = re.compile(_STRING_OR_REST, re.DOTALL)
_WHITE = b" \t\r\n"


class UnsplittableError(Exception):
    """Where the parts of a text begin and end cannot be told."""


def drop_non_finite(text: bytes) -> tuple[bytes, int]:
    """Return the text without its bare `NaN`, `Infinity` and `-Infinity`, and how many there were.

    JSON has no such numbers, but Python's encoder writes them. A member of an object goes with its
    key; an element of an array becomes null, so that the others keep their places.
    """
    if not _may_have_non_finite(text):
        return text, 0
    kept = bytearray()
    place = dropped = 0
    for match in _NON_FINITE.finditer(text):
        if match["member"] is None and match["element"] is None:
            continue
        kept += text[place : match.start()]
        place = match.end()
        dropped += 1
        if match["element"] is not None:
            kept += b"null"
        elif match["comma"] is None:
            _drop_last_comma(kept)
    return bytes(kept) + text[place:], dropped


def mark_non_finite(text: bytes, mark: bytes) -> bytes:
    """Return the text with a string of the mark and the word for each such number."""
    if not _may_have_non_finite(text):
        return text
    pieces: list[bytes] = []
    place = 0
    for match in _NON_FINITE.finditer(text):
        group = "member" if match["member"] is not None else "element"
        if match[group] is not None:
            pieces += (text[place : match.start(group)], b'"', mark, match[group], b'"')
            place = match.end(group)
    return b"".join((*pieces, text[place:]))


def unmark_non_finite(text: bytes, mark: bytes) -> bytes:
    """Return the text with the numbers that `mark_non_finite` took away."""
    return re.sub(rb'"%s(%s)"' % (re.escape(mark), _WORD), rb"\1", text)


def split_elements(text: bytes) -> list[bytes]:
    """Return the texts of an array's elements, whatever is wrong inside of them.

    Raises:
        UnsplittableError: It is no array, its brackets or quotes do not match, or it has more
            than `STRUCTURES_MAX` or `PARTS_MAX` allow.
    """
    return _split(text, b"[")


def split_members(text: bytes) -> dict[bytes, bytes]:
    """Return the texts of an object's members by those of their keys, quotes included.

    Of members with one key the last counts.

    Raises:
        UnsplittableError: It is no object, as for `split_elements`, or has something else than
            members.
    """
    members: dict[bytes, bytes] = {}
    for part in _split(text, b"{"):
        match = _MEMBER.fullmatch(part)
        if match is None:
            raise UnsplittableError("a member has a key, a colon and a value")
        members[match[1]] = match[2].strip(_WHITE)
    return members


def empty_strings(text: bytes) -> bytes:
    """Return the text with nothing in its strings."""
    return _ANY_STRING.sub(lambda found: found[0] if found["rest"] is not None else b'""', text)


def _split(text: bytes, opening: bytes) -> list[bytes]:
    text = text.strip(_WHITE)
    if not text.startswith(opening) or not _is_searchable(text):
        raise UnsplittableError("it begins otherwise, or has too much in it")
    parts: list[bytes] = []
    start = place = 1
    depth = 1
    while depth:
        found = (_TO_SEPARATOR if depth == 1 else _TO_BRACKET).match(text, place)
        place = len(text) if found is None else found.end()
        char = text[place : place + 1]
        place += 1
        if char in {b"{", b"["}:
            depth += 1
        elif char in {b"}", b"]"}:
            depth -= 1
        elif char != b",":
            raise UnsplittableError("a string or a bracket has no end")
        if depth == 0 or (depth == 1 and char == b","):
            parts.append(text[start : place - 1].strip(_WHITE))
            start = place
            if len(parts) > PARTS_MAX:
                raise UnsplittableError(f"it has more than {PARTS_MAX} parts")
    if place != len(text):
        raise UnsplittableError("something is behind its end")
    return parts if parts != [b""] else []


def _drop_last_comma(text: bytearray) -> None:
    end = len(text)
    while end and text[end - 1] in _WHITE:
        end -= 1
    if text.endswith(b",", 0, end):
        del text[end - 1 :]


def _may_have_non_finite(text: bytes) -> bool:
    return (b"NaN" in text or b"Infinity" in text) and _is_searchable(text)


def _is_searchable(text: bytes) -> bool:
    others = sum(map(text.count, (b"{", b"[", b"}", b"]", b"NaN", b"Infinity")))
    return text.count(b'"') // 2 + others <= STRUCTURES_MAX
