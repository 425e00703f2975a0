"""Opens a service with imports in a folder, for tests to import tags with."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.collect.tag_imports import ImportRunner, ImportTools
from engagement.model.records import new_guid
from engagement.model.tag_imports import ImportTask
from engagement.operations.apps import create_app
from engagement.operations.devices import list_devices
from engagement.operations.tag_imports import create_import_task, get_import_task
from engagement.runtime.opening import Runtime, open_service
from engagement.runtime.service import IMPORTS_FOLDER
from engagement.settings import Settings
from support.batches import DEVICES, batch, log
from support.waiting import wait_for

SPELLED = [str(uuid.UUID(device)).upper() for device in DEVICES[:2]]
"""The devices of an app, spelled as another system may."""
TAGS = {DEVICES[0]: {"plan": "pro", "age": 36}, SPELLED[1]: {"plan": "free", "gone": None}}
LINES = b"".join(json.dumps({device: tags}).encode() + b"\r\n" for device, tags in TAGS.items())
IMPORTED = [{"age": "36", "plan": "pro"}, {"plan": "free"}]
"""What an app's devices have once the tags are imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportScene:
    """A running service."""

    runtime: Runtime

    def folder(self, app_id: str) -> Path:
        """The folder that an app's local files may lie in."""
        folder = self.runtime.settings.home / IMPORTS_FOLDER / app_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def new_app(self) -> str:
        """The id of a new app with two devices."""
        names = {"collection": "c", "resource_group": "g", "subscription": "s"}
        app_id = create_app(self.runtime, name=new_guid(), **names).app.app_id
        now = datetime.now(UTC)
        bodies = [batch(log("event"), device=device) for device in DEVICES[:2]]
        decoded = [decode_batch(body, received_at=now, live=False) for body in bodies]
        accept(self.runtime.inbox, app_id, decoded, received_at=now)
        return app_id

    def tags(self, app_id: str) -> list[dict[str, str]]:
        """The tags of the app's devices."""
        return [dict(device.app_info) for device in list_devices(self.runtime, app_id).devices]

    def create(self, app_id: str, url: str) -> ImportTask:
        """A task that runs."""
        return create_import_task(self.runtime, app_id, storage_url=url)

    def ended(self, task: ImportTask) -> ImportTask:
        """The task when it has ended, its credential erased."""

        def find_ended() -> ImportTask | None:
            found = get_import_task(self.runtime, task.app_id, task.task_id)
            return found if found.state.is_final else None

        found = wait_for(find_ended, "the end of an import")
        assert self.runtime.imports.read_sealed_storage_url(task.task_id) is None
        return found

    def imported(self, app_id: str, data: bytes | int) -> ImportTask:
        """The task that imported a file of these bytes, or of so many zeros, when it has ended."""
        path = self.folder(app_id) / new_guid()
        with path.open("wb") as file:
            file.write(data) if isinstance(data, bytes) else file.truncate(data)
        task = self.create(app_id, f"file://{path}")
        assert task.storage == f"file://{path}"
        return self.ended(task)

    def queued(self, app_id: str) -> ImportTask:
        """A task with a good file, created where nothing runs it."""
        path = self.folder(app_id) / new_guid()
        path.write_bytes(LINES)
        with ExitStack() as closing:
            other = closing.enter_context(open_service(self.runtime.settings, run_tasks=False))
            return create_import_task(other, app_id, storage_url=f"file://{path}")

    def resumed(self, task: ImportTask) -> ImportTask:
        """A task that was left unfinished, after a new process took it up and ended it."""
        runner = self.runner(read_blob=lambda *_: [LINES])
        runner.resume()
        done = self.ended(task)
        runner.stop()
        return done

    def runner(
        self,
        *,
        read_blob: Callable[[str, str], Iterable[bytes]],
        flush: Callable[[str], object] | None = None,
    ) -> ImportRunner:
        """A runner that reads or flushes in another way."""
        return ImportRunner(
            ImportTools(
                tasks=self.runtime.imports,
                inbox=self.runtime.inbox,
                lake=self.runtime.lake,
                vault=self.runtime.task_vault,
                flush=flush or self.runtime.flush,
                read_blob=read_blob,
                clock=self.runtime.clock,
            )
        )


@contextmanager
def open_import_scene(folder: Path) -> Iterator[ImportScene]:
    """A service on a folder."""
    settings = Settings(home=folder / "home", local_roots=(folder,), allow_loopback_containers=True)
    with open_service(settings) as runtime:
        yield ImportScene(runtime=runtime)
