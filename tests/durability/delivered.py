"""What exports have delivered, to be compared with what others did."""

from pathlib import Path

from killing import run_victim
from scene import SPAN, Scene, queue_export, rows_of

from engagement.model.exports import ExportFormat, ExportType
from support.servers import AzureContainer, S3Container

COMPARED = (ExportType.ACTIVITY, ExportType.EVENT, ExportType.JOB, ExportType.SESSION)
SNAPSHOTS = (ExportType.DEVICE, ExportType.TAG, ExportType.TOKEN)


def exported(scene: Scene) -> dict[ExportType, list[str]]:
    """What exports of history and of snapshots deliver, in whatever parts."""
    types = (*COMPARED, *SNAPSHOTS)
    tasks = {
        export_type: queue_export(
            scene,
            export_type,
            export_format=ExportFormat.NDJSON,
            time_range=SPAN if export_type in COMPARED else None,
        )
        for export_type in types
    }
    run_victim(scene, "wait", *tasks.values())
    tree = scene.tree()
    return {
        export_type: rows_of({name: data for name, data in tree.items() if task_id in name})
        for export_type, task_id in tasks.items()
    }


def objects(container: AzureContainer | S3Container) -> dict[str, bytes]:
    """Every object of a container."""
    return {name: container.admin.read(name) for name in container.admin.list()}


def parts(delivered: dict[str, bytes]) -> dict[str, bytes]:
    """The parts by their own names, since every task has a folder of its own."""
    return {Path(name).name: data for name, data in delivered.items() if "/part-" in name}
