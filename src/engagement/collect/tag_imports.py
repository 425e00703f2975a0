"""Imports tags from blobs, in threads of its own, each device's tags exactly once."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice

from engagement.collect.inbox import accept
from engagement.collect.limits import guid, quote_value
from engagement.collect.payload import Batch
from engagement.collect.tag_files import read_entries
from engagement.collect.tagging import tag_batch
from engagement.exceptions import (
    CorruptInputError,
    EngagementError,
    ErrorCode,
    RequestTooLargeError,
)
from engagement.model.limits import ID_CHARACTERS_MAX
from engagement.model.tag_imports import ImportState, ImportTask
from engagement.store.devices import DeviceReader
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.tag_imports import ImportTaskQueries
from engagement.store.vault import Vault

IMPORT_BYTES_MAX = 64 * 1024 * 1024
"""Of a blob; it is held in memory as text while it is read."""
IMPORTS_CONCURRENT_MAX = 2
ENTRIES_PER_TRANSACTION = 2_000
TRANSACTIONS_PER_FLUSH = 50
LEFT_OUT_NAMED_MAX = 5
"""Devices that the details name of those that were left out."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportTools:
    """What imports work with."""

    tasks: ImportTaskQueries
    """The tasks."""
    inbox: InboxQueries
    """Takes the tags."""
    lake: Lake
    """Knows the devices."""
    vault: Vault
    """Opens the blobs' URLs."""
    flush: Callable[[str], object]
    """Moves an app's inbox to the lake."""
    read_blob: Callable[[str], Iterable[bytes]]
    """The bytes at a blob's URL."""
    clock: Callable[[], datetime]
    """Now, in UTC."""


class ImportRunner:
    """Runs import tasks, and those that another run of the process left unfinished."""

    def __init__(self, tools: ImportTools) -> None:
        self._tools = tools
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(IMPORTS_CONCURRENT_MAX, thread_name_prefix="imports")

    def resume(self) -> None:
        """Run what was left unfinished; to be called once, before anything is submitted."""
        for task in self._tools.tasks.list_unfinished():
            self.submit(task)

    def submit(self, task: ImportTask) -> None:
        """Run a task as soon as a thread is free."""
        self._threads.submit(self._run, task)

    def stop(self) -> None:
        """Return only when nothing runs; what is unfinished goes on at the next start."""
        self._stopping.set()
        self._threads.shutdown(cancel_futures=True)

    def _run(self, task: ImportTask) -> None:
        tasks, now = self._tools.tasks, self._tools.clock
        try:
            tasks.start(task.task_id, now=now())
            details = self._import(task)
        except _StoppedError:
            return
        except EngagementError as error:
            code, details = error.code, str(error)
            tasks.finish(task.task_id, ImportState.FAILED, now=now(), code=code, details=details)
        except Exception:  # noqa: BLE001 - any other error must end the task, not hang it
            _log.exception("import_failed")
            tasks.finish(
                task.task_id,
                ImportState.FAILED,
                now=now(),
                code=ErrorCode.INTERNAL,
                details="Something unexpected stopped the import; the log has the details.",
            )
        else:
            tasks.finish(task.task_id, ImportState.SUCCEEDED, now=now(), details=details)

    def _import(self, task: ImportTask) -> str | None:
        """Return only when the tags of every good entry are in the lake; which were left out.

        A repeat after a crash changes nothing twice: an entry's batch id depends on the task and
        the entry alone, and the tags count from when the task was created.
        """
        text = self._text(task)
        self._tools.flush(task.app_id)
        commits = self._tools.inbox.last_commits(task.app_id)
        devices = DeviceReader(self._tools.lake, task.app_id, commits)
        left_out = _LeftOut()
        entries = enumerate(read_entries(text))
        for number in count(1):
            chunk = list(islice(entries, ENTRIES_PER_TRANSACTION))
            if not chunk:
                break
            if self._stopping.is_set():
                raise _StoppedError
            batches = list(_batches(task, chunk, devices, left_out))
            accept(self._tools.inbox, task.app_id, batches, received_at=self._tools.clock())
            if number % TRANSACTIONS_PER_FLUSH == 0:
                self._tools.flush(task.app_id)
        self._tools.flush(task.app_id)
        return left_out.details

    def _text(self, task: ImportTask) -> str:
        sealed = self._tools.tasks.read_sealed_storage_url(task.task_id)
        if sealed is None:
            raise EngagementError("The import needs the blob's URL, which was erased.")
        data = bytearray()
        for chunk in self._tools.read_blob(self._tools.vault.open(sealed, context=task.task_id)):
            if self._stopping.is_set():
                raise _StoppedError
            data += chunk
            if len(data) > IMPORT_BYTES_MAX:
                raise RequestTooLargeError(
                    f"The blob must have at most {IMPORT_BYTES_MAX} bytes, got more."
                )
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CorruptInputError(
                f"The blob must be UTF-8, got other bytes at byte {error.start + 1}."
            ) from error


class _StoppedError(Exception):
    """The process ends; the task goes on at the next start."""


@dataclass(slots=True)
class _LeftOut:
    """The devices that an import leaves out."""

    entries: int = 0
    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, given: str, reason: str) -> None:
        self.count += 1
        if len(self.named) < LEFT_OUT_NAMED_MAX:
            self.named.append(f"{quote_value(given)}: {reason}")

    @property
    def details(self) -> str | None:
        if not self.count:
            return None
        named = " ".join(self.named)
        return f"{self.count} of {self.entries} devices were left out. First of them: {named}"


def _batches(
    task: ImportTask,
    chunk: list[tuple[int, tuple[str, object]]],
    devices: DeviceReader,
    left_out: _LeftOut,
) -> Iterator[Batch]:
    """A batch for each entry that can be kept."""
    ids = {given: _device_id(given) for _, (given, _) in chunk}
    known = devices.find_known({device_id for device_id in ids.values() if device_id is not None})
    for place, (given, tags) in chunk:
        left_out.entries += 1
        device_id = ids[given]
        if device_id is None or device_id not in known:
            left_out.add(given, "The app has no such device.")
        elif not isinstance(tags, dict) or any(
            isinstance(value, dict | list) for value in tags.values()
        ):
            left_out.add(given, "Its tags must be an object of strings.")
        elif tags:
            batch_id = f"import-{task.task_id}-{place}-{device_id}"
            try:
                yield tag_batch(device_id, tags, batch_id=batch_id, at=task.created_at)
            except CorruptInputError as error:
                left_out.add(given, str(error))


def _device_id(given: str) -> str | None:
    """The id that the text of an entry stands for; None if no batch could name a device so."""
    is_whole = not any("\ud800" <= character <= "\udfff" for character in given)
    return guid(given, "device") if is_whole and 0 < len(given) <= ID_CHARACTERS_MAX else None
