"""Backs a service up while it runs, and restores a backup into an empty place.

A backup is a folder, or objects below a URL: the state in `state.db`, the lake's files below
`lake`, their digests in `SHA256SUMS`, and `backup.json`, which is written last. The keys are not
in it.
"""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engagement import __version__
from engagement.exceptions import (
    BadInputError,
    IllegalStateError,
    LakeDamagedError,
    VerificationError,
)
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.model.codec import decode, encode
from engagement.runtime.copying import LakeTarget, copy_service, open_copy, read_service
from engagement.runtime.home import (
    LAKE_FOLDER,
    STATE_FILE,
    lake_location,
    lock_home,
    make_home,
    state_location,
)
from engagement.settings import Settings
from engagement.store.file_trees import FileTree, open_file_tree
from engagement.store.keyring import KEY_FILE, KEYS_FOLDER
from engagement.store.lake_copy import MARK, CopiedFile, LakeMovedOnError, NeededFile, TableRows
from engagement.store.moves import MoveMark
from engagement.store.queries.installation import InstallationQueries
from engagement.store.state import hold_state
from engagement.store.state_copy import (
    TableContent,
    is_missing_file,
    load_state,
    read_state_content,
    require_empty_state,
)
from engagement.store.vault import Vault, read_key

FORMAT = 1
"""Of the backup's layout; a release refuses one that it does not know."""
SUMS = "SHA256SUMS"
MANIFEST = "backup.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a finished backup says of itself."""

    format: int
    """Of its layout."""
    release: str
    """Which wrote it."""
    created_at: datetime
    """When it was begun: all that was acknowledged before is in it."""
    service: str
    """Tells the service from others."""
    vault_key_id: str
    """The id of the key without which nothing that is sealed opens; it is not in the backup."""
    files: int
    """Files of the lake."""
    bytes: int
    """Their sizes, added up."""
    sums_sha256: str
    """The digest of the list of digests."""
    state: Mapping[str, TableContent]
    """What each table of the state database holds."""
    tables: tuple[TableRows, ...]
    """What each table of the lake holds; those that are known to be damaged are not listed."""


def back_up(
    settings: Settings,
    target: str,
    *,
    key_file: Path | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    on_failpoint: FailpointHook = no_failpoint,
) -> Backup:
    """Return only when all that was acknowledged before the call is in a backup, and proved.

    The service goes on meanwhile. A run that was cut off is gone on with by the next one.

    Args:
        settings: The service.
        target: An empty folder, or an object-storage URL with nothing below it.
        key_file: A file, not in the backup, for a copy of the vault's key.
        clock: Now, in UTC.
        on_failpoint: Called at each failpoint, for tests.

    Raises:
        BadInputError: The target is not empty, or there is no service to back up.
        LakeDamagedError: A file of the lake is not what was written.
        ServiceMovedError: The service was moved to another place.
    """
    tree = open_file_tree(target)
    _require_own_key(settings, key_file)
    _require_place(tree, target, key_file)
    _require_in_use(settings)
    lake = LakeTarget(f"{target.rstrip('/')}/{LAKE_FOLDER}", on_failpoint=on_failpoint)
    began_at = clock()
    with tempfile.TemporaryDirectory(prefix="engagement-backup-") as folder:
        file, copied = copy_service(
            state_location(settings),
            lake_location(settings),
            lake,
            Path(folder),
            on_failpoint=on_failpoint,
        )
        with open_copy(file) as state:
            tables = state.check(lake.location)
            if key_file is not None:
                _copy_key(settings.home / KEYS_FOLDER / KEY_FILE, key_file, state.vault_key_id)
            service, vault_key_id = state.service, state.vault_key_id
        content = read_state_content(f"sqlite:///{file}")
        tree.delete_unfinished()
        sums = _write_state(tree, file, copied)
        backup = Backup(
            format=FORMAT,
            release=__version__,
            created_at=began_at,
            service=service,
            vault_key_id=vault_key_id,
            files=len(copied),
            bytes=sum(each.bytes for each in copied),
            sums_sha256=sums,
            state=content,
            tables=tuple(tables),
        )
        on_failpoint(Failpoint.COPY_STATE_WRITTEN)
        lake.require_claim()
        tree.write(MANIFEST, encode(backup).encode())  # the backup is one from here on
        lake.release()
    return backup


def restore(
    settings: Settings,
    source: str,
    *,
    key_file: Path | None = None,
    on_failpoint: FailpointHook = no_failpoint,
) -> Backup:
    """Return only when a service is what a backup holds, each file and each table proved.

    The state comes last, so that a restore which is cut off can be repeated, and until then no
    service opens there.

    Args:
        settings: Where the service is to be: an empty home folder, and an empty state database
            and lake where they are elsewhere.
        source: The backup.
        key_file: A file with the vault's key.
        on_failpoint: Called at each failpoint, for tests.

    Raises:
        BadInputError: There is no finished backup, or the place is not empty.
        VerificationError: The backup is not what was written.
        HomeBusyError: Another process runs on the home folder.
    """
    _require_own_key(settings, key_file)
    tree = open_file_tree(source)
    backup = _read_backup(tree, source)
    sums = _read_sums(tree, backup)
    lake = LakeTarget(lake_location(settings), on_failpoint=on_failpoint)
    with ExitStack() as closing:
        make_home(settings.home)
        closing.enter_context(lock_home(settings.home))
        if _is_restored(settings, lake, backup):
            lake.release()
            return backup
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="engagement-restore-"))
        file = Path(folder, STATE_FILE)
        _fetch_state(tree, file, sums)
        require_empty_state(state_location(settings))
        lake.claim(backup.service)
        _fill_lake(lake, source, sums)
        if key_file is not None:
            _copy_key(key_file, settings.home / KEYS_FOLDER / KEY_FILE, backup.vault_key_id)
        with open_copy(file) as state:
            state.check(lake.location)
        load_state(file, state_location(settings))
        on_failpoint(Failpoint.COPY_STATE_WRITTEN)
        lake.release()
    return backup


