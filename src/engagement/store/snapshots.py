"""Derives snapshots from changes: who uses a device, and which token reaches it."""

import polars as pl

from engagement.model.records import Kind
from engagement.store.folds import fold
from engagement.store.schemas import file_schema

_TOKEN = ["type", "token"]
_WHEN = ["registered_at", "sequence"]
"""The order of what is told of tokens; of one instant, what came later counts."""


def users_of_devices(changes: pl.LazyFrame) -> pl.LazyFrame:
    """`device_id` and `user_id` of each device that has a user, as the fold of devices names it.

    Args:
        changes: Of devices.
    """
    return (
        changes.filter(pl.col("user_id").is_not_null())
        .group_by("device_id")
        .agg(pl.col("user_id").sort_by("user_at", "user_id").last())
    )


def name_users(rows: pl.LazyFrame, device_changes: pl.LazyFrame) -> pl.LazyFrame:
    """The rows, each with the `user_id` that its device has."""
    users = users_of_devices(device_changes)
    return rows.drop("user_id").join(users, on="device_id", how="left")


def valid_tokens(changes: pl.LazyFrame, everywhere: pl.LazyFrame) -> pl.LazyFrame:
    """The tokens that reach devices: at most one of each device and type of token.

    It is the one that was registered last, unless that very token was taken back, or another
    device registered it later: a token belongs to one device only.

    Args:
        changes: What is told of the devices' tokens.
        everywhere: What is told of tokens of all devices, up to the same instant.

    Returns:
        Columns of the tokens' table, sorted by device and type.
    """
    folded = fold(Kind.TOKEN, changes)
    taken_back = folded.filter(~pl.col("valid")).select("device_id", *_TOKEN, *_WHEN)
    newest = (
        folded.filter("valid")
        .sort(_WHEN)
        .group_by("device_id", "type", maintain_order=True)
        .agg(pl.all().last())
    )
    owners = (
        everywhere.filter("valid")
        .select("device_id", *_TOKEN, *_WHEN)
        .join(newest.select(_TOKEN), on=_TOKEN, how="semi")
        .group_by(_TOKEN)
        .agg(pl.col("device_id").sort_by(_WHEN).last().alias("owner"))
    )
    is_later = pl.col("registered_at_back") > pl.col("registered_at")
    is_tied = pl.col("registered_at_back") == pl.col("registered_at")
    is_taken_back = is_later | (is_tied & (pl.col("sequence_back") > pl.col("sequence")))
    return (
        newest.join(taken_back, on=["device_id", *_TOKEN], how="left", suffix="_back")
        .join(owners, on=_TOKEN, how="left")
        .filter(~is_taken_back.fill_null(value=False), pl.col("owner") == pl.col("device_id"))
        .select(file_schema(Kind.TOKEN).keys())
        .sort("device_id", "type")
    )
