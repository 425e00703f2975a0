"""Every setting: its name, its default and what it is for, read once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engagement.exceptions import BadInputError

# ruff: noqa: RUF009 - `_setting` is `dataclasses.field` with our metadata

DIGITS_MAX = 12


def _setting(default: Any, environment: str, sentence: str) -> Any:
    return field(default=default, metadata={"environment": environment, "sentence": sentence})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process; a value that is passed, never looked up."""

    home: Path = _setting(
        Path("engagement-home"), "ENGAGEMENT_HOME", "Folder of state, lake and keys."
    )
    state_url: str = _setting(
        "", "ENGAGEMENT_STATE_URL", "State database; empty means SQLite in the home folder."
    )
    lake_url: str = _setting(
        "", "ENGAGEMENT_LAKE_URL", "Lake's folder or object-store URL; empty means `lake` in home."
    )
    local_roots: tuple[Path, ...] = _setting(
        (),
        "ENGAGEMENT_LOCAL_ROOTS",
        "Folders, separated by `:`, below which file:// containers may lie; none by default.",
    )
    allow_loopback_containers: bool = _setting(
        False,
        "ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS",
        "Development only: container URLs may use http and loopback hosts.",
    )
    container_hosts: tuple[str, ...] = _setting(
        (),
        "ENGAGEMENT_CONTAINER_HOSTS",
        "Further host suffixes, separated by `,`, that container URLs may name.",
    )
    part_rows_target: int = _setting(
        500_000, "ENGAGEMENT_PART_ROWS", "Rows that a part of an export aims at."
    )
    parts_concurrent_max: int = _setting(
        2, "ENGAGEMENT_PARTS_CONCURRENT", "Parts that one process writes at a time."
    )
    flush_seconds: int = _setting(
        15, "ENGAGEMENT_FLUSH_SECONDS", "Seconds that logs wait at most for a server's flush."
    )
    tidy_hours: int = _setting(
        24,
        "ENGAGEMENT_TIDY_HOURS",
        "Hours between two runs of all upkeep of a server, the first as long after its start.",
    )
    flush_logs_max: int = _setting(
        50_000, "ENGAGEMENT_FLUSH_LOGS", "Logs that one flush moves at most."
    )
    session_timeout_seconds: int = _setting(
        180,
        "ENGAGEMENT_SESSION_TIMEOUT_SECONDS",
        "Silence after which activities without a session id start a new session.",
    )
    batch_dedup_days: int = _setting(
        7, "ENGAGEMENT_BATCH_DEDUP_DAYS", "Days during which a batch id is accepted once."
    )
    fold_days_min: int = _setting(
        7,
        "ENGAGEMENT_FOLD_DAYS",
        "Days for which a snapshot as of a past instant stays exact when changes are folded.",
    )
    vacuum_days_min: int = _setting(
        7, "ENGAGEMENT_VACUUM_DAYS", "Days that files no longer referenced are kept at least."
    )
    public_url: str = _setting(
        "",
        "ENGAGEMENT_PUBLIC_URL",
        "Address by which clients reach the server; empty means the one it listens on.",
    )
    client_secret_days: int = _setting(
        365, "ENGAGEMENT_CLIENT_SECRET_DAYS", "Days until a new client secret ends."
    )
    token_seconds: int = _setting(
        3_600, "ENGAGEMENT_TOKEN_SECONDS", "Seconds that an access token lasts, 3600 at most."
    )
    issuers: tuple[str, ...] = _setting(
        (),
        "ENGAGEMENT_ISSUERS",
        "OpenID issuers, separated by `,`, whose tokens are accepted besides our own.",
    )
    issuer_audience: str = _setting(
        "", "ENGAGEMENT_ISSUER_AUDIENCE", "The audience that other issuers' tokens must have."
    )
    requests_per_minute: int = _setting(
        6_000, "ENGAGEMENT_REQUESTS_PER_MINUTE", "API requests that one client may make a minute."
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        "ENGAGEMENT_TRUSTED_PROXIES",
        "Addresses or networks of proxies, separated by `,`, that are believed whom they forward.",
    )
    token_requests_per_minute: int = _setting(
        60,
        "ENGAGEMENT_TOKEN_REQUESTS_PER_MINUTE",
        "Failed token requests that one address may make a minute.",
    )
    request_bytes_max: int = _setting(
        1_048_576, "ENGAGEMENT_REQUEST_BYTES", "Bytes that the body of an API request may have."
    )
    collect_bytes_max: int = _setting(
        4_194_304, "ENGAGEMENT_COLLECT_BYTES", "Bytes that a body which a device posts may have."
    )
    refused_bytes_max: int = _setting(
        1_073_741_824,
        "ENGAGEMENT_REFUSED_BYTES",
        "Bytes of refused records that are kept aside, about; then senders are told to wait.",
    )
    collect_concurrent_max: int = _setting(
        256,
        "ENGAGEMENT_COLLECT_CONCURRENT",
        "Devices' requests under way at a time; more are told to come again.",
    )
    collect_requests_per_minute: int = _setting(
        600_000,
        "ENGAGEMENT_COLLECT_REQUESTS_PER_MINUTE",
        "Requests that the devices of one app may make a minute.",
    )
    unknown_keys_per_minute: int = _setting(
        600,
        "ENGAGEMENT_UNKNOWN_KEYS_PER_MINUTE",
        "Requests with unknown app keys that one address may make a minute.",
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """The settings that the environment gives.

        Raises:
            BadInputError: A variable does not hold what its setting needs; names it.
        """
        return cls(**_given(cls, environment))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a command that is not to be carried out here reaches a server."""

    server: str = _setting("", "ENGAGEMENT_SERVER", "Address of a server; empty means here.")
    profile: str = _setting("", "ENGAGEMENT_PROFILE", "Name of a profile in the profile file.")
    profile_file: Path = _setting(
        Path("~/.config/engagement/profiles.toml"),
        "ENGAGEMENT_PROFILE_FILE",
        "File of profiles: addresses of servers with credentials.",
    )
    tenant_id: str = _setting("", "ENGAGEMENT_TENANT_ID", "The client's tenant.")
    client_id: str = _setting("", "ENGAGEMENT_CLIENT_ID", "The client.")
    client_secret: str = field(
        default="",
        repr=False,
        metadata={"environment": "ENGAGEMENT_CLIENT_SECRET", "sentence": "The client's secret."},
    )
    subscription: str = _setting(
        "default", "ENGAGEMENT_SUBSCRIPTION", "Where apps are looked for that their id names."
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "ServerSettings":
        """The settings that the environment gives; no profile is read."""
        return cls(**_given(cls, environment))


def _given(cls: type[Any], environment: Mapping[str, str] | None) -> dict[str, Any]:
    given = os.environ if environment is None else environment  # noqa: TID251 - the one place
    values: dict[str, Any] = {}
    for one in fields(cls):
        name = one.metadata["environment"]
        if given.get(name, "") != "":
            values[one.name] = _parsed(name, given[name], one.default)
    return values


def _parsed(name: str, text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text not in {"0", "1"}:
            raise BadInputError(f"{name} must be 0 or 1, got {text!r}.")
        return text == "1"
    if isinstance(default, int):
        is_number = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
        if not is_number or int(text) == 0:
            raise BadInputError(
                f"{name} must be a whole number above 0 of at most {DIGITS_MAX} digits, "
                f"got {text[:40]!r}."
            )
        return int(text)
    if isinstance(default, Path):
        return Path(text)
    if name == "ENGAGEMENT_LOCAL_ROOTS":
        return tuple(Path(one) for one in text.split(":") if one)
    if isinstance(default, tuple):
        return tuple(one.strip() for one in text.split(",") if one.strip())
    return text
