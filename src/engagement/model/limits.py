"""The limits of a batch, for those who take it in and those who send it."""

import re

BODY_BYTES_MAX = 10 * 1024 * 1024
RECORDS_PER_BATCH_MAX = 1000
JSON_DEPTH_MAX = 32
BATCH_ID_CHARACTERS_MAX = 100
ID_CHARACTERS_MAX = 256
NAME_CHARACTERS_MAX = 64
KEY_CHARACTERS_MAX = 64
EXTRAS_CHARACTERS_MAX = 1024
EXTRAS_KEYS_MAX = 200
TAGS_PER_RECORD_MAX = 200
TAG_CHARACTERS_MAX = 1024
TOKEN_CHARACTERS_MAX = 4096
TOKEN_TYPE_CHARACTERS_MAX = 64
STACK_CHARACTERS_MAX = 256 * 1024
INFO_CHARACTERS_MAX = 256
INTEGER_MAX = 2**63 - 1
INTEGER_MIN = -(2**63)

KEY_PATTERN = re.compile(r"[a-zA-Z][a-zA-Z_0-9]{0,63}")
"""What a key of extras or tags looks like; for use with `fullmatch`."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""A control character (C0, DEL or C1)."""
