"""Parses a SAS, Azure's signed parameters, once: into what is checked and sent."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engagement.deliver.parameters import Parameters, parse_parameters, refuse_unknown
from engagement.exceptions import ErrorCode, InvalidContainerError

SAS_NAMES = frozenset({
    # Of every SAS, of a stored access policy, of an account SAS
    "sv", "sp", "st", "se", "spr", "sip", "sr", "sig", "ses", "si", "ss", "srt",
    # Of a user delegation SAS and of a folder
    "skoid", "sktid", "skt", "ske", "sks", "skv", "skdutid", "sduoid",
    "saoid", "suoid", "scid", "sdd",
    # Headers of answers to those who read
    "rscc", "rscd", "rsce", "rscl", "rsct",
})  # fmt: skip
"""All that may be: https://learn.microsoft.com/rest/api/storageservices/create-service-sas,
create-user-delegation-sas and create-account-sas, less what a whole container has no use for
(`snapshot`) and what binds a SAS to headers that are not sent (`srh`, `srq`)."""

_EXAMPLE = "https://ACCOUNT.blob.core.windows.net/CONTAINER?SAS"
# Azure reads a bare `+` as a space. No space can be in these, and many forget to encode it.
_PLUS_STAYS = frozenset({"sig", "st", "se", "skt", "ske"})
_PERMISSIONS = re.compile(r"[a-z]{0,20}")
_DEPTH = re.compile(r"0|[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sas:
    """A SAS that can work now."""

    parameters: Parameters = field(repr=False)
    """What is to be sent, decoded."""
    starts_at: datetime | None
    """When it starts, if it says so."""
    expires_at: datetime | None
    """When it ends, if it says so."""


def parse_sas(query: str, *, scheme: str, depth: int, now: datetime, permission: str) -> Sas:
    """Return the SAS in the query of a container URL, if it has the permission now.

    Args:
        query: What follows the question mark of the URL.
        scheme: Of the URL: https or http.
        depth: How many folders the URL names below the container.
        now: The instant at which it must be valid.
        permission: What it must allow: w to write, r to read.

    Raises:
        InvalidContainerError: It cannot; the code says why, SasExpired for one.
    """
    parameters = parse_parameters(query, plus_is_space=SAS_NAMES - _PLUS_STAYS)
    values = dict(parameters)
    # Anything else, such as `comp`, would turn each of our requests into another one.
    refuse_unknown(values.keys(), SAS_NAMES, names_shown=True)
    if not values.get("sig"):
        raise InvalidContainerError(
            f"A container URL needs a SAS that may write, such as {_EXAMPLE}; got none."
        )
    _check_permission(values, permission)
    _check_resource(values, depth, permission)
    if values.get("spr") == "http" or (values.get("spr") == "https" and scheme == "http"):
        raise InvalidContainerError("The SAS must allow the protocol of the URL.")
    starts, ends = _instant(values, "st"), _instant(values, "se")
    if starts is not None and now < starts:
        raise InvalidContainerError(
            f"The SAS must be valid now, but it starts at {starts.isoformat()}.",
            code=ErrorCode.SAS_NOT_YET_VALID,
        )
    if ends is not None and now >= ends:
        raise InvalidContainerError(
            f"The SAS must be valid now, but it ended at {ends.isoformat()}.",
            code=ErrorCode.SAS_EXPIRED,
        )
    return Sas(parameters=parameters, starts_at=starts, expires_at=ends)


def _check_permission(values: dict[str, str], permission: str) -> None:
    permissions = values.get("sp")
    if permissions is None or permission in permissions:
        return
    # Only what is a list of permissions is repeated: a broken URL may have the rest of it here.
    got = repr(permissions) if _PERMISSIONS.fullmatch(permissions) else "another text"
    raise InvalidContainerError(
        f"The SAS must have the permission {permission}, got {got}.",
        code=ErrorCode.SAS_PERMISSION_MISSING,
    )


def _check_resource(values: dict[str, str], depth: int, permission: str) -> None:
    resource = values.get("sr", "c")
    resources = {"c", "d", "b"} if permission == "r" else {"c", "d"}  # what is read may be a blob
    if resource not in resources or "b" not in values.get("ss", "b"):
        raise InvalidContainerError(
            "The SAS must be for a container (sr=c), a folder (sr=d) or the blob service (ss=b), "
            "got another one.",
            code=ErrorCode.SAS_PERMISSION_MISSING,
        )
    if "o" not in values.get("srt", "o"):
        raise InvalidContainerError(
            "The account SAS must be for objects (srt with o), got one for other resources.",
            code=ErrorCode.SAS_PERMISSION_MISSING,
        )
    if resource == "d":
        _check_folder(values.get("sdd", ""), depth)


def _check_folder(signed_depth: str, depth: int) -> None:
    """Azure takes as many folders from the path as `sdd` says, and compares their signature."""
    if not _DEPTH.fullmatch(signed_depth):
        raise InvalidContainerError(
            "A SAS for a folder (sr=d) must say how deep it lies, such as sdd=1."
        )
    if depth < int(signed_depth):
        raise InvalidContainerError(
            f"The SAS is for a folder {signed_depth} deep (sdd), so the container URL must name "
            f"that folder or one below it, got {depth} below the container.",
            code=ErrorCode.SAS_PERMISSION_MISSING,
        )


def _instant(values: dict[str, str], name: str) -> datetime | None:
    text = values.get(name)
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # it quotes a part of the SAS, so it is left behind
        pass
    raise InvalidContainerError(
        f"The SAS parameter {name} must be an ISO 8601 time, such as 2026-01-01T00:00:00Z."
    )
