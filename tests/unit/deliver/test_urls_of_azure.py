"""Tests which container URLs may be used, and that their secrets stay hidden."""

from datetime import UTC, timedelta
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engagement.deliver.urls import (
    AZURE_HOST_SUFFIXES,
    DestinationPolicy,
    Scheme,
    parse_container_url,
)
from engagement.exceptions import ErrorCode, InvalidContainerError
from support.container_urls import HOST, NOW, STRICT, parsed_url, refusal_of

CANARY = "canary%2Fsignature%3D"
SAS = f"sv=2024-11-04&sp=cw&sr=c&se=2026-11-25T00%3A00%3A00Z&sig={CANARY}"
LOOSE = DestinationPolicy(allow_loopback=True, container_hosts=("storage.example.org",))
KEYS = "access_key_id=AK&secret_access_key=canary"


LOOPBACK_ADDRESSES = ("127.0.0.1", "[::1]", "localhost")
ADDRESSES = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001",
    "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00:ec2::254]",
    "169.254.169.254", "168.63.129.16", "10.0.0.1", "0.0.0.1", "100.64.0.1", "localhost",
    "localhost.", "metadata", "metadata.google.internal", "127.0.0.1.", "[fe80::1%25eth0]",
    "[::]", "1.1.1.1", "255.255.255.255", "%31%32%37.0.0.1", "127。0。0。1",
)  # fmt: skip
HOSTILE_HOSTS = (
    f"{HOST}.attacker.com", "evilblob.core.windows.net.attacker.com", "evilblob.core.windows.net",
    "blob.core.windows.net", ".blob.core.windows.net", "account.blob.core.windows.net.",
    "attacker.com", f"attacker.com%2f.{HOST}", f"attacker.com%00.{HOST}", f"user@{HOST}",
    f"{HOST}@attacker.com", f"user:canary@{HOST}", f"attacker.com\\@{HOST}", f"{HOST}:80",
    f"{HOST}:22", f"{HOST}:0", f"{HOST}:65536", f"{HOST}:-1", f"{HOST}:canary", f"{HOST}:4 43",
    "account.blob.core.windows.net..", "-account.blob.core.windows.net",
    "\u0430ccount.blob.core.windows.net",
    "account.blob。core.windows.net", "ACC_OUNT.blob.core.windows.net",
    "account.blob.core.windows.net%2eattacker.com",
    "account.blob.core.windows.net,attacker.com", "[account.blob.core.windows.net]", "",
    "account.file.core.windows.net", "account.queue.core.windows.net", "storage.example.org",
    "account\t.blob.core.windows.net", "account\n.blob.core.windows.net", "xn--ls8h.example",
)  # fmt: skip


