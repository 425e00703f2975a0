"""Makes home folders as earlier commits leave them, with exports under way: `make old-homes`.

Each is killed while it writes parts: one task has started, one was asked to be cancelled, one
waits. The archives are kept with the tests, which open them with the program of today.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

COMMITS = ("b2f404f5", "539a5b11")
"""The last of the workflow's first shape, and one of the second, before plans had rows."""
ROOT = Path(__file__).resolve().parent.parent
HOMES = ROOT / "tests" / "integration" / "homes"
_KILLED = """
import json, sys
from pathlib import Path
import scene
from engagement import operations
from engagement.model.exports import ExportFormat
from engagement.model.points import Point
from engagement.runtime import open_runtime

folder = Path(sys.argv[1])
stage = scene.new_scene(folder)
assert stage.import_sample().returncode == 0
names = ("started", "cancelled", "waiting")
tasks = {name: scene.queue_export(stage, export_format=ExportFormat.NDJSON) for name in names}
# The oldest tasks start first, and the third has no workflow until the process is up again.
killed = stage.run("wait", tasks["started"], kill_at=Point.PART_RECORDED, nth=2)
assert killed.returncode < 0, killed
with open_runtime(scene.settings_of(stage.home, stage.out), workers=False) as runtime:
    operations.cancel_export(runtime, tasks["cancelled"])
about = {"appId": stage.app_id, "tasks": tasks}
(folder / "about.json").write_text(json.dumps(about))
"""


def make_home(commit: str) -> bytes:
    """Return the archive of a home folder that a commit's program was killed on."""
    with tempfile.TemporaryDirectory() as folder:
        checkout, made = Path(folder) / "checkout", Path(folder) / "made"
        made.mkdir()
        _git("worktree", "add", "--detach", str(checkout), commit)
        try:
            # The installed packages serve, as long as the commit's requirements allow them.
            path = os.pathsep.join(str(checkout / part) for part in ("src", "tests/durability"))
            subprocess.run(
                [sys.executable, "-c", _KILLED, str(made)],
                check=True,
                cwd=made,
                env={"PATH": os.defpath, "PYTHONPATH": path},
            )
        finally:
            _git("worktree", "remove", "--force", str(checkout))
        return _archive(made)


def _archive(folder: Path) -> bytes:
    """Return the folder's home, its deliveries and what is said about them, and nothing else."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz", preset=9) as archive:
        for name in ("base", "out", "about.json"):
            archive.add(folder / name, arcname=name, filter=_without_owner)
    return data.getvalue()


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, cwd=ROOT, capture_output=True)  # noqa: S607 - whichever git there is


def main() -> None:
    """Write the archive of each commit."""
    HOMES.mkdir(exist_ok=True)
    for commit in COMMITS:
        (HOMES / f"{commit}.tar.xz").write_bytes(make_home(commit))


if __name__ == "__main__":
    main()
