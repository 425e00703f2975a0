"""Tests that what is said of the service, and packed up of it, gives no secret away."""

import base64
import io
import json
import zipfile
from pathlib import Path

from engagement import operations
from engagement.operations.system import NOT_SHOWN, list_settings, pack_diagnostics
from engagement.settings import Settings
from engagement.testing import open_test_runtime
from support.batches import everything
from support.canary import CANARY, has_canary


def test_settings_are_shown_without_secrets() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    settings = Settings(
        state_url=f"postgresql+psycopg://user:{CANARY}@host:5432/state?password={CANARY}",
        lake_url=f"s3://bucket/lake?key={CANARY}",
        vault_key=key,
        issuers=(f"https://user:{CANARY}@issuer.example",),
        flush_seconds=7,
    )

    found = {each.variable: each for each in list_settings(settings)}

    assert not has_canary(json.dumps([each.value for each in found.values()]).encode())
    assert found["ENGAGEMENT_STATE_URL"].value == "postgresql+psycopg://host:5432/state"
    assert found["ENGAGEMENT_LAKE_URL"].value == "s3://bucket/lake"
    assert found["ENGAGEMENT_ISSUERS"].value == "https://issuer.example"
    assert found["ENGAGEMENT_VAULT_KEY"].value == NOT_SHOWN
    assert (found["ENGAGEMENT_FLUSH_SECONDS"].value, found["ENGAGEMENT_TIDY_HOURS"].value) == (
        "7",
        "24",
    )
    assert not found["ENGAGEMENT_FLUSH_SECONDS"].is_default
    assert found["ENGAGEMENT_TIDY_HOURS"].is_default


def test_a_bundle_holds_its_files_and_no_name(tmp_path: Path) -> None:
    with open_test_runtime(tmp_path / "home") as runtime:
        made = operations.create_app(
            runtime, name=CANARY[:16], collection="c", resource_group="g", subscription=CANARY[:16]
        )
        body = everything(1)
        operations.collect_batch(
            runtime, made.app.app_id, body, content_encoding=None
        ).durable.result()
        runtime.flush(made.app.app_id)
        storage = operations.storage_state(runtime)

        content = pack_diagnostics(runtime, storage=storage, metrics=b"counters")

    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        files = {name: bundle.read(name) for name in bundle.namelist()}
    assert list(files) == list(operations.BUNDLE_FILES)
    tables = json.loads(files["tables.json"])
    assert {"app": made.app.app_id, "kind": "event", "version": 0, "rows": 2} in tables
    assert json.loads(files["upkeep.json"]) == {made.app.app_id: None}
    everything_packed = b"".join(files.values())
    assert made.app_key.encode() not in everything_packed
    assert CANARY[:16].encode() not in everything_packed
    assert b"user 1" not in everything_packed
