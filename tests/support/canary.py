"""A secret that must be nowhere, and the look for it in all its forms."""

import base64
import json
from urllib.parse import quote

CANARY = "CaNaRy0123456789+/abcdefgh=="
SAS = f"sv=2024-11-04&sr=c&sp=cw&sig={quote(CANARY, safe='')}"


def has_canary(content: bytes) -> bool:
    """Whether the secret can be read there, as it is, quoted, reversed, in hex or base 64."""
    return has_secret(content, CANARY)


def has_secret(content: bytes, secret: str) -> bool:
    """Whether a secret can be read there, as it is, quoted, reversed, in hex or base 64."""
    quoted = quote(secret, safe="")
    forms = {secret, quoted, quote(quoted, safe=""), secret[::-1], json.dumps(secret)[1:-1]}
    forms |= {base64.b64encode(secret.encode()).decode(), secret.encode().hex()}
    return any(form.encode() in content for form in forms)
