"""Imports tags from blobs, in threads of its own, each device's tags exactly once."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from tempfile import TemporaryFile
from typing import IO

import structlog

from engagement.collect.inbox import accept
from engagement.collect.limits import guid, quote_value
from engagement.collect.payload import Batch
from engagement.collect.tag_files import Entry, decode_text, read_entries
from engagement.collect.tagging import tag_batch
from engagement.collect.turns import Turns
from engagement.exceptions import (
    CorruptInputError,
    EngagementError,
    ErrorCode,
    RequestTooLargeError,
)
from engagement.model.limits import ID_CHARACTERS_MAX
from engagement.model.tag_imports import ImportState, ImportTask
from engagement.step_watch import StepWatch
from engagement.storage_failures import find_failure, unknown_failure
from engagement.store.devices import DeviceReader
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.tag_imports import ImportTaskQueries
from engagement.store.task_vault import TaskVault

IMPORT_BYTES_MAX = 64 * 1024 * 1024
"""Of a blob; it lies on disk while it is read."""
IMPORT_ATTEMPTS_MAX = 3
"""How often an import is begun whose process dies of it, or by chance."""
PIECE_BYTES = 64 * 1024
CHARACTERS_PER_TRANSACTION = 1024 * 1024
CHARACTERS_PER_FLUSH = 1024 * 1024
"""A flush holds what it moves in memory several times over."""
IMPORTS_CONCURRENT_MAX = 2
ENTRIES_PER_TRANSACTION = 2_000
TRANSACTIONS_PER_FLUSH = 50
LEFT_OUT_NAMED_MAX = 5
"""Devices that the details name of those that were left out."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportTools:
    """What imports work with."""

    tasks: ImportTaskQueries
    """The tasks."""
    inbox: InboxQueries
    """Takes the tags."""
    lake: Lake
    """Knows the devices."""
    vault: TaskVault
    """Opens the blobs' URLs."""
    flush: Callable[[str], object]
    """Moves an app's inbox to the lake."""
    read_blob: Callable[[str, str], Iterable[bytes]]
    """The bytes at the URL of a blob that an app may import."""
    clock: Callable[[], datetime]
    """Now, in UTC."""
    step_watch: StepWatch = field(default_factory=StepWatch)
    """Knows which imports run."""


