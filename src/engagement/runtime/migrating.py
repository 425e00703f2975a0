"""Brings a state database forward to the schema of this release."""

from engagement.runtime.home import lock_home, make_home, state_url
from engagement.settings import Settings
from engagement.store.state import hold_state, read_schema


def migrate_state(settings: Settings) -> str:
    """Return only when the schema is that of this release; its number.

    One process at a time does it, under a lock of the database; of an embedded service, under that
    of its home folder.

    Raises:
        NewerReleaseError: The schema is of a newer release.
        HomeBusyError: An embedded service runs.
    """
    make_home(settings.home)
    if settings.is_cluster:
        return _migrate(settings)
    with lock_home(settings.home):
        return _migrate(settings)


def _migrate(settings: Settings) -> str:
    with hold_state(state_url(settings)) as engine:
        return read_schema(engine)
