"""Tests that the asynchronous client does for an app's owner what the blocking one does."""

import asyncio
from pathlib import Path

import engagement
from support.server_process import FIRST_APP, RunningServer, running_server


def test_the_asynchronous_client_rules_keys(tmp_path: Path) -> None:
    with running_server(tmp_path / "home") as server:
        asyncio.run(rule(server))


async def rule(server: RunningServer) -> None:
    """Make, exchange and revoke keys, and look at who did."""
    owner = server.client("owner")
    async with engagement.AsyncClient(
        server.address,
        tenant_id=owner.tenant_id,
        client_id=owner.client_id,
        client_secret=owner.client_secret,
    ) as client:
        made = await client.create_key(FIRST_APP, "web")
        again = await client.rotate_key(FIRST_APP, made.key.key_id, keep_hours=0)
        keys = await client.list_keys(FIRST_APP)
        assert {made.key.key_id, again.key.key_id} <= {key.key_id for key in keys}
        assert (await client.revoke_key(FIRST_APP, again.key.key_id)).revoked_at is not None
        newest = (await client.list_changes(FIRST_APP))[0]
        assert newest.change.actor == owner.client_id
        assert all(
            change.position < newest.position
            for change in await client.list_changes(FIRST_APP, before=newest.position)
        )