def _require_own_key(settings: Settings, key_file: Path | None) -> None:
    if settings.is_cluster and key_file is not None:
        raise BadInputError(
            "The vault's key of a cluster is given to its machines by ENGAGEMENT_VAULT_KEY or "
            "ENGAGEMENT_VAULT_KEY_FILE, and no home folder has it; keep a copy of what is given "
            "there, and leave out --key-file."
        )


def _require_in_use(settings: Settings) -> None:
    """Return only if the service was not moved away, whose copy could not be opened."""
    location = state_location(settings)
    if is_missing_file(location):
        return  # whoever copies it says so
    with hold_state(location) as engine:
        MoveMark(InstallationQueries(engine)).require_none()


def _require_place(tree: FileTree, target: str, key_file: Path | None) -> None:
    there = tree.list()
    if there and (MANIFEST in there or f"{LAKE_FOLDER}/{MARK}" not in there):
        raise BadInputError(
            f"A backup needs an empty place of its own, but {target} holds {len(there)} files, "
            f"such as {min(there)}."
        )
    if key_file is None:
        return
    if key_file.exists():
        raise BadInputError(f"The key's copy must be a new file, but {key_file} is there.")
    if "://" not in target and key_file.resolve().is_relative_to(Path(target).resolve()):
        raise BadInputError(
            f"The key must be kept apart from the backup, but {key_file} is in {target}: who has "
            "both can open what is sealed."
        )


def _write_state(tree: FileTree, file: Path, copied: list[CopiedFile]) -> str:
    """Write the state and the list of digests; the digest of that list."""
    lines = [f"{tree.upload(STATE_FILE, file)}  {STATE_FILE}"]
    lines += [f"{each.sha256}  {LAKE_FOLDER}/{each.path}" for each in copied]
    text = "".join(f"{line}\n" for line in lines).encode()
    tree.write(SUMS, text)
    return hashlib.sha256(text).hexdigest()


def _read_backup(tree: FileTree, source: str) -> Backup:
    try:
        text = tree.read(MANIFEST)
    except FileNotFoundError as error:
        raise BadInputError(
            f"A finished backup has the file {MANIFEST}, but there is none in {source}."
        ) from error
    try:
        backup = decode(text.decode(), Backup)
    except ValueError as error:
        raise VerificationError(f"The backup's {MANIFEST} cannot be read ({error}).") from error
    if backup.format != FORMAT:
        raise BadInputError(
            f"The backup must be of format {FORMAT}, got {backup.format} of release "
            f"{backup.release}: restore it with that release."
        )
    return backup


def _read_sums(tree: FileTree, backup: Backup) -> dict[str, str]:
    """The digests of the files of a backup, by their paths."""
    try:
        text = tree.read(SUMS)
    except FileNotFoundError as error:
        raise VerificationError(f"The backup must have the file {SUMS}, got none.") from error
    if hashlib.sha256(text).hexdigest() != backup.sums_sha256:
        raise VerificationError(f"The backup must be as it was written, but {SUMS} is not.")
    lines = (line.partition("  ") for line in text.decode().splitlines())
    return {path: digest for digest, _, path in lines}


def _fetch_state(tree: FileTree, file: Path, sums: Mapping[str, str]) -> None:
    try:
        digest = tree.download(STATE_FILE, file)
    except FileNotFoundError as error:
        raise VerificationError(f"The backup must have the file {STATE_FILE}, got none.") from error
    if digest != sums.get(STATE_FILE):
        raise VerificationError(f"The backup must be as it was written, but {STATE_FILE} is not.")


def _fill_lake(lake: LakeTarget, source: str, sums: Mapping[str, str]) -> None:
    prefix = f"{LAKE_FOLDER}/"
    needed = [
        NeededFile(path=path.removeprefix(prefix), sha256=digest)
        for path, digest in sums.items()
        if path.startswith(prefix)
    ]
    try:
        lake.fill(open_file_tree(f"{source.rstrip('/')}/{LAKE_FOLDER}"), needed)
    except (LakeDamagedError, LakeMovedOnError) as error:
        raise VerificationError(f"The backup must be as it was written: {error}") from error


def _is_restored(settings: Settings, lake: LakeTarget, backup: Backup) -> bool:
    """Whether all was done by a run that was cut off before it could say so."""
    return lake.is_of(backup.service) and (read_service(state_location(settings)) == backup.service)


def _copy_key(source: Path, target: Path, key_id: str) -> None:
    """Return only when a file holds the vault's key of this id, for its owner's eyes alone."""
    try:
        key = Vault(read_key(source))
    except FileNotFoundError as error:
        raise BadInputError(f"The vault's key must be in {source}, got no such file.") from error
    if key.key_id.hex() != key_id:
        raise IllegalStateError(
            f"The key in {source} must be {key_id}, got {key.key_id.hex()}: it was exchanged "
            "meanwhile, or is another service's."
        )
    open_file_tree(str(target.parent)).write(target.name, source.read_bytes())
