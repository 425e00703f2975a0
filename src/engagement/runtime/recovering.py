"""Rebuilds a lost state database from the lake."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from engagement.exceptions import BadInputError
from engagement.model.apps import App, hash_app_key, new_app_key
from engagement.runtime.home import lake_location, lock_home, make_home, state_url
from engagement.settings import Settings
from engagement.store.app_files import RegisteredApp, read_app_file, register_first_key
from engagement.store.app_removal import AppRemoval
from engagement.store.inspection import LakeInspection
from engagement.store.lake import Lake
from engagement.store.queries.apps import AppQueries
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.sightings import SPAN_DAYS_MIN, SightingQueries
from engagement.store.queries.staging import StagingQueries
from engagement.store.rebuild import LakeRebuild, RebuiltApp
from engagement.store.state import hold_state
from engagement.store.state_owner import own_state

PLACE = "recovered"
"""Collection, resource group and subscription of an app of which only the tables are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredApp:
    """An app that is registered again."""

    app: App
    """The app; its names are made up where nothing told them."""
    app_key: str | None
    """A new key for its devices, shown this once; None if the old one goes on."""
    rebuilt: RebuiltApp
    """What was found in its tables."""


def recover_state(
    settings: Settings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[RecoveredApp]:
    """Return only when each app that the state database does not know is in use again.

    An app is registered when all else of it is rebuilt, so that a recovery that was cut off is
    seen by the next start and can be repeated.

    Raises:
        HomeBusyError: Another process runs on this home folder.
        StateBusyError: Another process runs the tasks of the state database.
        BadInputError: The state database knows all apps of the lake.
        LakeDamagedError: What is kept of an app cannot be read; names the file.
    """
    home = settings.home
    make_home(home)
    if settings.is_cluster:
        raise BadInputError(
            "The state database of a cluster is not rebuilt from its lake; put back a backup of it."
        )
    with ExitStack() as closing:
        closing.enter_context(lock_home(home))
        engine = closing.enter_context(hold_state(state_url(settings)))
        if settings.state_url:
            closing.enter_context(own_state(str(engine.url.database)))
        apps, inbox, staging = AppQueries(engine), InboxQueries(engine), StagingQueries(engine)
        lake = Lake(lake_location(settings))
        known = {app.app_id for app in apps.list_all()}
        inspection = LakeInspection(inbox, staging, lake)
        deleted = AppRemoval(engine, lake).list_marked().keys()
        lost = sorted(inspection.apps_in_lake() - known - deleted)
        if not lost:
            raise BadInputError(
                "The state database must have lost apps of the lake to be recovered, but it "
                "knows all of them."
            )
        rebuild = LakeRebuild(inbox, staging, SightingQueries(engine), lake, clock=clock)
        now = clock()
        known_from = now - timedelta(days=settings.batch_dedup_days)
        spans_from = now - timedelta(days=SPAN_DAYS_MIN + 1)
        recovered = []
        for app_id in lost:
            kept = None if lake.local is None else read_app_file(lake.local, app_id)
            found = rebuild.rebuild(app_id, known_from=known_from, spans_from=spans_from)
            recovered.append(_register(apps, app_id, kept, found, now=now))
        return recovered


def _register(
    apps: AppQueries, app_id: str, kept: RegisteredApp | None, found: RebuiltApp, *, now: datetime
) -> RecoveredApp:
    key = None
    if kept is None:
        key = new_app_key()
        app = App(
            app_id=app_id,
            name=f"{PLACE}-{app_id}",
            collection=PLACE,
            resource_group=PLACE,
            subscription=PLACE,
        )
        kept = register_first_key(app, hash_app_key(key), now)
    apps.add(kept)
    return RecoveredApp(app=kept.app, app_key=key, rebuilt=found)
