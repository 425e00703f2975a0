"""Generates container URLs whose SAS Azure's own SDK signed, right and wrong ones.

Whether one is right is decided by how it was made and by the service that answers, not by the
code under test.
"""

import random
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from azure.storage.blob import (
    UserDelegationKey,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)

from support.servers import AZURE_ACCOUNT, AZURITE_FOLDER

POLICY = "may write & more"
OTHER_KEY = b64encode(bytes(64)).decode()


class Kind(StrEnum):
    """How a SAS is signed."""

    CONTAINER = "container"
    POLICY = "policy"
    ACCOUNT = "account"
    DELEGATION = "delegation"
    FOLDER = "folder"
    DELEGATED_FOLDER = "delegated folder"
    SCOPE = "encryption scope"


AZURITE_KINDS = (Kind.CONTAINER, Kind.POLICY, Kind.ACCOUNT, Kind.DELEGATION)
"""Those that Azurite checks itself; the others are judged by the SDK, see `judge.py`."""


class Fate(StrEnum):
    """What must become of a URL."""

    DELIVERED = "delivered"
    REFUSED = "refused before anything is sent"
    DENIED = "refused by the service"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """A container URL, without scheme, host and account."""

    kind: Kind
    """How it is signed."""
    flaw: str
    """What is wrong with it; empty if nothing is."""
    fate: Fate
    """What must become of it."""
    prefix: tuple[str, ...]
    """The folders below the container."""
    path: str
    """The same as spelled in the URL, with a leading slash if there is one."""
    query: str = field(repr=False)
    """The SAS as spelled in the URL."""
    signed: dict[str, str] = field(repr=False)
    """The parameters as the SDK signed them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What SAS are signed with."""

    container: str
    """The container that they are for."""
    account_key: str = field(repr=False)
    """The account's key."""


def generate_urls(dice: random.Random, count: int, keys: Keys) -> Iterator[SignedUrl]:
    """Container URLs, of which about half are right."""
    flaws = list(_FLAWS)
    for number in range(count):
        right = _right(dice, keys, number)
        yield right if number % 2 else _FLAWS[dice.choice(flaws)](dice, keys, right)


def delegation_key() -> UserDelegationKey:
    """A key that Azurite made for a user: a function of what names it."""
    key = UserDelegationKey()
    key.signed_oid = "11111111-1111-4111-8111-111111111111"
    key.signed_tid = "22222222-2222-4222-8222-222222222222"
    key.signed_start = "2020-01-01T00:00:00Z"
    key.signed_expiry = "2099-01-01T00:00:00Z"
    key.signed_service = "b"
    key.signed_version = "2025-01-05"
    names = (key.signed_oid, key.signed_tid, key.signed_start, key.signed_expiry)
    text = "\n".join((*names, key.signed_service, key.signed_version))
    key.value = b64encode(digest(_seed().encode(), text.encode(), sha256)).decode()
    return key


def _seed() -> str:
    file = AZURITE_FOLDER / "node_modules/azurite/dist/src/blob/utils/constants.js"
    text = Path(file).read_text(encoding="utf-8")
    found = re.search(r'USERDELEGATIONKEY_SIGNING_SEED = "([^"]+)"', text)
    assert found
    return found[1]


# What may be signed


_WORDS = (
    "", "no-cache", "attachment; filename=a&b.txt", "a&comp=metadata", "a&sig=x&sp=r", "100%",
    "%26comp=list", "%2526", "a+b c", "résumé.csv", "雪.csv", "=", "&", "&&", "?#/", "text/csv",
    "image/svg+xml", '"quoted name".csv', "a\tb", "🎿", "filename*=UTF-8''%e2%82%ac.csv", "a;b",
)  # fmt: skip
_FOLDERS = (
    "2026", "a b", "50% off", "résumé", "雪", "a&b", "a=b", "a+b", "a?b", "a#b", "%2e%2e", "%41",
    "..a", "a..", "a;b", "a'b", "a,b", "~a", "$a", "a!b", "a*b", "(a)", "[a]", "{a}", "a:b", "@a",
    "comp=list", "sig", 'a"b', "a|b", "a^b", "a`b", "<a>", "c", "Ünï", "🎿",
)  # fmt: skip


