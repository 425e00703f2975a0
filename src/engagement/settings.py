"""Every setting: its name, its default and what it is for, read once."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from engagement.exceptions import BadInputError

PREFIX = "ENGAGEMENT_"
DIGITS_MAX = 12
LOG_LEVELS = ("", "debug", "info", "warning", "error")
PORT_MAX = 65_535
NAME_CHARACTERS_MAX = 60
_SERVICE_LINK = re.compile(
    PREFIX + r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""What Kubernetes sets in every container beside a service that is called `engagement`."""


def _whole_number(value: object) -> object:
    if not isinstance(value, str):
        return value
    is_number = value.isascii() and value.isdigit() and len(value) <= DIGITS_MAX
    if not is_number or int(value) == 0:
        raise ValueError(
            f"must be a whole number above 0 of at most {DIGITS_MAX} digits, got {value[:40]!r}"
        )
    return int(value)


def _switch(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in {"0", "1"}:
        raise ValueError(f"must be 0 or 1, got {value[:40]!r}")
    return value == "1"


def _folders(value: object) -> object:
    return tuple(filter(None, value.split(":"))) if isinstance(value, str) else value


def _words(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _log_level(value: object) -> object:
    if value not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS[1:])}, got {str(value)[:40]!r}")
    return value


def _port(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not (value.isascii() and value.isdigit() and 0 <= int(value[:DIGITS_MAX]) <= PORT_MAX):
        raise ValueError(f"must be a port, from 0 to {PORT_MAX}, got {value[:40]!r}")
    return int(value)


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
Switch = Annotated[bool, BeforeValidator(_switch)]
OptionalPort = Annotated[int | None, BeforeValidator(_port)]
Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_folders)]
LogLevel = Annotated[str, BeforeValidator(_log_level)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


class _EnvironmentSettings(BaseSettings):
    """Settings that are read from an environment when asked, and only then."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        case_sensitive=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what was given alone, so that no value changes with the environment later."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return the settings that the environment gives.

        Raises:
            BadInputError: A variable does not hold what its setting needs, or looks like a setting
                and is none; names it.
        """
        given = os.environ if environment is None else environment  # noqa: TID251 - the one place
        _refuse_misspelt(given)
        source = EnvSettingsSource(cls)
        names = _variable_names(cls)
        source.env_vars = {name: given[name] for name in names if given.get(name, "") != ""}
        try:
            return cls(**source())
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)[0]
            name, reason = found["loc"][0], found["ctx"]["error"]
            raise BadInputError(f"{name} {reason}.") from None


def _setting(default: Any, environment: str, sentence: str, *, is_secret: bool = False) -> Any:
    return Field(
        default=default, validation_alias=environment, description=sentence, repr=not is_secret
    )


