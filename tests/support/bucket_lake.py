"""Names a lake in a bucket, and what of the environment it is reached with."""

from collections.abc import Mapping

import pytest

from support.servers import S3, S3_REGION


def lake_environment(s3: S3) -> dict[str, str]:
    """What a process needs to know of a lake in a new bucket.

    The operator's own lake is reached with the host's own credentials, as everywhere else.
    """
    return {
        "ENGAGEMENT_LAKE_URL": f"s3://{s3.container().name}/lake",
        "AWS_ACCESS_KEY_ID": "operator",
        "AWS_SECRET_ACCESS_KEY": "operator",
        "AWS_REGION": S3_REGION,
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ALLOW_HTTP": "true",
    }


def name_bucket_lake(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lake in a new bucket, which this process can reach from now on."""
    environment = lake_environment(s3)
    name_lake_environment(environment, monkeypatch)
    return environment["ENGAGEMENT_LAKE_URL"]


def name_lake_environment(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process reach the lake that others reach; settings name it, not the environment."""
    for name, value in environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