def _headers(dice: random.Random) -> dict[str, str]:
    names = (
        "cache_control", "content_disposition", "content_encoding", "content_language",
        "content_type",
    )  # fmt: skip
    return {name: dice.choice(_WORDS) for name in names if dice.random() < 0.4}


def _times(dice: random.Random) -> dict[str, datetime | str | None]:
    now = datetime.now(UTC)
    starts = (None, None, now - timedelta(minutes=15), "2020-01-01", "2020-01-01T00:00Z")
    ends = (now + timedelta(hours=8), "2099-01-01", "2099-01-01T00:00Z", "2099-12-31T23:59:59Z")
    return {"start": dice.choice(starts), "expiry": dice.choice(ends)}


def _rest(dice: random.Random) -> dict[str, str | None]:
    return {
        "permission": dice.choice(("w", "cw", "rcw", "racwdl", "racwdxl")),
        "protocol": dice.choice((None, None, "https,http")),
        "ip": dice.choice((None, None, "127.0.0.1", "0.0.0.0-255.255.255.255")),
    }


def sign(kind: Kind, keys: Keys, folders: tuple[str, ...], **values: Any) -> str:
    """What the SDK signs for a container, an account or a folder."""
    key: dict[str, Any] = {"account_key": keys.account_key}
    if kind in {Kind.DELEGATION, Kind.DELEGATED_FOLDER}:
        key = {"user_delegation_key": delegation_key()}
    signed: str
    if kind is Kind.ACCOUNT:
        signed = generate_account_sas(AZURE_ACCOUNT, **key, **values)
    elif kind in {Kind.FOLDER, Kind.DELEGATED_FOLDER}:
        folder = "/".join(folders)
        signed = generate_blob_sas(
            AZURE_ACCOUNT, keys.container, folder, is_directory=True, **key, **values
        )
    else:
        signed = generate_container_sas(AZURE_ACCOUNT, keys.container, **key, **values)
    return signed


def _values(dice: random.Random, kind: Kind) -> dict[str, Any]:
    if kind is Kind.POLICY:
        return {"policy_id": POLICY, **_headers(dice)}
    values: dict[str, Any] = {**_times(dice), **_rest(dice)}
    if kind is Kind.ACCOUNT:
        types = {"services": dice.choice(("b", "bq", "bqtf", "fb"))}
        return {**values, **types, "resource_types": dice.choice(("o", "co", "sco"))}
    values |= _headers(dice)
    if kind is Kind.SCOPE:
        values["encryption_scope"] = dice.choice(("scope1", "my-scope"))
    if kind is Kind.DELEGATED_FOLDER:
        values["correlation_id"] = "33333333-3333-4333-8333-333333333333"
        agent = dice.choice(("preauthorized_agent_object_id", "agent_object_id"))
        values[agent] = "44444444-4444-4444-8444-444444444444"
    return values


def _right(dice: random.Random, keys: Keys, number: int) -> SignedUrl:
    kind = dice.choice((*AZURITE_KINDS, *Kind))
    folders = tuple(dice.choices(_FOLDERS, k=dice.randint(0, 3)))
    prefix = (*folders, *dice.choices(_FOLDERS, k=dice.randint(0, 2)), f"n{number}")
    token = sign(kind, keys, folders, **_values(dice, kind))
    return _spelled(dice, kind, prefix, token)


