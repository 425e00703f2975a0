"""Tests that an embedded service has no processes to look at or to drain."""

from pathlib import Path

import pytest

from engagement import operations
from engagement.exceptions import BadInputError
from engagement.runtime.opening import open_service
from engagement.settings import Settings


def test_an_embedded_service_is_no_cluster(tmp_path: Path) -> None:
    with open_service(Settings(home=tmp_path), run_tasks=False) as runtime:
        with pytest.raises(BadInputError, match="ENGAGEMENT_STATE_URL"):
            operations.read_cluster_status(runtime)
        with pytest.raises(BadInputError, match="ENGAGEMENT_STATE_URL"):
            operations.drain_executor(runtime, "somebody")
        operations.commit_due(runtime)
