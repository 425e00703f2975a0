"""Tests which buckets and local folders may be named, and how they are taken apart."""

from pathlib import Path

import pytest

from engagement.deliver.urls import (
    DestinationPolicy,
    Scheme,
)
from engagement.exceptions import ErrorCode
from engagement.settings import Settings
from support.container_urls import STRICT, parsed_url, refusal_of

LOOSE = DestinationPolicy(allow_loopback=True, container_hosts=("storage.example.org",))
KEYS = "access_key_id=AK&secret_access_key=canary"


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket",
        "s3://bucket?region=us-east-1",
        "s3://bucket?access_key_id=AK&secret_access_key=&region=us-east-1",
        f"s3://bucket?{KEYS}",
        f"s3://?{KEYS}&region=us-east-1",
        f"s3://Bucket?{KEYS}&region=us-east-1",
        f"s3://bu..cket?{KEYS}&region=us-east-1",
        f"s3://127.0.0.1?{KEYS}&region=us-east-1",
        f"s3://bucket:80?{KEYS}&region=us-east-1",
        f"s3://user@bucket?{KEYS}&region=us-east-1",
        f"s3://bucket/a/../b?{KEYS}&region=us-east-1",
        f"s3://bucket?{KEYS}&region=us-east-1&anonymous=true",
        f"s3://bucket?{KEYS}&region=us-east-1&region=us-east-1",
        f"s3://bucket?{KEYS}&region=x.attacker.com%2F",
        f"s3://bucket?{KEYS}&region=x%40attacker.com%3A80%2F",
        f"s3://bucket?{KEYS}&region=attacker.com%23",
        f"s3://bucket?{KEYS}&region=us-east-1&endpoint=attacker.com",
        f"s3://bucket?{KEYS}&region=us-east-1&endpoint=ftp%3A%2F%2F127.0.0.1",
        f"s3://bucket?{KEYS}&region=us-east-1&endpoint=http%3A%2F%2F127.0.0.1%3Acanary",
        f"s3://bucket?{KEYS}&region=us-east-1&endpoint=http%3A%2F%2Fu%3Ap%40127.0.0.1",
        f"s3://bucket?{KEYS}&region=us-east-1&endpoint=http%3A%2F%2F127.0.0.1%2Fpath",
        f"s3://bucket?{KEYS}&region=us-east-1&endpoint=http%3A%2F%2F127.0.0.1%3Fcomp%3Da",
        "gs://bucket",
        "gs://bucket?access_token=",
        "gs://bucket?access_token=canary&x=y",
        "gs://storage.googleapis.com@bucket?access_token=canary",
        "gs://bucket?access_token=canary%0A",
        "gs://bucket?access_token=canary%20x",
        "gs://bucket?access_token=canary%C3%A9",
        f"s3://bucket?{KEYS}&region=us-east-1&session_token=canary%0D%0Ax-a:b",
        f"s3://bucket?{KEYS}&region=us-east-1&canary=x",
        f"s3://bucket?{KEYS}&region=us-east-1&canary",
        f"s3://bucket?{KEYS}&region=us-east-1&session_token=canary%zz",
        "s3://bucket?access_key_id=canary%0A&secret_access_key=canary&region=us-east-1",
        "s3://bucket?access_key_id=canary%C3%A9&secret_access_key=canary&region=us-east-1",
    ],
)
def test_a_bucket_url_that_cannot_work_is_refused(url: str) -> None:
    refusal_of(url, LOOSE)


def test_the_redacted_url_names_the_bucket_and_nothing_secret() -> None:
    assert str(parsed_url(f"s3://bucket/a?{KEYS}&region=us-east-1")) == "s3://bucket/a"
    assert str(parsed_url("gs://bucket?access_token=canary")) == "gs://bucket"


def test_a_bucket_url_is_taken_apart() -> None:
    url = f"s3://my.bucket-1/a/b/?{KEYS}&session_token=canary2&region=eu-west-1"

    parsed = parsed_url(f"{url}&endpoint=http%3A%2F%2F127.0.0.1%3A9000%2F", LOOSE)

    assert parsed.scheme is Scheme.S3
    assert (parsed.container, parsed.prefix) == ("my.bucket-1", "a/b")
    assert parsed.endpoint == "http://127.0.0.1:9000"
    assert parsed.secrets == {
        "access_key_id": "AK",
        "secret_access_key": "canary",
        "session_token": "canary2",
        "region": "eu-west-1",
    }
    assert "canary" not in f"{parsed} {parsed!r}"


def test_a_plus_stays_in_every_credential() -> None:
    s3 = "s3://bucket?access_key_id=A+K&secret_access_key=a/b+c%2Bd&session_token=x+y==&region=a-1"

    assert parsed_url(s3).secrets == {
        "access_key_id": "A+K",
        "secret_access_key": "a/b+c+d",
        "session_token": "x+y==",
        "region": "a-1",
    }
    assert parsed_url("gs://bucket?access_token=ya29.a+b/c").secrets == {
        "access_token": "ya29.a+b/c"
    }


def _roots(*roots: Path) -> DestinationPolicy:
    return DestinationPolicy(local_roots=roots)


def test_a_local_folder_must_lie_below_a_root(tmp_path: Path) -> None:
    policy = _roots(tmp_path / "a", tmp_path / "b")

    for inside in ("a", "a/deep/er", "b/x y"):
        parsed = parsed_url((tmp_path / inside).as_uri(), policy)
        assert parsed.container == str(tmp_path / inside)
        assert str(parsed) == f"file://{tmp_path / inside}"
    for outside in ("", "c", "ab", "a2/x"):
        assert refusal_of((tmp_path / outside).as_uri(), policy).code is ErrorCode.EGRESS_DENIED


@pytest.mark.parametrize(
    "tail", ["/../b", "/./c", "/%2e%2e/b", "/c%2f..%2f..%2fb", "/c%00", "?x=y", "#x", "/%0a"]
)
def test_a_way_out_of_a_local_root_is_refused(tmp_path: Path, tail: str) -> None:
    refusal_of(f"{(tmp_path / 'a').as_uri()}{tail}", _roots(tmp_path / "a"))


@pytest.mark.parametrize("url", ["file://host/tmp", "file://localhost/tmp", "file:///", "file:a"])
def test_a_local_url_is_refused_without_roots(url: str) -> None:
    refusal_of(url)


def test_a_link_in_the_path_of_a_root_is_the_operators_choice(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")

    parsed = parsed_url((tmp_path / "data" / "x").as_uri(), _roots(tmp_path / "data"))

    assert parsed.container == str(tmp_path / "disk" / "x")


def test_the_policy_is_what_the_settings_say(tmp_path: Path) -> None:
    settings = Settings(
        local_roots=(tmp_path,), container_hosts=("example.org",), allow_loopback_containers=True
    )

    policy = DestinationPolicy.from_settings(settings)

    assert policy == DestinationPolicy(
        local_roots=(tmp_path,), container_hosts=("example.org",), allow_loopback=True
    )
    assert DestinationPolicy.from_settings(Settings()) == STRICT
