"""Reads and writes the files below a folder or an object-storage URL, for copies of a service."""

import contextlib
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from engagement.exceptions import StorageUnavailableError
from engagement.store.durable import create_private, sync_path
from engagement.store.object_files import list_files, open_files

_UNFINISHED = ".unfinished"
"""How a file on a local disk ends in its name until it is whole."""
_BLOCK_BYTES = 8 * 1024 * 1024


class FileTree(Protocol):
    """The files below one place, each named by its path from there."""

    def list(self, below: str = "") -> dict[str, int]:
        """The sizes of all files, by their paths; of those in a folder below, if one is named."""

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: There is no such file.
        """

    def write(self, path: str, data: bytes) -> None:
        """Return only when a file holds the bytes for good; until then it is as it was."""

    def upload(self, path: str, file: Path) -> str:
        """Return only when a file holds what a local one does; the SHA-256 of that.

        However large it is, little of it is in memory.
        """

    def download(self, path: str, file: Path) -> str:
        """Bring a file into a new local one; the SHA-256 of what came.

        Raises:
            FileNotFoundError: There is no such file.
        """

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; those that are not there are left aside."""

    def delete_unfinished(self) -> None:
        """Delete what a writer left that died before a file was whole."""


def open_file_tree(location: str) -> FileTree:
    """The files below a folder, or below a URL that the environment has credentials for."""
    if "://" in location:
        return _ObjectTree(location.rstrip("/"))
    return _FolderTree(Path(location))


class _FolderTree:
    """Files on a local disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._synced: set[Path] = set()
        """Folders whose names are on disk."""

    def list(self, below: str = "") -> dict[str, int]:
        """The sizes of all files, by their paths; of those in a folder below, if one is named."""
        sizes: dict[str, int] = {}
        for path in self._walk(below):
            if not path.name.endswith(_UNFINISHED):
                with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                    sizes[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return sizes

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        return (self._root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Return only when a file holds the bytes for good; until then it is as it was."""
        self._write(path, io.BytesIO(data))

    def upload(self, path: str, file: Path) -> str:
        """Return only when a file holds what a local one does; the SHA-256 of that."""
        with file.open("rb") as source:
            return self._write(path, source)

    def download(self, path: str, file: Path) -> str:
        """Bring a file into a new local one; the SHA-256 of what came."""
        with (self._root / path).open("rb") as source, create_private(file) as target:
            return _copy(source, target)

    def _write(self, path: str, source: BinaryIO) -> str:
        file = self._root / path
        self._make_folder(file.parent)
        unfinished = file.with_name(file.name + _UNFINISHED)
        unfinished.unlink(missing_ok=True)
        with create_private(unfinished) as target:
            digest = _copy(source, target)
            target.flush()
            os.fsync(target.fileno())
        unfinished.replace(file)
        sync_path(file.parent)
        return digest

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; those that are not there are left aside."""
        for path in paths:
            (self._root / path).unlink(missing_ok=True)

    def delete_unfinished(self) -> None:
        """Delete what a writer left that died before a file was whole."""
        for path in self._walk(""):
            if path.name.endswith(_UNFINISHED):
                path.unlink(missing_ok=True)

    def _walk(self, below: str) -> Iterator[Path]:
        for folder, _, names in os.walk(self._root / below):
            yield from (Path(folder, name) for name in names)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder that nobody else can enter, and bring its name and those above to disk."""
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
        for each in missing:
            if each not in self._synced:
                sync_path(each.parent)
                self._synced.add(each)


class _ObjectTree:
    """Objects below a URL, reached as the tables of a lake on object storage are."""

    def __init__(self, url: str) -> None:
        self._storage = open_files(url)

    def list(self, below: str = "") -> dict[str, int]:
        """The sizes of all objects, by their paths; of those below a path, if one is named."""
        with _naming_failures():
            return list_files(self._storage, below, recursive=True)

    def read(self, path: str) -> bytes:
        """The bytes of an object."""
        with _naming_failures(), self._storage.open_input_stream(path) as stream:
            data: bytes = stream.read()
        return data

    def write(self, path: str, data: bytes) -> None:
        """Return only when an object holds the bytes; it appears whole or not at all."""
        with self._writing(path, len(data)) as stream:
            stream.write(data)

    def upload(self, path: str, file: Path) -> str:
        """Return only when an object holds what a local file does; the SHA-256 of that."""
        with file.open("rb") as source, self._writing(path, _BLOCK_BYTES) as target:
            return _copy(source, target)

    @contextlib.contextmanager
    def _writing(self, path: str, block: int) -> Iterator[BinaryIO]:
        """A stream of blocks that are as large as said at most.

        delta-rs's streams take bytes; a buffer that is larger than a block hands them over so.
        """
        with (
            _naming_failures(),
            _needing_bucket(),
            self._storage.open_output_stream(path, buffer_size=block + 1) as stream,
        ):
            yield stream

    def download(self, path: str, file: Path) -> str:
        """Bring an object into a new local file; the SHA-256 of what came."""
        with (
            _naming_failures(),
            self._storage.open_input_stream(path) as source,
            create_private(file) as target,
        ):
            return _copy(source, target)

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; those that are not there are left aside."""
        for path in paths:
            with _naming_failures(), contextlib.suppress(FileNotFoundError):
                self._storage.delete_file(path)

    def delete_unfinished(self) -> None:
        """Do nothing: an object is whole or not there."""


def _copy(source: BinaryIO, target: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK_BYTES):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _naming_failures() -> Iterator[None]:
    """Name a failure of object storage by its first line: the others tell addresses."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise StorageUnavailableError(
            f"The object storage cannot be used now: {reason}."
        ) from error


@contextlib.contextmanager
def _needing_bucket() -> Iterator[None]:
    """Name the reason why an object is not found that was to be written."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageUnavailableError(
            "The bucket or container must be there before anything is written, but it is not."
        ) from error
