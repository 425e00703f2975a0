"""Delivers into a local folder: whole, durable, and never outside of it."""

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engagement.deliver.destination import WatchedChunks, key_names
from engagement.exceptions import DestinationError, ErrorCode, TransientDestinationError

READ_BYTES = 8 * 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A folder on the way needs no permission to be listed, where the system can tell the two apart.
_PASSED = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")
_CODES = {
    "ENOSPC": ErrorCode.INSUFFICIENT_QUOTA,
    "EDQUOT": ErrorCode.INSUFFICIENT_QUOTA,
    "EACCES": ErrorCode.SAS_PERMISSION_MISSING,
    "EPERM": ErrorCode.SAS_PERMISSION_MISSING,
    "EROFS": ErrorCode.SAS_PERMISSION_MISSING,
    "ENOENT": ErrorCode.CONTAINER_NOT_FOUND,
    "ELOOP": ErrorCode.EGRESS_DENIED,
    "ENOTDIR": ErrorCode.CONTAINER_NOT_FOUND,
    "EISDIR": ErrorCode.BLOB_IMMUTABLE,
    "ENAMETOOLONG": ErrorCode.LIMIT_EXCEEDED,
}


class LocalDestination:
    """A folder. Every path is walked without following symbolic links.

    Object-store libraries follow links out of the folder and never fsync, so this is our own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> None:
        """Return only if an object can be written now."""
        key = f".check-{secrets.token_hex(8)}"
        self.put(key, [])
        self.delete(key)

    def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Return only when the object is on disk.

        A temporary file is written, fsynced and renamed, and then its folder is fsynced.
        """
        source = WatchedChunks(chunks)
        with _translate_errors(key, source), self._parent(key, create=True) as (parent, name):
            _remove_leftovers(parent, name)
            temporary = f".{name}.{secrets.token_hex(8)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            descriptor = os.open(temporary, flags, 0o644, dir_fd=parent)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells other writers that this one lives
            try:
                with os.fdopen(descriptor, "wb", buffering=0) as file:
                    for chunk in source:
                        _write_all(file.fileno(), chunk)
                        _start_writeback(file.fileno())
                    os.fsync(file.fileno())
                os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(OSError):  # what went wrong first is what counts
                    os.unlink(temporary, dir_fd=parent)
                raise
            os.fsync(parent)

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes, in order."""
        with _translate_errors(key), self._parent(key, create=False) as (parent, name):
            # A pipe that nobody writes to would be waited for, for ever.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(name, flags, dir_fd=parent)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(errno.ELOOP, "it is no regular file")
                while data := file.read(READ_BYTES):
                    yield data

    def list_keys(self, prefix: str) -> list[str]:
        """The keys below a prefix, sorted; neither links nor what is being written."""
        with _translate_errors(prefix), self._parent(".list", create=False) as (folder, _):
            keys = [
                f"{below}/{name}".removeprefix("./")
                for below, _, names, inside in os.fwalk(".", dir_fd=folder)
                for name in names
                if not _TEMPORARY.fullmatch(name) and _is_file(name, inside)
            ]
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Return only when no object has this key."""
        with (
            _translate_errors(key),
            suppress(FileNotFoundError),
            self._parent(key, create=False) as (parent, name),
        ):
            os.unlink(name, dir_fd=parent)
            os.fsync(parent)

    @contextmanager
    def _parent(self, key: str, *, create: bool) -> Iterator[tuple[int, str]]:
        """The open folder of a key, reached name by name from the root, and the last name."""
        *folders, name = [*self._folder.parts[1:], *key_names(key)]
        current = os.open("/", _PASSED)
        try:
            for folder in folders:
                deeper = _open_folder(current, folder, create=create)
                os.close(current)
                current = deeper
            parent = os.open(".", _FOLDER, dir_fd=current)
        finally:
            os.close(current)
        try:
            yield parent, name
        finally:
            os.close(parent)


def _remove_leftovers(parent: int, name: str) -> None:
    """Remove what writers of the same object left behind when they were killed.

    A living writer holds a lock on its file, and a killed one does not.
    """
    for other in os.listdir(parent):
        if not _TEMPORARY.fullmatch(other) or other.rpartition(".")[0] != f".{name}":
            continue
        with suppress(FileNotFoundError, BlockingIOError):
            descriptor = os.open(other, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(other, dir_fd=parent)
            finally:
                os.close(descriptor)


def _open_folder(parent: int, name: str, *, create: bool) -> int:
    try:
        return os.open(name, _PASSED, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
        _sync_folder(parent)
    return os.open(name, _PASSED, dir_fd=parent)


def _sync_folder(folder: int) -> None:
    """Sync a folder that may be open for passing only."""
    descriptor = os.open(".", _FOLDER, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_file(name: str, folder: int) -> bool:
    return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _write_all(descriptor: int, chunk: bytes | memoryview) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(descriptor, left) :]


def _start_writeback(descriptor: int) -> None:
    """Send what is written to the disk now, so that fsync has little left to wait for."""
    if hasattr(os, "posix_fadvise"):  # macOS has none
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _translate_errors(key: str, source: WatchedChunks | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if source is not None and error is source.failure:
            raise
        name = errno.errorcode.get(error.errno or 0, "unknown")
        message = f"The folder refused {key!r}: {error.strerror} ({name})."
        if name in _CODES:
            raise DestinationError(message, code=_CODES[name]) from error
        raise TransientDestinationError(message) from error
