"""Makes bodies that no device should post, and says what the answer must be."""

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import zstandard

NATIVE, TRACKING = "/collect/v1/batch", "/v1/batch"
AT = "2026-11-01T10:00:00Z"
SENT_AT = f'"sentAt":"{AT}"'
GOOD_MAX = 3
"""Good logs at each side of a bad one."""
KEPT, REFUSED, OTHER_ENCODING = frozenset({202}), frozenset({400}), frozenset({415})
TOO_LARGE = frozenset({413})
EITHER = KEPT | REFUSED
DELIVERED = frozenset({200})
"""To SDKs everything counts as delivered that came with a known key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A body, and what must become of it."""

    kind: str
    """What is wrong with it."""
    path: str
    """The door."""
    body: bytes
    """What is posted."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Said besides the key and the length."""
    statuses: frozenset[int]
    """What may be answered."""
    good: Sequence[str] = ()
    """Names of logs that must be kept; there is an event of each."""
    bad: int | None = None
    """How many logs a native batch must have refused; None where that follows from nothing."""


def garbage(dice: random.Random, number: int) -> Garbage:
    """A body of a kind that the dice choose; names of logs hold its number."""
    make = dice.choice(MAKERS)
    return make(dice, number)


def plain_batch() -> Garbage:
    """A batch with nothing wrong in it, and nothing new for who has it already."""
    body = batch_text(0, good_logs(0, 1)[0]).replace("garbage", "plain").encode()
    return Garbage(kind="none", path=NATIVE, body=body, statuses=KEPT, bad=None)


