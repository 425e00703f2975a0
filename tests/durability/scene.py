"""Sets scenes for the killed process, and looks at what it leaves."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from victim import SECONDS_MAX, settings_of

from engagement import operations
from engagement.failpoints import Failpoint
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportFormat, ExportType, TimeRange
from engagement.runtime.opening import open_service

VICTIM = Path(__file__).with_name("victim.py")
SPAN = TimeRange.of_days(date(2026, 1, 1), date(2026, 1, 31))

Tree = dict[str, bytes]
"""The bytes of every file below a folder, by relative path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A home folder with an app, and the folder that its exports go to."""

    home: Path
    out: Path
    app_id: str
    sample: Path

    def copy(self, to: Path) -> "Scene":
        """The same scene elsewhere; its exports still go to the same folder, which is emptied."""
        if to.exists():
            shutil.rmtree(to)
        shutil.copytree(self.home, to)
        shutil.rmtree(self.out, ignore_errors=True)
        return Scene(home=to, out=self.out, app_id=self.app_id, sample=self.sample)

    def run(
        self,
        action: str,
        *subjects: str,
        kill_at: Failpoint | None = None,
        nth: int = 1,
        plant: str | None = None,
        days_ahead: int = 0,
    ) -> subprocess.CompletedProcess[str]:
        """Let the victim do something, to its end or to its death."""
        killing = [] if kill_at is None else ["--kill-at", kill_at.value, "--nth", str(nth)]
        planting = [] if plant is None else ["--plant", plant]
        clock = ["--days-ahead", str(days_ahead)]
        command = [sys.executable, str(VICTIM), str(self.home), str(self.out), action, *subjects]
        return subprocess.run(
            [*command, *killing, *planting, *clock],
            capture_output=True,
            text=True,
            timeout=2 * SECONDS_MAX,  # it gives up by itself before, and says why
            check=False,
        )

    def import_sample(self, **how: object) -> subprocess.CompletedProcess[str]:
        """Import the sample."""
        return self.run("import", str(self.sample), self.app_id, **how)  # type: ignore[arg-type]

    def task(self, task_id: str) -> ExportTask:
        """The task as it stands."""
        with open_service(settings_of(self.home, self.out), run_tasks=False) as runtime:
            return operations.get_export(runtime, task_id)

    def tree(self) -> Tree:
        """What lies in the folder of the exports, hidden files too."""
        return {
            str(path.relative_to(self.out)): path.read_bytes()
            for path in sorted(self.out.rglob("*"))
            if path.is_file()
        }

    def inodes(self) -> dict[str, int]:
        """Which file stands for each delivered part; writing it again would change that."""
        return {path.name: path.stat().st_ino for path in self.out.rglob("part-*")}


def new_scene(folder: Path) -> Scene:
    """An app and a sample file that is not imported yet."""
    home, out, sample = folder / "base", folder / "out", folder / "sample.ndjson"
    with open_service(settings_of(home, out), run_tasks=False) as runtime:
        app = operations.create_app(
            runtime, name="app", collection="apps", resource_group="group", subscription="own"
        ).app
        lines = operations.generate_sample(devices=14, days=3, seed=5)
        sample.write_bytes(b"".join(line + b"\n" for line in lines))
    return Scene(home=home, out=out, app_id=app.app_id, sample=sample)


def queue_export(
    scene: Scene,
    export_type: ExportType = ExportType.EVENT,
    *,
    export_format: ExportFormat = ExportFormat.JSON,
    container_url: str | None = None,
    time_range: TimeRange | None = SPAN,
) -> str:
    """A task that waits in the scene's home; nobody runs it yet."""
    with open_service(settings_of(scene.home, scene.out), run_tasks=False) as runtime:
        task = operations.create_export(
            runtime,
            ExportRequest(
                app_id=scene.app_id,
                export_type=export_type,
                export_format=export_format,
                container_url=container_url or f"file://{scene.out}",
                time_range=time_range,
            ),
        )
    return task.task_id


def rows_of(tree: Tree) -> list[str]:
    """Every record of NDJSON parts, sorted."""
    return sorted(
        json.dumps(json.loads(line), sort_keys=True)
        for name, data in tree.items()
        if "/part-" in name
        for line in data.splitlines()
    )


def visible(tree: Tree) -> Tree:
    """The objects without what a killed writer left aside, which no reader takes for one."""
    return {name: data for name, data in tree.items() if not Path(name).name.startswith(".")}


def exported_rows(scene: Scene) -> list[str]:
    """The events that an export delivers now."""
    task_id = queue_export(scene, export_format=ExportFormat.NDJSON)
    ended = scene.run("wait", task_id)
    assert ended.stdout.split() == ["Succeeded"], ended.stderr
    return rows_of({name: data for name, data in scene.tree().items() if task_id in name})


def was_killed(process: subprocess.CompletedProcess[str]) -> bool:
    """Whether the process died where it was told to."""
    return process.returncode == -signal.SIGKILL
