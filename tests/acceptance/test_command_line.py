"""Runs the real command line as scripts do: processes, files, exit statuses."""

import gzip
import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard

from support.command_line import Shell
from support.waiting import WAIT_SECONDS_MAX, wait_for

DAYS = ("--from", "2026-01-01", "--to", "2026-01-02")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A shell with an app whose sample was imported."""

    shell: Shell
    """The shell."""
    app_id: str
    """The app."""
    sample: bytes
    """The batches."""
    summary: dict[str, Any]
    """What the import printed."""

    def export(self, export_type: str, *words: str) -> Any:
        """A task that was created, as JSON."""
        return self.shell.json(*self.create(export_type, *words))

    def create(self, export_type: str, *words: str) -> list[str]:
        """The words that create an export into the folder."""
        where = ["--app", self.app_id, "--container", str(self.shell.container)]
        return ["export", "create", export_type, *where, *words]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    shell = Shell(folder=tmp_path_factory.mktemp("shell"))
    shell.container.mkdir()
    sample = shell.run("sample", "--devices", "12", "--days", "2", "--seed", "3").stdout
    app_id = _new_app(shell, "shop")["appId"]
    summary = shell.json("import", "-", "--app", app_id, given=sample)
    return Imported(shell=shell, app_id=app_id, sample=sample, summary=summary)


def _new_app(shell: Shell, name: str) -> Any:
    place = ("--collection", "mobile", "--resource-group", "group", "--subscription", "sub")
    return shell.json("apps", "create", name, *place)


def test_apps_create_prints_what_scripts_need(imported: Imported) -> None:
    made = _new_app(imported.shell, "second")

    assert set(made) >= {"appId", "appKey", "resourcePath"}
    assert made["resourcePath"].endswith("/appcollections/mobile/apps/second")
    listed = imported.shell.json("apps", "list")
    assert {"shop", "second"} <= {entry["name"] for entry in listed}
    assert not any("appKey" in entry for entry in listed)


def test_sample_is_the_same_for_a_seed(imported: Imported) -> None:
    again = imported.shell.run("sample", "--devices", "12", "--days", "2", "--seed", "3").stdout

    assert again == imported.sample
    assert imported.shell.run("sample", "--devices", "12", "--seed", "4").stdout != again


def test_import_counts_what_it_accepted(imported: Imported) -> None:
    lines = imported.sample.splitlines()

    assert imported.summary["batches"] == len(lines)
    assert imported.summary["refused"] == {}
    assert imported.summary["refusedFile"] is None
    assert imported.summary["accepted"] >= sum(len(json.loads(line)["logs"]) for line in lines)


def test_import_takes_compressed_files_and_knows_batches_it_has(imported: Imported) -> None:
    shell = imported.shell
    (shell.folder / "a.gz").write_bytes(gzip.compress(imported.sample))
    (shell.folder / "a.zst").write_bytes(zstandard.compress(imported.sample))

    summary = shell.json("import", "a.gz", "a.zst", "--app", imported.app_id)

    assert summary["batches"] == summary["accepted"] == 0
    assert summary["duplicates"] == 2 * len(imported.sample.splitlines())


def test_import_writes_refused_records_with_their_reason(imported: Imported) -> None:
    shell = imported.shell
    app_id = shell.new_app("refusing")
    batch = json.loads(imported.sample.splitlines()[0])
    batch["logs"].append({"type": "event", "timestamp": batch["sentAt"], "name": ""})
    lines = f"not a batch\n{json.dumps(batch)}\n".encode()

    words = ("import", "-", "--app", app_id, "--refused", "refused.ndjson")
    summary = shell.json(*words, given=lines)

    refused = (shell.folder / "refused.ndjson").read_text(encoding="utf-8").splitlines()
    first, second = (json.loads(refusal) for refusal in refused)
    assert summary["batches"] == 1
    assert sum(summary["refused"].values()) == 2
    assert (first["line"], first["index"], first["record"]) == (1, None, "not a batch")
    assert (second["line"], second["record"]) == (2, batch["logs"][-1])
    assert first["code"]
    assert second["message"]


def test_import_of_a_corrupt_file_is_bad_input(imported: Imported) -> None:
    shell = imported.shell
    (shell.folder / "torn.gz").write_bytes(gzip.compress(imported.sample)[:100])
    (shell.folder / "noise").write_bytes(b"\xff\xfe\n")

    for name in ("torn.gz", "noise", "absent"):
        code, message = shell.error("import", name, "--app", imported.app_id, status=2)
        assert code == ("BadInput" if name == "absent" else "CorruptInput")
        assert message


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("Activity", *DAYS), "part-00000.json"),
        (("session", *DAYS, "--format", "ndjson", "--compression", "gzip"), "part-00000.ndjson.gz"),
        (("Device", "--format", "CsvBlob", "--compression", "zstd"), "part-00000.csv.zst"),
        (("Token", "--format", "ParquetBlob"), "part-00000.parquet"),
        (
            ("Push", "--campaign-type", "Announcement", "--campaign", "1", "--campaign", "2"),
            "part-00000.json",
        ),
    ],
)
def test_export_delivers_named_files_that_verify(
    imported: Imported, words: tuple[str, ...], name: str
) -> None:
    task = imported.export(*words)

    folder = imported.shell.container / task["folder"]
    proof = imported.shell.json("verify", str(folder))
    assert task["state"] == "Succeeded"
    assert task["folder"].split("/") == [task["exportType"], task["taskId"]]
    assert {path.name for path in folder.iterdir()} == {name, "manifest.json"}
    assert proof["rows"] == task["progress"]["rowsDone"] > 0
    assert proof["comparedWithLake"]


def test_export_tells_what_it_did_to_people_too(imported: Imported) -> None:
    done = imported.shell.run(*imported.create("Event", *DAYS))

    assert b"Succeeded" in done.stdout
    task_id = imported.shell.json("export", "list", "--limit", "1")[0]["taskId"]
    assert task_id.encode() in done.stdout
    assert task_id.encode() in imported.shell.run("export", "list").stdout
    assert task_id.encode() in imported.shell.run("export", "show", task_id).stdout


def test_days_include_the_last_and_instants_exclude_the_end(imported: Imported) -> None:
    first = imported.export("Event", "--from", "2026-01-01", "--to", "2026-01-01")
    both = imported.export("Event", *DAYS)
    instants = imported.export(
        "Event", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T01:00:00+01:00"
    )

    rows = [item["progress"]["rowsDone"] for item in (first, both, instants)]
    assert 0 < rows[0] < rows[1]
    assert rows[2] == rows[0]


def test_container_url_can_stay_out_of_the_arguments(imported: Imported) -> None:
    shell = imported.shell
    url = shell.container.as_uri().encode()
    (shell.folder / "container").write_bytes(url + b"\n")
    words = ("export", "create", "Tag", "--app", imported.app_id)

    by_stdin = shell.json(*words, "--container", "-", given=url + b"\n")
    by_file = shell.json(*words, "--container-file", "container")

    assert by_stdin["state"] == by_file["state"] == "Succeeded"


def test_a_task_can_wait_be_cancelled_and_be_retried(imported: Imported) -> None:
    shell = imported.shell
    queued = imported.export("Job", *DAYS, "--no-wait")
    task_id = queued["taskId"]

    cancelled = shell.json("export", "cancel", task_id)
    waited = shell.run("export", "wait", task_id, "--json", status=1)
    twice = shell.error("export", "cancel", task_id, status=2)
    retried = shell.json("export", "retry", task_id, "--container", str(shell.container))
    again = shell.error("export", "retry", task_id, "--container", "out", status=2)

    assert queued["state"] == "Queued"
    assert cancelled["state"] == "Cancelled"
    assert json.loads(waited.stderr)["error"]["code"] == "Cancelled"
    assert twice[0] == again[0] == "IllegalState"
    assert (retried["state"], retried["attempt"]) == ("Succeeded", 2)


def test_a_busy_home_is_told_apart_and_can_be_asked(imported: Imported) -> None:
    shell = imported.shell

    with shell.busy():
        refused = shell.error("import", "-", "--app", imported.app_id, status=3)
        queued = imported.export("Crash", *DAYS, "--no-wait")
        over = shell.json("export", "wait", queued["taskId"], "--timeout", "0", status=4)
    done = shell.json("export", "wait", queued["taskId"])

    assert refused[0] == "HomeBusy"
    assert over["state"] == "Queued"
    assert done["state"] == "Succeeded"


def test_an_export_is_created_and_run_while_another_command_holds_the_home(
    imported: Imported,
) -> None:
    shell = imported.shell

    with shell.busy():
        running = shell.start(*imported.create("Crash", *DAYS))
        wait_for(lambda: b"Queued" in shell.run("export", "list").stdout, "a queued task")
    output, errors = running.communicate(timeout=WAIT_SECONDS_MAX)

    assert running.returncode == 0, errors.decode()
    assert b"Succeeded" in output


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_export_goes_on(imported: Imported, by: signal.Signals) -> None:
    small = Shell(folder=imported.shell.folder, settings=(("ENGAGEMENT_PART_ROWS", "20"),))
    before = set(small.container.glob("Event/*"))
    running = small.start(*imported.create("Event", *DAYS))

    def begun() -> set[Path]:
        assert running.poll() is None
        return set(small.container.glob("Event/*")) - before

    (folder,) = wait_for(begun, "the first part of an export")

    running.send_signal(by)
    _, errors = running.communicate(timeout=WAIT_SECONDS_MAX)
    interrupted = small.json("export", "show", folder.name)
    done = small.json("export", "wait", folder.name)

    assert running.returncode == 130, errors
    assert f"engagement export wait {folder.name}".encode() in errors
    assert b"Traceback" not in errors
    assert interrupted["state"] == "Started"
    assert done["state"] == "Succeeded"
    assert small.json("verify", str(folder))["rows"] == done["progress"]["rowsTotal"]


def test_verify_finds_a_letter_that_changed(imported: Imported) -> None:
    task = imported.export("Error", *DAYS)
    folder = imported.shell.container / task["folder"]
    part = folder / "part-00000.json"
    part.write_bytes(part.read_bytes().replace(b"e", b"f", 1))

    code, message = imported.shell.error("verify", str(folder), status=1)

    assert code == "VerificationFailed"
    assert "part-00000.json" in message


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("Foo",), "InvalidExport"),
        (("Event", "--format", "XmlBlob", *DAYS), "InvalidExport"),
        (("Event", "--compression", "lzma", *DAYS), "InvalidExport"),
        (("Event",), "InvalidExport"),
        (("Event", "--from", "2026-01-02", "--to", "2026-01-01"), "InvalidExport"),
        (("Event", "--from", "2026-02-30", "--to", "2026-03-01"), "InvalidExport"),
        (("Event", "--from", "2026-01-01T00:00", "--to", "2026-01-02"), "InvalidExport"),
        (("Event", "--from", "2026-01-01"), "InvalidExport"),
        (("Device", *DAYS), "InvalidExport"),
        (("Push", "--campaign-type", "Announcement"), "InvalidExport"),
        (("Device", "--as-of", "2026-01-01"), "InvalidExport"),
        (("Event", *DAYS, "--bogus"), "BadInput"),
        (("Push", "--campaign-type", "Poll", "--campaign", "one"), "BadInput"),
    ],
)
def test_an_impossible_export_is_refused_and_leaves_nothing(
    imported: Imported, words: tuple[str, ...], code: str
) -> None:
    found, message = imported.shell.error(*imported.create(*words), status=2)

    assert found == code
    assert message


def test_unknown_things_and_bad_containers_are_bad_input(imported: Imported) -> None:
    shell = imported.shell
    tasks = shell.json("export", "list", "--limit", "1000")
    event = ("export", "create", "Event", *DAYS)
    expired = "https://acc.blob.core.windows.net/mine?sv=2024-11-04&sr=c&sp=cw&se=2020-01-01"
    expired += "&sig=" + "A" * 43 + "%3D"

    codes = [
        shell.error(*event, "--app", "0" * 32, "--container", "out", status=2)[0],
        shell.error(*event, "--app", imported.app_id, "--container", "elsewhere", status=2)[0],
        shell.error(*event, "--app", imported.app_id, "--container", expired, status=2)[0],
        shell.error(*event, "--app", imported.app_id, status=2)[0],
        shell.error("export", "show", "0" * 32, status=2)[0],
        shell.error("verify", "out/Event", status=2)[0],
        shell.error("upkeep", "compact", "--app", "0" * 32, status=2)[0],
    ]

    assert codes[:1] + codes[2:] == [
        "UnknownApp", "SasExpired", "BadInput", "UnknownTask", "ContainerNotFound", "UnknownApp",
    ]  # fmt: skip
    assert shell.json("export", "list", "--limit", "1000") == tasks


def test_an_error_is_one_line_for_people(imported: Imported) -> None:
    done = imported.shell.run("export", "show", "0" * 32, status=2)

    assert done.stdout == b""
    assert done.stderr.startswith(b"error [UnknownTask]: ")
    assert done.stderr.count(b"\n") == 1


def test_upkeep_reports_counts(imported: Imported) -> None:
    shell = imported.shell
    app_id = shell.new_app("kept")
    shell.take(app_id, imported.sample)
    device = json.loads(imported.sample.splitlines()[0])["deviceId"]

    erased = shell.json("upkeep", "erase", device, "--app", app_id)
    for name in ("compact", "fold", "vacuum"):
        assert shell.json("upkeep", name, "--app", app_id)["operation"] == name
    retained = shell.json("upkeep", "retain", "--days", "1", "--app", app_id)
    imported_again = shell.json("export", "list", "--app", app_id)

    assert erased["rowsAfter"] < erased["rowsBefore"]
    assert retained["tables"] > 0
    assert imported_again == []


def test_output_that_nobody_reads_ends_quietly(imported: Imported) -> None:
    running = imported.shell.start("sample", "--devices", "500", "--days", "30")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()

    errors = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=WAIT_SECONDS_MAX) == 141
    assert errors == b""


def test_the_release_is_printed(imported: Imported) -> None:
    assert re.fullmatch(
        rb"engagement-export \d+\.\d+\.\d+\n", imported.shell.run("--version").stdout
    )


def test_a_misspelt_setting_is_refused_by_every_command(tmp_path: Path) -> None:
    shell = Shell(folder=tmp_path, settings=(("ENGAGEMENT_FLUSH_SECOND", "s3cret"),))

    for words in (("apps", "list"), ("serve", "--port", "0"), ("export", "list")):
        done = shell.run(*words, "--json", status=2)
        error = json.loads(done.stderr)["error"]
        assert error["code"] == "BadInput"
        assert "did you mean ENGAGEMENT_FLUSH_SECONDS?" in error["message"]
        assert "s3cret" not in error["message"]


def test_a_damaged_file_is_restored_from_an_export(imported: Imported) -> None:
    shell = imported.shell
    app_id = shell.new_app("damaged")
    shell.take(app_id, imported.sample)
    options = (*DAYS, "--format", "ndjson", "--include-user-id", "--with-device-timestamp")
    where = ("--app", app_id, "--container", str(shell.container))
    task = shell.json("export", "create", "Event", *where, *options)
    folder = str(shell.container / task["folder"])
    file = next((shell.folder / "home" / "lake" / app_id / "event").glob("date=2026-01-01/*"))
    file.write_bytes(b"PAR1PAR1")

    repair = ("upkeep", "repair", "--app", app_id, "--kind", "event")
    refused = shell.error(*repair, "--from-export", str(shell.container), status=2)[0]
    both = shell.error(*repair, "--from-export", folder, "--give-up", file.name, status=2)[0]
    restored = shell.json(*repair, "--from-export", folder)["restored"]

    assert (refused, both) == ("ContainerNotFound", "BadInput")
    (day,) = restored["days"]
    assert (day["day"], day["rowsLost"], restored["lacking"]) == ("2026-01-01", 0, [])
    again = shell.json("export", "create", "Event", *where, *options)
    part = "part-00000.ndjson"
    first, second = ((shell.container / each["folder"] / part) for each in (task, again))
    assert first.read_bytes() == second.read_bytes()
