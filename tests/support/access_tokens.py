"""Gives Schemathesis an access token that has not ended, however long a run takes.

Schemathesis loads it by itself and tells it nothing: whose tokens to get is in a file beside it.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import schemathesis

CLIENT_FILE = "client.json"
"""Holds the address that gives tokens, the form to post there, and the tokens' scheme."""
SECONDS_MAX = 600
"""After so long no token comes."""
REFRESH_SECONDS = 600
"""Much less than the hour that a token lasts."""


# Not upon 401 too: a server that refuses a good token must be found, not asked again.
@schemathesis.auth(refresh_interval=REFRESH_SECONDS, retry_on=[])
class FreshTokens:
    """The tokens of one client."""

    def get(self, _case: Any, _context: Any) -> str:
        """What to send as `Authorization`."""
        client = json.loads(Path(CLIENT_FILE).read_text(encoding="utf-8"))
        answer = httpx.post(
            client["address"], data=client["form"], trust_env=False, timeout=SECONDS_MAX
        )
        token: str = answer.raise_for_status().json()["access_token"]
        return f"{client['scheme']} {token}"

    def set(self, case: Any, data: str, _context: Any) -> None:
        """Let a request carry it."""
        case.headers["Authorization"] = data
