"""Names a lake in a bucket, for which the environment has the credentials."""

import pytest

from support.servers import S3, S3_REGION


def name_bucket_lake(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """The operator's own lake is reached with the host's own credentials, as everywhere else."""
    container = s3.container()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "operator")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "operator")
    monkeypatch.setenv("AWS_REGION", S3_REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    return f"s3://{container.name}/lake"
