"""Reaches files as delta-rs does: below a folder or a URL of object storage.

Arrow loads with the first of them, and not with the modules that may need it: with NumPy it is a
tenth of what a process loads, and most commands read no table.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


def open_files(place: str) -> "FileSystem":
    """Return the files below a folder or URL, which need not be there yet."""
    from deltalake.fs import DeltaStorageHandler  # noqa: PLC0415
    from pyarrow.fs import PyFileSystem  # noqa: PLC0415

    return PyFileSystem(DeltaStorageHandler(place))


def list_files(files: "FileSystem", below: str = "", *, recursive: bool = False) -> dict[str, int]:
    """Return the sizes of files by their paths; none where the folder is not there.

    Args:
        files: Where.
        below: The folder, by its path; empty means the uppermost.
        recursive: Whether to look into folders below it.
    """
    from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415

    selector = FileSelector(below, recursive=recursive, allow_not_found=True)
    found = files.get_file_info(selector)
    return {info.path: info.size for info in found if info.type == FileType.File}