class Settings(_EnvironmentSettings):
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
    vault_key: str = _setting(
        "",
        "ENGAGEMENT_VAULT_KEY",
        "The key that secrets are sealed with, 32 bytes as base64, where a cluster shares it.",
        is_secret=True,
    )
    vault_key_file: Path | None = _setting(
        None, "ENGAGEMENT_VAULT_KEY_FILE", "A file that holds that key instead."
    )
    local_roots: Folders = _setting(
        (),
        "ENGAGEMENT_LOCAL_ROOTS",
        "Folders, separated by `:`, below which file:// containers may lie; none by default.",
    )
    allow_loopback_containers: Switch = _setting(
        False,
        "ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS",
        "Development only: container URLs may use http and loopback hosts.",
    )
    container_hosts: Words = _setting(
        (),
        "ENGAGEMENT_CONTAINER_HOSTS",
        "Further host suffixes, separated by `,`, that container URLs may name.",
    )
    part_rows_target: WholeNumber = _setting(
        500_000, "ENGAGEMENT_PART_ROWS", "Rows that a part of an export aims at."
    )
    parts_concurrent_max: WholeNumber = _setting(
        2, "ENGAGEMENT_PARTS_CONCURRENT", "Parts that one process writes at a time."
    )
    stall_seconds: WholeNumber = _setting(
        3_600,
        "ENGAGEMENT_STALL_SECONDS",
        "Seconds that a step of an export or import may go without progress; then its task fails.",
    )
    retry_seconds: WholeNumber = _setting(
        600,
        "ENGAGEMENT_RETRY_SECONDS",
        "Seconds for which an export tries again while nothing of it succeeds; then it fails.",
    )
    app_tasks_max: WholeNumber = _setting(
        200,
        "ENGAGEMENT_APP_TASKS",
        "Exports of one app that may be unfinished at a time, and imports; more are refused.",
    )
    worker_silence_seconds: WholeNumber = _setting(
        30,
        "ENGAGEMENT_WORKER_SILENCE_SECONDS",
        "Seconds that a server's worker may be silent; then it is killed and started anew.",
    )
    lease_seconds: WholeNumber = _setting(
        30,
        "ENGAGEMENT_LEASE_SECONDS",
        "Seconds that a process of a cluster may be silent; then others take its work over.",
    )
    commit_seconds: WholeNumber = _setting(
        1,
        "ENGAGEMENT_COMMIT_SECONDS",
        "Seconds between two looks of a cluster's workers for what waits to be committed.",
    )
    roles: Words = _setting(
        (),
        "ENGAGEMENT_ROLES",
        "What a process of a cluster does, separated by `,`; all that its command can by default.",
    )
    probe_port: OptionalPort = _setting(
        None,
        "ENGAGEMENT_PROBE_PORT",
        "Port on which a cluster's worker answers /healthz, /readyz and /metrics; none by default.",
    )
    flush_seconds: WholeNumber = _setting(
        15, "ENGAGEMENT_FLUSH_SECONDS", "Seconds that logs wait at most for a server's flush."
    )
    tidy_hours: WholeNumber = _setting(
        24,
        "ENGAGEMENT_TIDY_HOURS",
        "Hours between two runs of all upkeep of an app by a server, however often it is started.",
    )
    flush_logs_max: WholeNumber = _setting(
        50_000, "ENGAGEMENT_FLUSH_LOGS", "Logs that one flush moves at most."
    )
    session_timeout_seconds: WholeNumber = _setting(
        180,
        "ENGAGEMENT_SESSION_TIMEOUT_SECONDS",
        "Silence after which activities without a session id start a new session.",
    )
    batch_dedup_days: WholeNumber = _setting(
        7, "ENGAGEMENT_BATCH_DEDUP_DAYS", "Days during which a batch id is accepted once."
    )
    record_age_days_max: WholeNumber = _setting(
        90,
        "ENGAGEMENT_RECORD_AGE_DAYS",
        "Days that a record may be old when a device sends it; older ones are refused.",
    )
    log_level: LogLevel = _setting(
        "",
        "ENGAGEMENT_LOG_LEVEL",
        "Least that is logged: debug, info, warning or error; empty is info of a server, else "
        "warning.",
    )
    audit_days: WholeNumber = _setting(
        730, "ENGAGEMENT_AUDIT_DAYS", "Days for which it is kept who changed what."
    )
    fold_days_min: WholeNumber = _setting(
        7,
        "ENGAGEMENT_FOLD_DAYS",
        "Days for which a snapshot as of a past instant stays exact when changes are folded.",
    )
    vacuum_days_min: WholeNumber = _setting(
        7, "ENGAGEMENT_VACUUM_DAYS", "Days that files no longer referenced are kept at least."
    )
    public_url: str = _setting(
        "",
        "ENGAGEMENT_PUBLIC_URL",
        "Address by which clients reach the server; empty means the one it listens on.",
    )
    client_secret_days: WholeNumber = _setting(
        365, "ENGAGEMENT_CLIENT_SECRET_DAYS", "Days until a new client secret ends."
    )
    token_seconds: WholeNumber = _setting(
        3_600, "ENGAGEMENT_TOKEN_SECONDS", "Seconds that an access token lasts, 3600 at most."
    )
    issuers: Words = _setting(
        (),
        "ENGAGEMENT_ISSUERS",
        "OpenID issuers, separated by `,`, whose tokens are accepted besides our own.",
    )
    issuer_audience: str = _setting(
        "", "ENGAGEMENT_ISSUER_AUDIENCE", "The audience that other issuers' tokens must have."
    )
    issuer_token_seconds: WholeNumber = _setting(
        86_400,
        "ENGAGEMENT_ISSUER_TOKEN_SECONDS",
        "Seconds that another issuer's token may last at most, from its issue to its end.",
    )
    issuer_client_ids: Words = _setting(
        (),
        "ENGAGEMENT_ISSUER_CLIENT_IDS",
        "The ids that issuers know the console by, in their order; `-` where nobody signs in.",
    )
    issuer_client_secrets: Words = _setting(
        (),
        "ENGAGEMENT_ISSUER_CLIENT_SECRETS",
        "The secrets of these clients, in the same order; `-` for a client without one.",
        is_secret=True,
    )
    console_session_hours: WholeNumber = _setting(
        12, "ENGAGEMENT_CONSOLE_SESSION_HOURS", "Hours until who signed in must do so again."
    )
    console_idle_minutes: WholeNumber = _setting(
        60, "ENGAGEMENT_CONSOLE_IDLE_MINUTES", "Minutes without a page after which it is so too."
    )
    requests_per_minute: WholeNumber = _setting(
        6_000, "ENGAGEMENT_REQUESTS_PER_MINUTE", "API requests that one client may make a minute."
    )
    trusted_proxies: Words = _setting(
        (),
        "ENGAGEMENT_TRUSTED_PROXIES",
        "Addresses or networks of proxies, separated by `,`, that are believed whom they forward.",
    )
    token_requests_per_minute: WholeNumber = _setting(
        60,
        "ENGAGEMENT_TOKEN_REQUESTS_PER_MINUTE",
        "Failed token requests that one address may make a minute.",
    )
    request_bytes_max: WholeNumber = _setting(
        1_048_576, "ENGAGEMENT_REQUEST_BYTES", "Bytes that the body of an API request may have."
    )
    collect_bytes_max: WholeNumber = _setting(
        4_194_304, "ENGAGEMENT_COLLECT_BYTES", "Bytes that a body which a device posts may have."
    )
    refused_bytes_max: WholeNumber = _setting(
        1_073_741_824,
        "ENGAGEMENT_REFUSED_BYTES",
        "Bytes of refused records that are kept; then the app that has most loses its oldest.",
    )
    refused_app_bytes_max: WholeNumber = _setting(
        67_108_864,
        "ENGAGEMENT_REFUSED_APP_BYTES",
        "Bytes of refused records that are kept of one app; then its oldest make room.",
    )
    collect_concurrent_max: WholeNumber = _setting(
        256,
        "ENGAGEMENT_COLLECT_CONCURRENT",
        "Devices' requests under way at a time; more are told to come again.",
    )
    connections_max: WholeNumber = _setting(
        1_000, "ENGAGEMENT_CONNECTIONS", "Connections at a time, those of trusted proxies apart."
    )
    address_share_percent: WholeNumber = _setting(
        25,
        "ENGAGEMENT_ADDRESS_SHARE_PERCENT",
        "Of connections and of requests under way, what one address may hold.",
    )
    network_share_percent: WholeNumber = _setting(
        50,
        "ENGAGEMENT_NETWORK_SHARE_PERCENT",
        "Of connections and of requests under way, what one network (IPv4 /24, IPv6 /64) may hold.",
    )
    collect_requests_per_minute: WholeNumber = _setting(
        600_000,
        "ENGAGEMENT_COLLECT_REQUESTS_PER_MINUTE",
        "Requests that the devices of one app may make a minute.",
    )
    unknown_keys_per_minute: WholeNumber = _setting(
        600,
        "ENGAGEMENT_UNKNOWN_KEYS_PER_MINUTE",
        "Requests with unknown app keys that one address may make a minute.",
    )

    @property
    def is_cluster(self) -> bool:
        """Whether machines share the state database, so that no home folder has one owner."""
        return self.state_url.startswith("postgresql")


