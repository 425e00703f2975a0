"""Tests what processes of a cluster answer, each by its roles."""

import signal
from pathlib import Path

import httpx

from engagement.sample.population import generate
from support.cluster import post_batch, running_cluster
from support.servers import S3
from support.waiting import WAIT_SECONDS_MAX, wait_for

EXIT_INTERRUPTED = 130


def test_roles_divide_what_processes_answer(tmp_path: Path, s3: S3) -> None:
    with running_cluster(tmp_path, s3) as cluster:
        words = (
            ["serve", "--port", "0", "--roles", "collect"],
            ["worker", "--roles", "flush,commit"],
        )
        begun = [cluster.begin(each, {"ENGAGEMENT_PROBE_PORT": "0"}) for each in words]
        collector, worker = map(cluster.await_hello, begun)
        api = cluster.serve("--roles", "api")
        key, tenant = str(collector.first_key), collector.hello["tenantId"]
        probes = f"http://127.0.0.1:{worker.hello['probePort']}"
        keys = f"/{tenant}/v2.0/.well-known/openid-configuration"

        def read(address: str, path: str) -> httpx.Response:
            return httpx.get(f"{address}{path}", trust_env=False, timeout=WAIT_SECONDS_MAX)

        batch = next(iter(generate(devices=1, days=1, seed=1)))
        assert post_batch(collector.address, key, batch).status_code == httpx.codes.ACCEPTED
        assert post_batch(api.address, key, batch).status_code == httpx.codes.NOT_FOUND
        assert read(api.address, keys).status_code == httpx.codes.OK
        assert read(collector.address, keys).status_code == httpx.codes.NOT_FOUND
        assert read(api.address, "/console/").status_code != httpx.codes.NOT_FOUND
        assert read(collector.address, "/console/").status_code == httpx.codes.NOT_FOUND
        assert [
            read(probes, path).status_code for path in ("/healthz", "/readyz", "/metrics", "/other")
        ] == [200, 200, 200, 404]
        assert "engagement_inbox_logs " in read(probes, "/metrics").text
        wait_for(
            lambda: cluster.command("cluster", "status")["lags"] == [],
            "the batch to be in the lake",
        )

        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(WAIT_SECONDS_MAX) == EXIT_INTERRUPTED