class ImportRunner:
    """Runs import tasks, and those that another run of the process left unfinished."""

    def __init__(self, tools: ImportTools) -> None:
        self._tools = tools
        self._stopping = threading.Event()
        self._threads = ThreadPoolExecutor(IMPORTS_CONCURRENT_MAX, thread_name_prefix="imports")
        self._turns: Turns[ImportTask] = Turns()
        self._lock = threading.Lock()
        self._lost: list[ImportTask] = []

    @property
    def tasks(self) -> ImportTaskQueries:
        """The tasks that it runs."""
        return self._tools.tasks

    def resume(self) -> None:
        """Run what was left unfinished; to be called once, before anything is submitted."""
        for task in self._tools.tasks.list_unfinished():
            self.submit(task)

    def submit(self, task: ImportTask) -> None:
        """Run a task as soon as a thread is free and its app has its turn."""
        self._turns.add(task.app_id, task)
        self._threads.submit(self._run_next)

    def resume_lost(self) -> None:
        """Run again what ended while its end could not be kept."""
        with self._lock:
            lost, self._lost = self._lost, []
        for task in lost:
            self.submit(task)

    @property
    def has_stalled(self) -> bool:
        """Whether a thread is lost to an import that does not go on."""
        return self._tools.step_watch.has_stalled

    def fail_stalled(self) -> None:
        """End the imports that went without progress for too long."""
        for task_id in self._tools.step_watch.find_stalled():
            _log.error("import_stalled", task_id=task_id)
            details = self._tools.step_watch.describe_stall()
            self._fail(task_id, ErrorCode.STALLED, details)
            self._tools.step_watch.give_up(task_id)

    def begin_to_stop(self) -> None:
        """Let what runs end soon, and nothing begin."""
        self._stopping.set()

    def stop(self) -> None:
        """Return only when nothing runs; what is unfinished goes on at the next start."""
        self.begin_to_stop()
        self._threads.shutdown(cancel_futures=True)

    def _run_next(self) -> None:
        """Run the tasks whose turn it is, until none is left; an app has one that runs."""
        while not self._stopping.is_set() and (turn := self._turns.take()) is not None:
            app_id, task = turn
            try:
                self.run_to_its_end(task)
            except BaseException:  # noqa: BLE001 - in its thread, where nobody would hear of it
                _log.exception("import_end_not_kept")
                with self._lock:
                    self._lost.append(task)
            self._turns.bring_back(app_id)

    def run_to_its_end(self, task: ImportTask) -> bool:
        """Run a task in this thread; whether it has ended, which it has not if the process stops.

        Raises:
            EngagementError: Its end could not be kept.
        """
        tasks, now = self._tools.tasks, self._tools.clock
        try:
            self._begin(task)
            with self._tools.step_watch.watch(task.task_id) as note_progress:
                details = self._import(task, note_progress)
        except _StoppedError:
            tasks.take_back_start(task.task_id)
            return False
        except BaseException as error:  # noqa: BLE001 - any end of an import ends its task, panics too
            named = find_failure(error)
            if named is None:
                _log.exception("import_failed")
                named = unknown_failure(error, stopped="the import")
            self._fail(task.task_id, named.code, str(named))
        else:
            tasks.finish(task.task_id, ImportState.SUCCEEDED, now=now(), details=details)
        return True

    def _begin(self, task: ImportTask) -> None:
        """Count the attempt, since what the import does may end the whole process."""
        attempts = self._tools.tasks.start(task.task_id, now=self._tools.clock())
        if attempts > IMPORT_ATTEMPTS_MAX:
            raise _AttemptsExhaustedError(
                f"The import was begun {IMPORT_ATTEMPTS_MAX} times, and its process ended in the "
                "middle of each. Cut the file into smaller ones."
            )

    def _fail(self, task_id: str, code: ErrorCode, details: str) -> None:
        now = self._tools.clock()
        self._tools.tasks.finish(task_id, ImportState.FAILED, now=now, code=code, details=details)

    def _import(self, task: ImportTask, note_progress: Callable[[], None]) -> str | None:
        """Return only when the tags of every good entry are in the lake; which were left out.

        A repeat after a crash changes nothing twice: an entry's batch id depends on the task and
        the entry alone, and the tags count from when the task was created.
        """
        with TemporaryFile() as file:
            self._copy(task, file, note_progress)
            self._tools.flush(task.app_id)
            commits = self._tools.inbox.last_commits(task.app_id)
            devices = DeviceReader(self._tools.lake, task.app_id, commits)
            left_out = _LeftOut()
            pieces = decode_text(iter(lambda: file.read(PIECE_BYTES), b""))
            transactions = characters = 0
            for chunk in _chunks(read_entries(pieces)):
                if self._stopping.is_set():
                    raise _StoppedError
                note_progress()
                batches = list(_batches(task, chunk, devices, left_out))
                accept(self._tools.inbox, task.app_id, batches, received_at=self._tools.clock())
                transactions += 1
                characters += sum(entry.characters for _, entry in chunk)
                if transactions >= TRANSACTIONS_PER_FLUSH or characters >= CHARACTERS_PER_FLUSH:
                    self._tools.flush(task.app_id)
                    transactions = characters = 0
        self._tools.flush(task.app_id)
        return left_out.details

    def _copy(self, task: ImportTask, file: IO[bytes], note_progress: Callable[[], None]) -> None:
        """Copy the blob to a file, so that no connection waits for what is done with its tags."""
        sealed = self._tools.tasks.read_sealed_storage_url(task.task_id)
        if sealed is None:
            raise EngagementError("The import needs the blob's URL, which was erased.")
        size = 0
        url = self._tools.vault.open(sealed, context=task.task_id)
        for chunk in self._tools.read_blob(task.app_id, url):
            if self._stopping.is_set():
                raise _StoppedError
            note_progress()
            file.write(chunk)
            size += len(chunk)
            if size > IMPORT_BYTES_MAX:
                raise RequestTooLargeError(
                    f"The blob must have at most {IMPORT_BYTES_MAX} bytes, got more."
                )
        file.seek(0)


class _StoppedError(Exception):
    """The process ends; the task goes on at the next start."""


class _AttemptsExhaustedError(EngagementError):
    """An import ended its process again and again."""

    code = ErrorCode.INTERNAL_RETRIES_EXHAUSTED


def _chunks(entries: Iterator[Entry]) -> Iterator[list[tuple[int, Entry]]]:
    """The entries with their places, so many at a time as one transaction takes."""
    chunk: list[tuple[int, Entry]] = []
    characters = 0
    for place, entry in enumerate(entries):
        chunk.append((place, entry))
        characters += entry.characters
        if len(chunk) == ENTRIES_PER_TRANSACTION or characters >= CHARACTERS_PER_TRANSACTION:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


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
    chunk: list[tuple[int, Entry]],
    devices: DeviceReader,
    left_out: _LeftOut,
) -> Iterator[Batch]:
    """A batch for each entry that can be kept."""
    ids = {given: _device_id(given) for _, (given, _, _) in chunk}
    known = devices.find_known({device_id for device_id in ids.values() if device_id is not None})
    for place, (given, tags, _) in chunk:
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