class ServerSettings(_EnvironmentSettings):
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
    client_secret: str = _setting(
        "", "ENGAGEMENT_CLIENT_SECRET", "The client's secret.", is_secret=True
    )
    subscription: str = _setting(
        "default", "ENGAGEMENT_SUBSCRIPTION", "Where apps are looked for that their id names."
    )


def read_telemetry_variables() -> dict[str, str]:
    """Return what is set of the variables of OpenTelemetry's SDK, which reads them itself."""
    return {key: word for key, word in os.environ.items() if key[:5] == "OTEL_" and word}  # noqa: TID251


def _variable_names(*classes: type[BaseSettings]) -> list[str]:
    return [str(field.validation_alias) for kind in classes for field in kind.model_fields.values()]


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """Raise if a variable looks like a setting and is none; its value is never shown."""
    known = _variable_names(Settings, ServerSettings)
    for name in sorted(environment):
        is_ours = name.startswith(PREFIX) and environment[name] != ""
        if is_ours and name not in known and not _SERVICE_LINK.fullmatch(name):
            (closest,) = get_close_matches(name, known, n=1, cutoff=0.0)
            raise BadInputError(
                f"A variable that begins with {PREFIX} must be a setting, got "
                f"{name[:NAME_CHARACTERS_MAX]!r}; did you mean {closest}?"
            )