# Fragments of JSON text, since much of what they hold cannot be written by a library.
_EVENT = f'"type":"event","timestamp":"{AT}"'
_HUGE = ("9" * 400, "-" + "9" * 5_000, "1e999999999", "1e-999999999", "1" + "0" * 4_301)
_HALVES = (r"\ud800", r"\udfff", r"a\ud83d", r"\ude00b", r"\udc00\ud800")
BAD_LOGS: dict[str, Callable[[random.Random], str]] = {
    "huge number in extras": lambda dice: (
        f'{{{_EVENT},"name":"n","extras":{{"n":{dice.choice(_HUGE)}}}}}'
    ),
    "huge number in tags": lambda dice: (
        f'{{"type":"tags","timestamp":"{AT}","tags":{{"n":{dice.choice(_HUGE)}}}}}'
    ),
    "huge campaign": lambda dice: (
        f'{{"type":"feedback","timestamp":"{AT}","campaignType":"Poll","status":"None",'
        f'"campaignId":{dice.choice(_HUGE)}}}'
    ),
    "lone surrogate in a name": lambda dice: f'{{{_EVENT},"name":"{dice.choice(_HALVES)}"}}',
    "lone surrogate in extras": lambda dice: (
        f'{{{_EVENT},"name":"n","extras":{{"k":"{dice.choice(_HALVES)}"}}}}'
    ),
    "lone surrogate in a key": lambda dice: (
        f'{{{_EVENT},"name":"n","extras":{{"{dice.choice(_HALVES)}":1}}}}'
    ),
    "duplicate keys": lambda dice: (
        f'{{{_EVENT},"name":"n","extras":{{"k":1,"k":{dice.random()}}}}}'
    ),
    "not a number in extras": lambda dice: (
        f'{{{_EVENT},"name":"n","extras":{{"k":{dice.choice(["NaN", "Infinity", "-Infinity"])}}}}}'
    ),
    "no object": lambda dice: dice.choice(["null", "[]", "1", '"x"', "true", "[[[]]]"]),
    "other types": lambda dice: (
        f'{{{_EVENT},"name":{dice.choice(["null", "1", "[]", "{}", "true", "1.5"])}}}'
    ),
    "no name": lambda dice: f'{{{_EVENT},"name":"{dice.choice(["", "x" * 65, "y" * 99_999])}"}}',
    "control characters": lambda dice: f'{{{_EVENT},"name":"a\\u{dice.randrange(32):04x}"}}',
    "no such time": lambda dice: (
        f'{{"type":"event","name":"n","timestamp":"{dice.choice(_NO_TIMES)}"}}'
    ),
    "end before start": lambda dice: (
        f'{{"type":"activity","name":"n","timestamp":"{AT}",'
        f'"end":"1970-01-01T00:00:0{dice.randrange(9)}Z"}}'
    ),
    "unknown type": lambda dice: f'{{"type":"{dice.choice(["", "Event", "x" * 9_999])}"}}',
    "bad key": lambda dice: (
        f'{{{_EVENT},"name":"n","extras":{{"{dice.choice(["", "1", "é"])}":1}}}}'
    ),
    "too many keys": lambda dice: (
        f'{{"type":"tags","timestamp":"{AT}","tags":{many_keys(dice.randint(201, 300))}}}'
    ),
}
"""Logs that are refused alone; their neighbours are kept."""
_NO_TIMES = (
    "", "now", "0000-00-00T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-01T10:00:00",
    "2026-11-01T24:61:61Z", "10000-01-01T00:00:00Z", "2026-11-01", "1e9",
    "2026-11-01T10:00:00+99:99", "9" * 5_000, "٢٠٢٦-11-01T10:00:00Z",
)  # fmt: skip
BAD_FIELDS: dict[str, Callable[[random.Random], str]] = {
    "huge number in info": lambda dice: f'"info":{{"screenWidth":{dice.choice(_HUGE[:2])}}}',
    "lone surrogate in an id": lambda dice: f'"batchId":"{dice.choice(_HALVES)}"',
    "lone surrogate in a user": lambda dice: f'"userId":"{dice.choice(_HALVES)}"',
    "other types": lambda dice: (
        f'"{dice.choice(["batchId", "deviceId", "sentAt", "logs"])}":'
        f"{dice.choice(['null', '{}', '1'])}"
    ),
    "no such time": lambda dice: f'"sentAt":"{dice.choice(_NO_TIMES[:2])}"',
    "no id": lambda dice: f'"deviceId":"{dice.choice(["", "x" * 257, "y" * 99_999])}"',
    "no JSON": lambda dice: (
        f'"x":{dice.choice(["nan", "01", "+1", "1.", ".5", "tru", "{,}", "[,]", "0x1"])}'
    ),
    "too deep": lambda dice: f'"x":{nested(dice.choice([33, 99, 1_000, 100_000]))}',
    "never closed": lambda dice: f'"x":{dice.choice(["[", "[{"]) * dice.choice([99, 50_000])}',
    "too many logs": lambda dice: f'"logs":[{",".join(["{}"] * dice.choice([1_001, 20_000]))}]',
}
"""Members for which a batch is refused whole."""
HARMLESS: dict[str, Callable[[random.Random], str]] = {
    "deep, as allowed": lambda dice: f'"x":{nested(dice.randint(1, 30))}',
    "not a number": lambda dice: f'"x":{dice.choice(["NaN", "Infinity", "-Infinity"])}',
    "huge number in nothing": lambda dice: f'"x":{dice.choice(_HUGE)}',
    "brackets in a text": lambda dice: f'"x":"{dice.choice("[{") * dice.choice([99, 50_000])}"',
    "duplicate fields": lambda dice: f'"userId":"a","userId":"b{dice.randrange(9)}"',
    "lone surrogate in nothing": lambda dice: f'"x":"{dice.choice(_HALVES)}"',
}
"""Members that change nothing."""
BAD_MESSAGES: dict[str, Callable[[random.Random], str]] = {
    "no object": BAD_LOGS["no object"],
    "other types": lambda dice: (
        f'{{"type":"track","userId":{dice.choice(["{}", "[]", "true", "null"])},"event":[]}}'
    ),
    "no name": lambda dice: f'{{"type":"track","userId":"u","event":"{dice.choice(["", " "])}"}}',
    "unknown type": lambda dice: (
        f'{{"type":"{dice.choice(["", "Track", "x" * 9_999])}","userId":"u"}}'
    ),
    "lone surrogate": lambda dice: (
        f'{{"type":"track","userId":"{dice.choice(_HALVES)}","event":"{dice.choice(_HALVES)}"}}'
    ),
    "huge numbers": lambda dice: (
        f'{{"type":"identify","userId":{dice.choice(_HUGE)},"timestamp":{dice.choice(_HUGE)},'
        f'"traits":{{"n":{dice.choice(_HUGE)}}},"context":{{"screen":{{"width":{dice.choice(_HUGE)}}}}}}}'
    ),
    "no such time": lambda dice: (
        f'{{"type":"track","userId":"u","event":"e","timestamp":"{dice.choice(_NO_TIMES)}",'
        f'"sentAt":"{dice.choice(_NO_TIMES)}","properties":{{"duration":{dice.choice(_HUGE)}}}}}'
    ),
    "not a number": lambda dice: (
        '{"type":"track","userId":"u","event":"e",'
        f'"properties":{{"k":[{dice.choice(["NaN", "-Infinity"])}]}}}}'
    ),
    "no JSON": lambda dice: dice.choice([r'{"type":"\q"}', '{"a" 1}', "{a:1}", "nan", "01", "'x'"]),
    "too deep": lambda dice: f'{{"type":"track","x":{nested(dice.choice([33, 1_000, 20_000]))}}}',
    "duplicate keys": lambda dice: (
        '{"type":"track","type":"screen","userId":"u","event":"e","event":"f",'
        f'"properties":{{"k":1,"k":{dice.random()},"K.":1,"k_":2}}}}'
    ),
    "deep properties": lambda dice: (
        '{"type":"track","userId":"u","event":"e",'
        f'"properties":{{"x":{nested(dice.randint(1, 28))}}}}}'
    ),
    "too many keys": lambda dice: (
        '{"type":"group","userId":"u","groupId":"g",'
        f'"traits":{many_keys(dice.randint(201, 300))}}}'
    ),
}
"""Messages that may be refused alone, or repaired; their neighbours are kept."""
CHARSETS = ("utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1", "cp500")
TOKENS = (
    *(b"null", b"NaN", b"[", b"]", b"{", b"}", b'"', b",", b":", b"-", b"1e999", b"9" * 400),
    *(b"\\", b"\\u", b"\\ud800", b"\\x", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"\x1f\x8b", b"\x28\xb5\x2f\xfd"),
)
"""What a mutation puts where it does not belong."""


