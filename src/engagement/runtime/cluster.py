"""Makes a process one of a cluster: it says that it lives, and learns who else does."""

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from engagement import __version__
from engagement.exceptions import BadInputError, EngagementError
from engagement.model.executors import Heartbeat, ProcessRole
from engagement.runtime.routines import running_routine
from engagement.settings import Settings
from engagement.store.queries.executors import ExecutorQueries
from engagement.store.vault import decode_key

BEAT_SECONDS = 1.0
EXIT_GIVEN_UP = 4
HOST_CHARACTERS_MAX = 24
"""Of a name that is a part of an executor's id, which PostgreSQL cuts at 63 characters."""
_log = structlog.get_logger()


class Member:
    """This process in its cluster."""

    def __init__(
        self, executors: ExecutorQueries, executor_id: str, roles: tuple[ProcessRole, ...]
    ) -> None:
        self._executors = executors
        self._heartbeat = Heartbeat(collectors=1, slots=1, is_draining=False)
        self.executor_id = executor_id
        """Its name, which no other process ever had."""
        self.roles = roles
        """What it does."""
        self.draining = threading.Event()
        """Set when it is to end once its work is done."""

    @property
    def collectors(self) -> int:
        """How many processes take what devices post, at least 1."""
        return self._heartbeat.collectors

    @property
    def slots(self) -> int:
        """How many parts of exports all processes write at a time, at least 1."""
        return self._heartbeat.slots

    def beat(self) -> None:
        """Say that the process lives; end it at once if the others have given it up.

        Its locks and its workflows are theirs by then, whatever kept it from saying so in time.
        """
        heartbeat = self._executors.beat(self.executor_id)
        if heartbeat is None:
            _log.error("given_up", executor=self.executor_id)
            os._exit(EXIT_GIVEN_UP)
        self._heartbeat = heartbeat
        if heartbeat.is_draining:
            self.draining.set()

    def is_first(self, role: ProcessRole) -> bool:
        """Whether this process is the oldest of those that do something."""
        doing = [each.executor_id for each in self._executors.list_live() if role in each.roles]
        return doing[:1] == [self.executor_id]


def new_executor_id() -> str:
    """Return a name for this process that no other process ever has."""
    host = socket.gethostname()[:HOST_CHARACTERS_MAX]
    return f"{host}-{os.getpid()}-{secrets.token_hex(8)}"


@contextmanager
def join_cluster(
    executors: ExecutorQueries, executor_id: str, roles: tuple[ProcessRole, ...], *, slots: int
) -> Iterator[Member]:
    """Be one of the cluster's processes in the block; the others take over when it ends."""
    executors.register(
        executor_id, roles, host=socket.gethostname()[:255], version=__version__, slots=slots
    )
    member = Member(executors, executor_id, roles)
    try:
        member.beat()
        # When the database is back, whoever is still silent after a lease is given up.
        with running_routine("beat", BEAT_SECONDS, member.beat, failed_seconds=BEAT_SECONDS):
            yield member
    finally:
        with suppress(EngagementError):  # then they notice by its silence
            executors.leave(executor_id)


def check_cluster_settings(settings: Settings) -> bytes:
    """Return the vault's key if the settings are those of a machine of a cluster.

    Raises:
        BadInputError: They are not; names the variable.
    """
    if "://" not in settings.lake_url or settings.lake_url.startswith("file:"):
        raise BadInputError(
            "ENGAGEMENT_LAKE_URL must be on object storage (s3://, az:// or gs://) where "
            "ENGAGEMENT_STATE_URL is PostgreSQL, since every machine writes to it; got "
            + ("a folder." if settings.lake_url else "none.")
        )
    if bool(settings.vault_key) == (settings.vault_key_file is not None):
        raise BadInputError(
            "Either ENGAGEMENT_VAULT_KEY or ENGAGEMENT_VAULT_KEY_FILE must be given where "
            "ENGAGEMENT_STATE_URL is PostgreSQL, the same key to every machine; got "
            + ("both." if settings.vault_key else "neither.")
        )
    if settings.vault_key_file is None:
        return decode_key(settings.vault_key, "ENGAGEMENT_VAULT_KEY")
    try:
        text = settings.vault_key_file.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise BadInputError(
            "ENGAGEMENT_VAULT_KEY_FILE must name a file of text that can be read, but that gave "
            f"{type(error).__name__}: {settings.vault_key_file}."
        ) from error
    return decode_key(text, f"The file {settings.vault_key_file} of ENGAGEMENT_VAULT_KEY_FILE")