@pytest.mark.parametrize("host", [*ADDRESSES, *HOSTILE_HOSTS])
def test_a_host_that_is_no_storage_service_is_refused(host: str) -> None:
    refusal_of(f"https://{host}/container?{SAS}")
    refusal_of(f"s3://bucket?{KEYS}&region=us-east-1&endpoint={quote(f'https://{host}')}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "container",
        f"//{HOST}/container?{SAS}",
        f"https:{HOST}/container?{SAS}",
        f"https:///{HOST}/container?{SAS}",
        f"http://{HOST}/container?{SAS}",
        f"ftp://{HOST}/container?{SAS}",
        f"wasbs://container@{HOST}/?{SAS}",
        f"javascript://{HOST}/container?{SAS}",
        f" https://{HOST}/container?{SAS}",
        f"https://{HOST}/container?{SAS} ",
        f"https://{HOST}/container?{SAS}#",
        f"https://{HOST}/container?{SAS}#fragment",
        f"https://{HOST}/container#?{SAS}",
        f"https://{HOST}/container?{SAS}\r\nHost: attacker.com",
        f"https://{HOST}/container/é?{SAS}",
        f"https://{HOST}\\container?{SAS}",
        f"https://{HOST}/container?{SAS}&sig=again",
        f"https://{HOST}/container?{SAS}&sp=r",
        f"https://{HOST}/container?{SAS}&comp=metadata",
        f"https://{HOST}/container?{SAS}&restype=container&comp=list",
        f"https://{HOST}/container?{SAS}&x=canary",
        f"https://{HOST}/container?{SAS}" + "&sig" * 9_000,
        "https://[::1/container?canary",
        f"memory://container?{SAS}",
    ],
)
def test_a_url_that_is_not_plain_is_refused(url: str) -> None:
    refusal_of(url)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "//", "/ab", "/Container", "/con--tainer", "/-container", "/container-",
        "/con_tainer",
        f"/{'a' * 64}", f"/{'a-' * 40}a", "/con.tainer", "/..", "/$logs", "/container/..",
        "/container/../other", "/container/./a", "/container/%2e%2e/other", "/container/a%2fb",
        "/container/%2E./other", "/container/a/%2e%2e%2f", "/container/a%00", "/container/a%0a",
        "/%63ontainer%2fa", "/container/%E2%80%8B", "/container/a%7f",
    ],
)  # fmt: skip
def test_a_path_that_is_no_container_and_plain_prefix_is_refused(path: str) -> None:
    refusal_of(f"https://{HOST}{path}?{SAS}")


LEGAL_HOSTS = [
    *(f"{item}{suffix}" for item in ("abc", "a1b2", "x" * 24) for suffix in AZURE_HOST_SUFFIXES),
    "account.z01.blob.storage.azure.net",
    "account-secondary.blob.core.windows.net",
    "ACCOUNT.Blob.Core.Windows.Net",
    f"{HOST}:443",
]  # fmt: skip
LEGAL_PATHS = {
    "/abc": ("abc", ""),
    "/container/": ("container", ""),
    "//container//a///b/": ("container", "a/b"),
    "/a-b-c/2026/11": ("a-b-c", "2026/11"),
    f"/{'a' * 63}": ("a" * 63, ""),
    "/$web/a": ("$web", "a"),
    "/$root": ("$root", ""),
    "/container/r%C3%A9sum%C3%A9/50%25": ("container", "résumé/50%"),
    "/container/a%20b": ("container", "a b"),
    "/container/..a/a..": ("container", "..a/a.."),
    "/0123456789": ("0123456789", ""),
}
LEGAL_SAS = [
    f"sig={CANARY}",
    f"sp=w&sig={CANARY}",
    f"sp=racwdxyltmei&sr=c&spr=https&sig={CANARY}",
    f"sp=cw&spr=https,http&sig={CANARY}",
    f"sp=cw&sip=10.0.0.1-10.0.0.9&sig={CANARY}",
    f"si=policy&sr=c&sv=2024-11-04&sig={CANARY}",
    f"ss=b&srt=o&sp=w&se=2026-12-01&sig={CANARY}",
    f"ss=bfqt&srt=sco&sp=rwdlacupiytfx&se=2026-12-01T00:00Z&sig={CANARY}",
    f"sp=cw&st=2026-11-24T12:00:00Z&se=2026-11-24T12:00:01Z&sig={CANARY}",
    f"sp=cw&st=2026-11-24T11:59:59.9999999Z&se=2026-11-25&sig={CANARY}",
    f"sp=cw&se=2026-11-24T14:30:00%2B02:00&sig={CANARY}",
    f"skoid=a&sktid=b&skt=2026-11-24&ske=2026-11-30&sks=b&skv=2024-11-04&sp=w&sig={CANARY}",
    f"sv=2024-11-04&rscc=no-cache&rscd=x&rsce=gzip&rscl=en&rsct=text%2Fplain&sp=w&sig={CANARY}",
]
LEGAL = [
    *((host, "/container/a", SAS) for host in LEGAL_HOSTS),
    *((HOST, path, SAS) for path in LEGAL_PATHS),
    *((HOST, "/container", sas) for sas in LEGAL_SAS),
    *((HOST, path, sas) for path in list(LEGAL_PATHS)[:3] for sas in LEGAL_SAS[:5]),
]


