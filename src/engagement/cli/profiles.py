"""Finds out which server a command is for, and with which credentials."""

import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engagement.exceptions import BadInputError

if TYPE_CHECKING:
    from engagement.settings import ServerSettings

PROFILE_BYTES_MAX = 1024 * 1024
KEYS = ("server", "tenant_id", "client_id", "client_secret", "subscription")
"""What a profile may hold."""

ServerAddress = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Ask this server instead of working here."),
]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Ask the server of this profile."),
]


def server_settings(server: str | None, profile: str | None) -> "ServerSettings | None":
    """Return how to reach the server that is meant; None if the work is to be done here.

    An option wins over the environment. What a profile holds wins over the environment too, so
    that a secret may stay out of the file.

    Raises:
        BadInputError: There is no such profile, or it cannot be used.
    """
    from engagement.settings import ServerSettings

    given = ServerSettings.from_environment()
    name = profile or ("" if server else given.profile)
    held: Any = _profile(given.profile_file.expanduser(), name) if name else {}
    given = given.model_copy(update=held)
    found = given.model_copy(update={"server": server or given.server, "profile": name})
    if name and not found.server:
        raise BadInputError(f"The profile {name!r} must name a server, got none.")
    return found if found.server else None


def _profile(file: Path, name: str) -> dict[str, str]:
    profiles = _profiles(file)
    found = profiles.get(name)
    if not isinstance(found, dict):
        known = ", ".join(sorted(profiles)) or "none"
        raise BadInputError(f"The profile must be one in {file} ({known}), got {name!r}.")
    unknown = sorted(set(found) - set(KEYS))
    if unknown:
        raise BadInputError(f"A profile may hold {', '.join(KEYS)}, got {unknown[0][:40]!r}.")
    wrong = sorted(key for key, value in found.items() if not isinstance(value, str))
    if wrong:
        raise BadInputError(f"The values of a profile must be texts, but {wrong[0]} is none.")
    return found


def _profiles(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            if stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
                raise BadInputError(
                    f"The profile file {file} holds secrets and must be its owner's alone: "
                    f"chmod 600 {file}"
                )
            return tomllib.loads(stream.read(PROFILE_BYTES_MAX).decode())
    except OSError as error:
        raise BadInputError(f"The profile file {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        # Where it went wrong is not shown: the words around it may be the secret.
        raise BadInputError(f"The profile file {file} must be TOML, got something else.") from error