def many_keys(count: int) -> str:
    """An object with so many."""
    return json.dumps({f"k{number}": number for number in range(count)})


def nested(depth: int) -> str:
    """An array so deep."""
    return "[" * depth + "]" * depth


def batch_text(number: int, logs: Sequence[str], *more: str) -> str:
    """A native batch whose last members are these."""
    head = f'"batchId":"garbage {number}",{SENT_AT},"deviceId":"device {number % 50}"'
    return "{" + ",".join([head, f'"logs":[{",".join(logs)}]', *more]) + "}"


def messages_text(number: int, messages: Sequence[str], *more: str) -> str:
    """A body of tracking messages."""
    return "{" + ",".join([SENT_AT, f'"batch":[{",".join(messages)}]', *more]) + "}"


def good_logs(number: int, count: int) -> tuple[list[str], list[str]]:
    """Logs that must be kept, and their names."""
    names = [f"good {number}.{place}" for place in range(count)]
    return [f'{{{_EVENT},"name":"{name}"}}' for name in names], names


def good_messages(number: int, count: int) -> tuple[list[str], list[str]]:
    """Messages that must be kept, and their names."""
    names = [f"good {number}.{place}" for place in range(count)]
    return [
        f'{{"type":"track","userId":"u","event":"{name}","messageId":"{name}"}}' for name in names
    ], names


def amid(dice: random.Random, good: list[str], bad: str) -> list[str]:
    """The good ones with the bad one at a place among them."""
    place = dice.randint(0, len(good))
    return [*good[:place], bad, *good[place:]]


def _bad_log(dice: random.Random, number: int) -> Garbage:
    kind = dice.choice([*BAD_LOGS])
    good, names = good_logs(number, dice.randint(1, GOOD_MAX))
    body = batch_text(number, amid(dice, good, BAD_LOGS[kind](dice)))
    return Garbage(kind=kind, path=NATIVE, body=body.encode(), statuses=KEPT, good=names, bad=1)


def _bad_message(dice: random.Random, number: int) -> Garbage:
    kind = dice.choice([*BAD_MESSAGES])
    good, names = good_messages(number, dice.randint(1, GOOD_MAX))
    body = messages_text(number, amid(dice, good, BAD_MESSAGES[kind](dice)))
    return Garbage(kind=kind, path=TRACKING, body=body.encode(), statuses=DELIVERED, good=names)


def _bad_field(dice: random.Random, number: int) -> Garbage:
    kind = dice.choice([*BAD_FIELDS])
    member = BAD_FIELDS[kind](dice)
    logs = [f'{{{_EVENT},"name":"never"}}']
    body = batch_text(number, logs, member).encode()
    if dice.random() < 0.5:
        return Garbage(kind=kind, path=NATIVE, body=body, statuses=REFUSED)
    body = messages_text(number, [f'{{"type":"track","event":"any {number}"}}'], member).encode()
    return Garbage(kind=kind, path=TRACKING, body=body, statuses=DELIVERED)


def _harmless(dice: random.Random, number: int) -> Garbage:
    kind = dice.choice([*HARMLESS])
    return dice.choice([_native, _tracking])(dice, number, kind, HARMLESS[kind](dice))


def _native(dice: random.Random, number: int, kind: str, *more: str) -> Garbage:
    good, names = good_logs(number, dice.randint(1, GOOD_MAX))
    body = batch_text(number, good, *more).encode()
    return Garbage(kind=kind, path=NATIVE, body=body, statuses=KEPT, good=names, bad=0)


