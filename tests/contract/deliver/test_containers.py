"""Tests that what was checked in a container URL is what is sent, and nothing else."""

import hmac
from collections.abc import Iterator
from hashlib import sha256
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Answer, Call, ScriptedServer, scripted
from secrecy import assert_hidden

from engagement.deliver.containers import open_destination
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import DestinationError, ErrorCode

POLICY = DestinationPolicy(allow_loopback=True, container_hosts=("my-files.example.org",))
SAS = "sv=2023-11-03&sr=c&sp=cw&se=2099-01-01T00%3A00%3A00Z&sig=x"
PAIRS = [
    ("sv", "2023-11-03"),
    ("sr", "c"),
    ("sp", "cw"),
    ("se", "2099-01-01T00:00:00Z"),
    ("sig", "x"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted(Answer(status=201, headers={"ETag": '"0x1"'})) as running:
        yield running


def _sent(server: ScriptedServer, url: str) -> Call:
    server.calls.clear()
    open_destination(parse_container_url(url, POLICY)).put("a", [b"bytes"])
    (call,) = server.calls
    return call


def _sent_pairs(server: ScriptedServer, query: str) -> list[tuple[str, str]]:
    call = _sent(server, f"{server.endpoint}/devstoreaccount1/cont/p?{query}")
    split = urlsplit(call.target)
    assert split.path == "/devstoreaccount1/cont/p/a"
    return parse_qsl(split.query, keep_blank_values=True, strict_parsing=True)


def test_an_ampersand_inside_a_value_is_sent_inside_it(server: ScriptedServer) -> None:
    """Case 02: another parameter would make the write one of metadata alone."""
    sent = _sent_pairs(server, f"{SAS}&rscc=a%26comp%3Dmetadata")

    assert sent == [*PAIRS, ("rscc", "a&comp=metadata")]


def test_an_ampersand_inside_a_file_name_is_sent_inside_it(server: ScriptedServer) -> None:
    """Case 03."""
    sent = _sent_pairs(server, f"{SAS}&rscd=attachment%3B%20filename%3Da%26b.txt")

    assert sent == [*PAIRS, ("rscd", "attachment; filename=a&b.txt")]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(max_examples=50)
def test_any_value_is_sent_as_it_was_signed(server: ScriptedServer, value: str) -> None:
    for encoded in (quote(value, safe=""), quote_plus(value), quote(quote(value, safe=""))):
        once = dict(parse_qsl(f"rscd={encoded}", keep_blank_values=True))
        assert _sent_pairs(server, f"{SAS}&rscd={encoded}") == [*PAIRS, *once.items()]


@pytest.mark.parametrize("signature", ["a+b/c==", "a%2Bb%2fc%3D%3d", "%61+b/c=="])
def test_a_signature_is_sent_whole_however_it_is_spelled(
    server: ScriptedServer, signature: str
) -> None:
    assert _sent_pairs(server, f"sp=w&sig={signature}") == [("sp", "w"), ("sig", "a+b/c==")]


@pytest.mark.parametrize(
    ("host", "connected"),
    [
        ("my-files.example.org", "my-files.example.org"),
        ("account.blob.core.windows.net", "account.blob.core.windows.net"),
        ("account.dfs.core.windows.net", "account.blob.core.windows.net"),
    ],
)
def test_the_host_that_was_checked_is_the_one_that_is_asked(host: str, connected: str) -> None:
    """Case 12 is the first."""
    lookups: list[tuple[str, int]] = []

    def resolve(name: str, port: int) -> list[str]:
        lookups.append((name, port))
        return ["10.0.0.1"]

    url = parse_container_url(f"https://{host}/cont?{SAS}", POLICY)
    with pytest.raises(DestinationError) as raised:
        open_destination(url, resolve=resolve).check()

    assert raised.value.code is ErrorCode.EGRESS_DENIED
    assert set(lookups) == {(connected, 443)}


def test_a_plus_in_an_s3_secret_signs_as_a_plus(server: ScriptedServer) -> None:
    """Case 13, with a session token and an access key that have one too."""
    call = _sent(
        server,
        "s3://my-bucket/p?access_key_id=A+K&secret_access_key=a/b+c&session_token=x+y=="
        f"&region=us-east-1&endpoint={quote(server.endpoint, safe='')}",
    )

    head, _, signature = call.headers["authorization"].rpartition("Signature=")
    assert "Credential=A+K/" in head
    assert call.headers["x-amz-security-token"] == "x+y=="
    assert signature == _s3_signature(call, head.partition("SignedHeaders=")[2].split(",")[0])


def _s3_signature(call: Call, signed: str) -> str:
    """By the rules of AWS Signature Version 4."""
    fields = "".join(f"{name}:{call.headers[name]}\n" for name in signed.split(";"))
    content = call.headers["x-amz-content-sha256"]
    request = f"{call.method}\n{call.target}\n\n{fields}\n{signed}\n{content}"
    instant = call.headers["x-amz-date"]
    scope = (instant[:8], "us-east-1", "s3", "aws4_request")
    digest = sha256(request.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", instant, "/".join(scope), digest))
    key = b"AWS4a/b+c"
    for word in scope:
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.new(key, text.encode(), sha256).hexdigest()


SECRET = "abc+d/ef&gh%ij=="  # noqa: S105 - made up


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote(quote(SECRET, safe=""), safe=""),
        quote(quote(quote(SECRET, safe="")), safe=""),
        "".join(f"%{byte:02x}" for byte in SECRET.encode()),
        SECRET.replace("&", "&amp;"),
        quote(SECRET, safe="&").replace("&", "&amp;"),
    ],
)
def test_a_secret_is_hidden_however_the_service_repeats_it(spelled: str) -> None:
    answer = Answer(status=403, code="AuthenticationFailed", message=f"not {spelled} but")
    given_forms = (quote(SECRET, safe=""), quote(SECRET, safe="").lower(), quote(SECRET, safe="/+"))
    with scripted(answer) as server:
        for form in given_forms:
            azure = f"{server.endpoint}/devstoreaccount1/cont?sp=w&sig={form}"
            s3 = f"s3://bucket/p?access_key_id=AK&secret_access_key={form}&region=us-east-1"
            for url in (azure, f"{s3}&endpoint={quote(server.endpoint, safe='')}"):
                destination = open_destination(parse_container_url(url, POLICY))
                with pytest.raises(DestinationError) as raised:
                    destination.put("a", [b"bytes"])
                assert_hidden(raised.value, SECRET, spelled)
                assert "not <redacted> but" in str(raised.value)