def _spelled(dice: random.Random, kind: Kind, prefix: tuple[str, ...], token: str) -> SignedUrl:
    """A URL with the token, in one of the spellings that mean the same."""
    pairs = parse_qsl(token, keep_blank_values=True, strict_parsing=True)
    if dice.random() < 0.5:
        dice.shuffle(pairs)
    encode = dice.choice(_ENCODERS)
    spelled = [f"{_some_escaped(dice, name)}={encode(dice, value)}" for name, value in pairs]
    query = dice.choice(("&", "&", "&", "&&")).join(spelled)
    path = "".join(dice.choice(("/", "/", "/", "//")) + encode(dice, name) for name in prefix)
    return SignedUrl(
        kind=kind,
        flaw="",
        fate=Fate.DELIVERED,
        prefix=prefix,
        path=path.replace("+", "%20"),
        query=query + dice.choice(("", "", "&")),
        signed=dict(pairs),
    )


def _all_escaped(dice: random.Random, text: str) -> str:
    digits = dice.choice(("%{:02X}", "%{:02x}"))
    return "".join(digits.format(byte) for byte in text.encode())


def _some_escaped(dice: random.Random, text: str) -> str:
    if dice.random() < 0.9:
        return text
    return "".join(
        _all_escaped(dice, character) if dice.random() < 0.3 else character for character in text
    )


_ENCODERS: tuple[Callable[[random.Random, str], str], ...] = (
    lambda _, text: quote(text, safe=""),
    lambda _, text: quote(text, safe="-_.~!$'()*,;:@"),
    lambda _, text: quote(text, safe="").replace("%20", "+"),
    _all_escaped,
    lambda dice, text: "".join(
        _all_escaped(dice, character) if dice.random() < 0.3 else quote(character, safe="")
        for character in text
    ),
)


# What may be wrong


_STRANGERS = (
    "comp=metadata", "comp=list", "Comp=metadata", "COMP=block", "%63omp=metadata", "comp=",
    "%2563omp=metadata", "restype=container", "snapshot=2026-01-01T00:00:00Z", "versionid=1",
    "timeout=1", "blockid=AAAA", "SIG=x", "Sp=w", "%20sp=w", "sp%20=w", "+sp=w", "sp%00=w", "x=y",
    "api-version=2012-02-12", "x-ms-blob-type=PageBlob", "srh=x-ms-a", "srq=comp", "popreceipt=1",
    "sig%26comp=metadata", "a%26comp%3Dmetadata=", "amp;comp=metadata", "?comp=metadata", "=x",
    "sig=AAAA", "%73ig=AAAA", "ses=x&ses=x", "comp", "w", "&rscc",
    "rscc=%", "rsct=%zz", "rscl=%FF", "rsce=%C3%28", "rscd=%ED%A0%80", "ses=%C0%AF", "%FF=x",
)  # fmt: skip