@pytest.mark.parametrize(("host", "path", "sas"), LEGAL)
def test_a_legal_azure_url_is_accepted_and_taken_apart(host: str, path: str, sas: str) -> None:
    parsed = parsed_url(f"https://{host}{path}?{sas}")

    assert parsed.scheme is Scheme.AZURE
    assert parsed.endpoint == f"https://{host.lower()}"
    assert parsed.account == host.lower().split(".")[0]
    assert (parsed.container, parsed.prefix) == LEGAL_PATHS.get(path, ("container", path[11:]))
    assert parsed.secrets == {"sas": sas}
    assert list(parsed.sas) == parse_qsl(sas)
    assert "canary" not in f"{parsed} {parsed!r} {parsed.redacted}"


def test_there_are_many_legal_urls() -> None:
    assert len(set(LEGAL)) >= 50


def test_the_redacted_url_names_the_container_and_nothing_secret() -> None:
    assert str(parsed_url(f"https://{HOST}/container/a/b?{SAS}")) == f"https://{HOST}/container/a/b"


@pytest.mark.parametrize(
    ("sas", "code"),
    [
        ("", ErrorCode.INVALID_CONTAINER),
        ("sp=cw", ErrorCode.INVALID_CONTAINER),
        ("sp=cw&sig=", ErrorCode.INVALID_CONTAINER),
        ("sp=r&sig=canary", ErrorCode.SAS_PERMISSION_MISSING),
        ("sp=&sig=canary", ErrorCode.SAS_PERMISSION_MISSING),
        ("sp=cw&sr=b&sig=canary", ErrorCode.SAS_PERMISSION_MISSING),
        ("sp=cw&sr=d&sdd=1&sig=canary", ErrorCode.SAS_PERMISSION_MISSING),
        ("sp=cw&ss=fqt&srt=o&sig=canary", ErrorCode.SAS_PERMISSION_MISSING),
        ("sp=cw&ss=b&srt=sc&sig=canary", ErrorCode.SAS_PERMISSION_MISSING),
        ("sp=cw&spr=http&sig=canary", ErrorCode.INVALID_CONTAINER),
        ("sp=cw&se=2026-11-24T12:00:00Z&sig=canary", ErrorCode.SAS_EXPIRED),
        ("sp=cw&se=2026-11-24&sig=canary", ErrorCode.SAS_EXPIRED),
        ("sp=cw&se=2026-11-24T13:30:00%2B02:00&sig=canary", ErrorCode.SAS_EXPIRED),
        ("sp=cw&st=2026-11-24T12:00:01Z&sig=canary", ErrorCode.SAS_NOT_YET_VALID),
        ("sp=cw&se=canary&sig=canary", ErrorCode.INVALID_CONTAINER),
        ("sp=cw&st=&sig=canary", ErrorCode.INVALID_CONTAINER),
        ("sp=cw&se=9999-12-31T23:59:59-12:00&sig=canary", ErrorCode.INVALID_CONTAINER),
    ],
)
def test_a_sas_that_cannot_work_is_refused_with_its_code(sas: str, code: ErrorCode) -> None:
    assert refusal_of(f"https://{HOST}/container?{sas}").code is code


def test_the_times_of_a_sas_are_kept() -> None:
    sas = f"st=2026-11-24T11:00:00Z&se=2026-11-24T14:30:00%2B02:00&sig={CANARY}"

    parsed = parsed_url(f"https://{HOST}/container?{sas}")

    assert parsed.starts_at == NOW - timedelta(hours=1)
    assert parsed.expires_at == NOW + timedelta(minutes=30)
    assert parsed.expires_at.tzinfo is UTC