def _tracking(dice: random.Random, number: int, kind: str, *more: str) -> Garbage:
    good, names = good_messages(number, dice.randint(1, GOOD_MAX))
    body = messages_text(number, good, *more).encode()
    return Garbage(kind=kind, path=TRACKING, body=body, statuses=DELIVERED, good=names)


def _random_bytes(dice: random.Random, number: int) -> Garbage:
    head = dice.choice([b"", b"{", b"[", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"])
    return _either_door(
        dice, "random bytes", head + dice.randbytes(dice.randrange(2_000)), REFUSED | TOO_LARGE
    )


def _mutated(dice: random.Random, number: int) -> Garbage:
    """What it may still hold is named so that it is not taken for a good log."""
    logs = [log.replace("good", "mutant") for log in good_logs(number, GOOD_MAX)[0]]
    logs += [make(dice) for make in dice.sample([*BAD_LOGS.values()], 2)]
    text = batch_text(number, logs, '"userId":"u"', '"info":{"screenWidth":1,"locale":"fi"}')
    if dice.random() < 0.5:
        messages = [
            message.replace("good", "mutant") for message in good_messages(number, GOOD_MAX)[0]
        ]
        messages += [make(dice) for make in dice.sample([*BAD_MESSAGES.values()], 2)]
        text = messages_text(number, messages, '"context":{"device":{"id":"d"}}')
    return _either_door(dice, "mutated", _mutate(dice, text.encode()), EITHER | TOO_LARGE)


def _mutate(dice: random.Random, body: bytes) -> bytes:
    for _ in range(dice.randint(1, 6)):
        place = dice.randrange(len(body) + 1)
        other = min(len(body), place + dice.randrange(40))
        what = dice.choice([b"", dice.choice(TOKENS), dice.randbytes(1), body[place:other] * 2])
        body = body[:place] + what + body[dice.choice([place, other]) :]
    return body[: dice.randrange(len(body) + 1)] if dice.random() < 0.1 else body


def _other_charset(dice: random.Random, number: int) -> Garbage:
    text = batch_text(number, good_logs(number, 1)[0], '"userId":"é"').replace("good", "mutant")
    body = text.encode(dice.choice(CHARSETS))
    content_type = dice.choice(
        ["application/json; charset=utf-16", "text/plain; charset=latin-1", ""]
    )
    return _either_door(dice, "other charset", body, EITHER, {"Content-Type": content_type})


def _said_wrongly(dice: random.Random, number: int) -> Garbage:
    """A good body whose headers tell of another; its first bytes count."""
    made = dice.choice([_native, _tracking])(dice, number, "wrongly labelled")
    body = dice.choice([bytes, gzip.compress, zstandard.compress])(made.body)
    headers = {
        "Content-Encoding": dice.choice(["gzip", "zstd", "identity", "GZIP", " x-gzip ", ""]),
        "Content-Type": dice.choice(["image/png", "application/json; charset=utf-32", "", "\t;;="]),
    }
    return replace(made, body=body, headers=headers)


def _unknown_encoding(dice: random.Random, number: int) -> Garbage:
    body = batch_text(number, good_logs(number, 1)[0]).replace("good", "mutant").encode()
    encoding = dice.choice(
        ["br", "deflate", "compress", "gzip, gzip", "x" * 9_999, "gzip;q=1", "\xff"]
    )
    return _either_door(
        dice, "unknown encoding", body, OTHER_ENCODING, {"Content-Encoding": encoding}
    )


def _broken_compression(dice: random.Random, number: int) -> Garbage:
    text = batch_text(number, good_logs(number, 1)[0]).replace("good", "mutant")
    body = dice.choice([gzip.compress, zstandard.compress])(text.encode())
    cut = body[: dice.randrange(4, len(body))]
    return _either_door(
        dice, "broken compression", dice.choice([cut, _mutate(dice, body)]), EITHER | TOO_LARGE
    )


def _either_door(
    dice: random.Random,
    kind: str,
    body: bytes,
    statuses: frozenset[int],
    headers: Mapping[str, str] | None = None,
) -> Garbage:
    path = dice.choice([NATIVE, TRACKING])
    return Garbage(
        kind=kind,
        path=path,
        body=body,
        headers=headers or {},
        statuses=statuses if path == NATIVE else DELIVERED,
    )


MAKERS: tuple[Callable[[random.Random, int], Garbage], ...] = (
    _bad_log,
    _bad_message,
    _bad_field,
    _harmless,
    _random_bytes,
    _mutated,
    _mutated,
    _other_charset,
    _said_wrongly,
    _unknown_encoding,
    _broken_compression,
)