def _with_stranger(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    """With a parameter that is none of a SAS, or that is there already, or broken."""
    twin = dice.choice(list(url.signed))
    stranger = dice.choice((*_STRANGERS, f"{_some_escaped(dice, twin)}=w"))
    pairs = url.query.strip("&").split("&")
    pairs.insert(dice.randint(0, len(pairs)), stranger)
    return replace(url, flaw=f"stranger {stranger}", fate=Fate.REFUSED, query="&".join(pairs))


def _resigned(dice: random.Random, keys: Keys, url: SignedUrl, **changes: Any) -> str:
    kind = Kind.CONTAINER if url.kind is Kind.POLICY else url.kind
    folders = url.prefix[: int(url.signed.get("sdd", "0"))]
    return sign(kind, keys, folders, **{**_values(dice, kind), **changes})


def _unfit(dice: random.Random, keys: Keys, url: SignedUrl, flaw: str, **changes: Any) -> SignedUrl:
    """Signed well, but for what cannot work."""
    kind = Kind.CONTAINER if url.kind is Kind.POLICY else url.kind
    token = _resigned(dice, keys, url, **changes)
    return replace(_spelled(dice, kind, url.prefix, token), flaw=flaw, fate=Fate.REFUSED)


def _without_right(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    return _unfit(dice, keys, url, "may not write", permission=dice.choice(("r", "rl", "d", "rdl")))


def _expired(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    ended = dice.choice(
        (datetime.now(UTC) - timedelta(seconds=5), "2020-06-01", "2020-06-01T01:00Z")
    )
    return _unfit(dice, keys, url, "expired", start="2020-01-01", expiry=ended)


def _early(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    starts = dice.choice((datetime.now(UTC) + timedelta(hours=1), "2098-01-01"))
    return _unfit(dice, keys, url, "too early", start=starts, expiry="2099-01-01")


def _for_https(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    return _unfit(dice, keys, url, "for https", protocol="https")


def _for_other_service(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    changes = dice.choice(({"services": "qf"}, {"resource_types": "sc"}))
    values = {**_values(dice, Kind.ACCOUNT), **changes}
    token = sign(Kind.ACCOUNT, keys, (), **values)
    return replace(
        _spelled(dice, Kind.ACCOUNT, url.prefix, token),
        flaw="for another service",
        fate=Fate.REFUSED,
    )


def _above_folder(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    folders = (*url.prefix, *dice.choices(_FOLDERS, k=dice.randint(1, 2)))
    token = sign(Kind.FOLDER, keys, folders, **_values(dice, Kind.FOLDER))
    return replace(
        _spelled(dice, Kind.FOLDER, url.prefix, token), flaw="above its folder", fate=Fate.REFUSED
    )


def _in_other_folder(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    folders = ("another", *url.prefix[1:])
    token = sign(Kind.FOLDER, keys, folders, **_values(dice, Kind.FOLDER))
    return replace(
        _spelled(dice, Kind.FOLDER, url.prefix, token), flaw="in another folder", fate=Fate.DENIED
    )


def _with_other_key(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    kind = dice.choice((Kind.CONTAINER, Kind.ACCOUNT, Kind.FOLDER))
    wrong = replace(keys, account_key=OTHER_KEY)
    token = sign(kind, wrong, url.prefix[:1], **_values(dice, kind))
    return replace(_spelled(dice, kind, url.prefix, token), flaw="another key", fate=Fate.DENIED)


def _for_other_container(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    token = sign(
        Kind.CONTAINER, replace(keys, container="other"), (), **_values(dice, Kind.CONTAINER)
    )
    return replace(
        _spelled(dice, Kind.CONTAINER, url.prefix, token),
        flaw="another container",
        fate=Fate.DENIED,
    )


def _forged(dice: random.Random, keys: Keys, url: SignedUrl) -> SignedUrl:
    """With a value that was not signed, in place of the one that was."""
    kind = Kind.CONTAINER if url.kind in {Kind.POLICY, Kind.SCOPE} else url.kind
    pairs = dict(parse_qsl(_resigned(dice, keys, replace(url, kind=kind), permission="cw")))
    names = [name for name in _FORGERIES if name in pairs]
    name = dice.choice(names)
    pairs[name] = _FORGERIES[name]
    token = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items())
    return replace(_spelled(dice, kind, url.prefix, token), flaw=f"forged {name}", fate=Fate.DENIED)


_FORGERIES = {
    "sp": "racwd",
    "se": "2098-07-07T07:07:07Z",
    "st": "2020-07-07T07:07:07Z",
    "sip": "0.0.0.0-255.255.255.254",
    "sig": OTHER_KEY[:43] + "=",
    "rscc": "forged",
    "rscd": "attachment; filename=forged&comp=x",
    "rsce": "forged",
    "rscl": "forged",
    "rsct": "forged/forged",
}

_FLAWS: dict[str, Callable[[random.Random, Keys, SignedUrl], SignedUrl]] = {
    "stranger": _with_stranger,
    "stranger too": _with_stranger,
    "without right": _without_right,
    "expired": _expired,
    "early": _early,
    "for https": _for_https,
    "for another service": _for_other_service,
    "above its folder": _above_folder,
    "in another folder": _in_other_folder,
    "another key": _with_other_key,
    "another container": _for_other_container,
    "forged": _forged,
}