def test_a_url_to_read_from_needs_the_right_to_read() -> None:
    url = f"https://{HOST}/container?{SAS}"

    with pytest.raises(InvalidContainerError, match="permission r") as raised:
        parse_container_url(url, STRICT, now=NOW, permission="r")

    assert raised.value.code is ErrorCode.SAS_PERMISSION_MISSING


@pytest.mark.parametrize("account", ["a", "ab", "a" * 25, "a-b", "account-tertiary"])
def test_a_name_that_is_no_account_is_refused(account: str) -> None:
    refusal_of(f"https://{account}.blob.core.windows.net/container?{SAS}")


@pytest.mark.parametrize("host", ["attacker.com", "evilblob.core.windows.net"])
def test_a_host_outside_the_policy_is_denied_with_its_own_code(host: str) -> None:
    error = refusal_of(f"https://{host}/container?{SAS}")

    assert error.code is ErrorCode.EGRESS_DENIED
    assert "ENGAGEMENT_CONTAINER_HOSTS" in str(error)


def test_the_operator_may_add_hosts() -> None:
    policy = DestinationPolicy(container_hosts=("storage.example.org", ".other.example"))

    for host in ("account.storage.example.org", "storage.example.org", "account.other.example"):
        assert parsed_url(f"https://{host}/container?{SAS}", policy).endpoint == f"https://{host}"
    for host in ("evilstorage.example.org", "example.org", "storage.example.org.attacker.com"):
        assert refusal_of(f"https://{host}/container?{SAS}", policy).code is ErrorCode.EGRESS_DENIED


@pytest.mark.parametrize("host", LOOPBACK_ADDRESSES)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_loopback_host_is_for_development_only(scheme: str, host: str) -> None:
    url = f"{scheme}://{host}:10000/devstoreaccount1/container/a?{SAS}"

    parsed = parsed_url(url, LOOSE)

    assert parsed.endpoint == f"{scheme}://{host}:10000/devstoreaccount1"
    assert (parsed.account, parsed.container, parsed.prefix) == (
        "devstoreaccount1",
        "container",
        "a",
    )
    refusal_of(url)


@pytest.mark.parametrize("host", [host for host in ADDRESSES if host not in LOOPBACK_ADDRESSES])
def test_even_in_development_other_addresses_are_refused(host: str) -> None:
    refusal_of(f"http://{host}:10000/devstoreaccount1/container?{SAS}", LOOSE)


@given(st.text(max_size=200))
@example("https://[")
@example("https://h:99999999999999999999/")
def test_any_text_is_refused_or_parsed_but_never_breaks(text: str) -> None:
    try:
        parsed = parsed_url(text)
    except InvalidContainerError as error:
        message = str(error)
    else:
        message = str(parsed)
    assert len(message) < 1_024


@given(host=st.from_regex(r"[a-z0-9.@:%\[\]/\\-]{1,40}", fullmatch=True))
def test_no_host_is_accepted_but_those_of_the_services(host: str) -> None:
    try:
        parsed = parsed_url(f"https://{host}/container?{SAS}")
    except InvalidContainerError:
        return
    name = parsed.endpoint.removeprefix("https://").removesuffix(":443")
    assert name.endswith(AZURE_HOST_SUFFIXES)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


@example(names=["a\\b"])
@example(names=["..\\a"])
@given(names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=4))
def test_a_prefix_of_plain_names_survives_and_others_are_refused(names: list[str]) -> None:
    path = "".join(f"/{quote(name, safe='')}" for name in names)
    is_plain = all(
        name not in {".", ".."} and not {"/", "\\"} & set(name) and name.isprintable()
        for name in names
    )

    if is_plain:
        assert parsed_url(f"https://{HOST}/container{path}?{SAS}").prefix == "/".join(names)
    else:
        refusal_of(f"https://{HOST}/container{path}?{SAS}")
