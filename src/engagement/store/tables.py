"""The tables of the state database; the migrations must agree with them, which a test holds."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InstantColumn(sa.types.TypeDecorator[datetime]):
    """A UTC instant, kept as whole microseconds since 1970 so that both databases sort it alike."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Microseconds of an aware instant."""
        del dialect
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """The instant of microseconds."""
        del dialect
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = sa.MetaData()
_Position = sa.BigInteger().with_variant(sa.Integer, "sqlite")

apps = sa.Table(
    "apps",
    metadata,
    sa.Column("app_id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("collection", sa.String(64), nullable=False),
    sa.Column("resource_group", sa.String(90), nullable=False),
    sa.Column("subscription", sa.String(64), nullable=False),
    sa.Column("created_at", InstantColumn, nullable=False),
    sa.Column("retention_days", sa.Integer),
    sa.Column("tidied_at", InstantColumn),
    sa.UniqueConstraint(
        "subscription", "resource_group", "collection", "name", name="uq_apps_path"
    ),
)

app_keys = sa.Table(
    "app_keys",
    metadata,
    sa.Column("key_sha256", sa.String(64), primary_key=True),
    sa.Column("app_id", sa.String(32), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("created_at", InstantColumn, nullable=False),
    sa.Column("ends_at", InstantColumn),
    sa.Column("revoked_at", InstantColumn),
    sa.Column("last_used_at", InstantColumn),
    sa.Index("ix_app_keys_app", "app_id"),
)
"""The keys that devices write with, by their hashes."""

deleted_apps = sa.Table(
    "deleted_apps",
    metadata,
    sa.Column("app_id", sa.String(32), primary_key=True),
    sa.Column("deleted_at", InstantColumn, nullable=False),
)
"""Apps that are deleted, for as long as something of them may be left or may still come in."""

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("position", _Position, primary_key=True, autoincrement=True),
    sa.Column("changed_at", InstantColumn, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.String(40), nullable=False),
    sa.Column("on_app", sa.String(32)),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Index("ix_audit_log_app", "on_app", "position"),
    sqlite_autoincrement=True,
)
"""Who changed what; it outlives the apps that it names."""

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("position", _Position, primary_key=True, autoincrement=True),
    sa.Column("app_id", sa.String(32), nullable=False),
    sa.Column("batch_id", sa.String(100), nullable=False),
    sa.Column("received_at", InstantColumn, nullable=False),
    sa.Column("logs", sa.Integer, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Index("ix_inbox_app_position", "app_id", "position"),
    sqlite_autoincrement=True,
)

accepted = sa.Table(
    "accepted",
    metadata,
    sa.Column("key", sa.String(20), primary_key=True),
    sa.Column("day", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""What was accepted once, as short as it can be told from others: keys come at random places, so
each writes a page of its own as soon as they fill more pages than come together."""

commits = sa.Table(
    "commits",
    metadata,
    sa.Column("app_id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("rows_total", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("committed_at", InstantColumn, nullable=False),
)

staged_files = sa.Table(
    "staged_files",
    metadata,
    sa.Column("staged_id", _Position, primary_key=True, autoincrement=True),
    sa.Column("app_id", sa.String(32), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("group_id", sa.String(32), nullable=False),
    sa.Column("actions", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("staged_at", InstantColumn, nullable=False),
    sa.Column("commit_id", sa.BigInteger),
    sa.Index("ix_staged_files_commit", "app_id", "kind", "commit_id"),
    sqlite_autoincrement=True,
)
"""Data files that are written and on disk, but not in their table's log yet."""

lake_tables = sa.Table(
    "lake_tables",
    metadata,
    sa.Column("app_id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("commit_id", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("is_open", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("version", sa.BigInteger),
    sa.Column("rows_total", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("damage", sa.Text),
)
"""The number of each table's newest commit, whether it is under way, and what is damaged."""

open_sessions = sa.Table(
    "open_sessions",
    metadata,
    sa.Column("app_id", sa.String(32), primary_key=True),
    sa.Column("session_id", sa.String(32), primary_key=True),
    sa.Column("device_id", sa.String(32), nullable=False),
    sa.Column("start", InstantColumn, nullable=False),
    sa.Column("end", InstantColumn, nullable=False),
    sa.Index("ix_open_sessions_device", "app_id", "device_id"),
)

spans = sa.Table(
    "spans",
    metadata,
    sa.Column("device", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("thing", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("start", InstantColumn, nullable=False),
    sa.Column("device_start", InstantColumn),
    sa.Column("received_on", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""Sessions and jobs by hashes of their ids: which day's partition holds each, and its start."""

contents = sa.Table(
    "contents",
    metadata,
    sa.Column("device", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("thing", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("last_day", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""Information and locations that the lake has of each device, by hashes of their ids."""

erased_devices = sa.Table(
    "erased_devices",
    metadata,
    sa.Column("position", _Position, primary_key=True, autoincrement=True),
    sa.Column("app_id", sa.String(32), nullable=False),
    sa.Column("device", sa.BigInteger, nullable=False),
    sa.Column("erased_at", InstantColumn, nullable=False),
    sa.Index("uq_erased_devices_device", "device", unique=True),
    sa.Index("ix_erased_devices_app", "app_id", "erased_at"),
    sqlite_autoincrement=True,
)
"""Devices that were erased, by hashes of their ids, so that late batches of them are refused."""

export_tasks = sa.Table(
    "export_tasks",
    metadata,
    sa.Column("task_id", sa.String(32), primary_key=True),
    sa.Column("app_id", sa.String(32), nullable=False),
    sa.Column("export_type", sa.String(16), nullable=False),
    sa.Column("export_format", sa.String(16), nullable=False),
    sa.Column("compression", sa.String(8), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    sa.Column("container", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("sealed_container_url", sa.LargeBinary),
    sa.Column("plan_head", sa.Text),
    sa.Column("parts_total", sa.Integer, nullable=False, default=0),
    sa.Column("rows_total", sa.BigInteger, nullable=False, default=0),
    sa.Column("created_at", InstantColumn, nullable=False),
    sa.Column("started_at", InstantColumn),
    sa.Column("completed_at", InstantColumn),
    sa.Column("error_code", sa.String(40)),
    sa.Column("error_details", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False, default=1),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("request_sha256", sa.String(64)),
    sa.Column("published_contract", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Index("uq_export_tasks_idempotency", "app_id", "idempotency_key", unique=True),
    sa.Index("ix_export_tasks_app_created", "app_id", "created_at"),
    sa.Index("ix_export_tasks_state", "state"),
)

export_plan_parts = sa.Table(
    "export_plan_parts",
    metadata,
    sa.Column("task_id", sa.String(32), primary_key=True),
    sa.Column("part_index", sa.Integer, primary_key=True),
    sa.Column("part", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger),
)
"""The parts that a plan has, one by one, so that whoever writes a part reads no other."""

export_parts = sa.Table(
    "export_parts",
    metadata,
    sa.Column("task_id", sa.String(32), primary_key=True),
    sa.Column("part_index", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("rows_read", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("first_at", InstantColumn),
    sa.Column("last_at", InstantColumn),
)

import_tasks = sa.Table(
    "import_tasks",
    metadata,
    sa.Column("task_id", sa.String(32), primary_key=True),
    sa.Column("app_id", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("storage", sa.Text, nullable=False),
    sa.Column("sealed_storage_url", sa.LargeBinary),
    sa.Column("created_at", InstantColumn, nullable=False),
    sa.Column("started_at", InstantColumn),
    sa.Column("completed_at", InstantColumn),
    sa.Column("error_code", sa.String(40)),
    sa.Column("error_details", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Index("ix_import_tasks_app", "app_id", "task_id"),
    sa.Index("ix_import_tasks_state", "state"),
)

refused = sa.Table(
    "refused",
    metadata,
    sa.Column("refused_id", _Position, primary_key=True, autoincrement=True),
    sa.Column("app_id", sa.String(32), nullable=False),
    sa.Column("protocol", sa.String(16), nullable=False),
    sa.Column("received_at", InstantColumn, nullable=False),
    sa.Column("batch_id", sa.String(100)),
    sa.Column("code", sa.String(40), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_refused_app_code", "app_id", "code"),
    sa.Index("ix_refused_app_id", "app_id", "refused_id"),
    sqlite_autoincrement=True,
)

refused_totals = sa.Table(
    "refused_totals",
    metadata,
    sa.Column("app_id", sa.String(32), primary_key=True),
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("crowded_out", sa.BigInteger, nullable=False),
)
"""What the refused records of each app are together, and how many of them made room for others."""

clients = sa.Table(
    "clients",
    metadata,
    sa.Column("client_id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("created_at", InstantColumn, nullable=False),
    sa.Column("tokens_from", InstantColumn, nullable=False),
    sa.Column("revoked_at", InstantColumn),
    sa.UniqueConstraint("name", name="uq_clients_name"),
)

client_secrets = sa.Table(
    "client_secrets",
    metadata,
    sa.Column("client_id", sa.String(36), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("expires_at", InstantColumn, nullable=False),
)

console_sessions = sa.Table(
    "console_sessions",
    metadata,
    sa.Column("token_sha256", sa.String(64), primary_key=True),
    sa.Column("method", sa.String(16), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("grants", sa.Text, nullable=False),
    sa.Column("secret_id", sa.String(64)),
    sa.Column("csrf_secret", sa.String(64), nullable=False),
    sa.Column("created_at", InstantColumn, nullable=False),
    sa.Column("last_used_at", InstantColumn, nullable=False),
    sa.Column("ends_at", InstantColumn, nullable=False),
)
"""Browsers that are signed in to the console, by the hashes of their cookies."""

console_codes = sa.Table(
    "console_codes",
    metadata,
    sa.Column("code_sha256", sa.String(64), primary_key=True),
    sa.Column("ends_at", InstantColumn, nullable=False),
)
"""Codes that open a session once."""

points = sa.Table(
    "points",
    metadata,
    sa.Column("scope", sa.String(32), primary_key=True),
    sa.Column("series", sa.String(64), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True),
    sa.Column("sum", sa.BigInteger, nullable=False),
    sa.Column("high", sa.BigInteger, nullable=False),
    sa.Index("ix_points_age", "step", "at"),
    sqlite_with_rowid=False,
)
"""What charts are drawn from, by app (empty: all), series, step and moment in seconds."""

clock_boots = sa.Table(
    "clock_boots",
    metadata,
    sa.Column("boot_id", sa.String(32), primary_key=True),
    sa.Column("uptime", sa.BigInteger, nullable=False),
    sa.Column("running", sa.BigInteger, nullable=False),
    sa.Column("began_at", InstantColumn, nullable=False),
)
"""The last reading of the clock on each start of a machine; spans in microseconds."""

clock_readings = sa.Table(
    "clock_readings",
    metadata,
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("began_at", InstantColumn, nullable=False),
)
"""For each day of running, when all of it had begun, by the least that the clock showed."""

installation = sa.Table(
    "installation",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)

executors = sa.Table(
    "executors",
    metadata,
    sa.Column("executor_id", sa.String(64), primary_key=True),
    sa.Column("roles", sa.String(64), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("is_draining", sa.Boolean, nullable=False, server_default=sa.false()),
)
"""The processes of a cluster; their times are by the clock of the database, which all share."""
