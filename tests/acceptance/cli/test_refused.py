"""Runs the commands about refused records as scripts do."""

import json
from dataclasses import dataclass

import pytest

from engagement.collect.payload import decode_batch
from engagement.collect.refused import make_refused_records, make_unreadable_record
from engagement.exceptions import CorruptInputError
from engagement.model.records import new_guid
from engagement.model.refused import RefusedFilter, RefusedRecord, SenderProtocol
from engagement.operations import create_app, list_refused
from engagement.runtime.opening import open_service
from engagement.settings import Settings
from support.batches import NOW, batch, log
from support.command_line import Shell

BATCH = batch(log("event", name=""), log("event"), log("event", extras=[]), log("event", name=""))
NO_BATCH = b"no\xffbatch\n"
ACCEPTABLE = batch(log("event"))
"""A batch that was not acceptable to an older release, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusing:
    """A shell with an app whose devices sent what was not accepted."""

    shell: Shell
    """The shell."""
    app_id: str
    """The app."""

    def listed(self, *words: str) -> list[dict[str, str]]:
        """The app's refused records, as JSON."""
        found: list[dict[str, str]] = self.shell.json("refused", "list", *self.of_app, *words)
        return found

    def ids(self) -> list[str]:
        """The ids of the app's refused records, newest first."""
        with open_service(self.settings, run_tasks=False) as runtime:
            found = list_refused(runtime, RefusedFilter(app_id=self.app_id), limit=9)
        return [str(record.refused_id) for record in found]

    @property
    def settings(self) -> Settings:
        """Of the shell's home folder."""
        return Settings(home=self.shell.folder / "home")

    @property
    def of_app(self) -> tuple[str, str]:
        """The words that choose its records."""
        return "--app", self.app_id


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(folder=tmp_path_factory.mktemp("shell"))


@pytest.fixture
def refusing(shell: Shell) -> Refusing:
    place = {"collection": "mobile", "resource_group": "group", "subscription": "sub"}
    with open_service(Settings(home=shell.folder / "home"), run_tasks=False) as runtime:
        app_id = create_app(runtime, name=new_guid(), **place).app.app_id
        runtime.refused.add([_whole(app_id, NO_BATCH), *_logs(app_id), _whole(app_id, ACCEPTABLE)])
    return Refusing(shell=shell, app_id=app_id)


def _logs(app_id: str) -> list[RefusedRecord]:
    decoded = decode_batch(BATCH, received_at=NOW, live=True)
    return make_refused_records(BATCH, decoded, app_id=app_id, received_at=NOW)


def _whole(app_id: str, body: bytes) -> RefusedRecord:
    error = CorruptInputError("It is no batch.")
    return make_unreadable_record(
        body, error, app_id=app_id, protocol=SenderProtocol.NATIVE, received_at=NOW
    )


def test_list_shows_the_newest_first_for_people_and_scripts(refusing: Refusing) -> None:
    listed = refusing.listed()

    codes = ["CorruptInput", "bad_name", "bad_extras", "bad_name", "CorruptInput"]
    assert [entry["code"] for entry in listed] == codes
    assert listed[1].keys() == {
        "refusedId", "appId", "protocol", "receivedAt", "batchId", "code", "message",
    }  # fmt: skip
    assert (listed[1]["receivedAt"], listed[1]["protocol"]) == (
        "2026-03-01T12:00:00.000Z",
        "native",
    )
    before = str(listed[1]["refusedId"])
    assert refusing.listed("--before", before, "--limit", "2") == listed[2:4]
    assert refusing.listed("--code", "bad_name", "--protocol", "native") == [listed[1], listed[3]]
    assert b"bad_extras" in refusing.shell.run("refused", "list", *refusing.of_app).stdout


def test_count_shows_the_most_first(refusing: Refusing) -> None:
    counts = refusing.shell.json("refused", "count", *refusing.of_app)

    numbers = [(count["code"], count["records"]) for count in counts]
    assert numbers == [("CorruptInput", 2), ("bad_name", 2), ("bad_extras", 1)]
    assert counts[0]["bytes"] == len(NO_BATCH) + len(ACCEPTABLE)
    assert b"bad_name" in refusing.shell.run("refused", "count", *refusing.of_app).stdout


def test_show_prints_a_body_that_can_be_mended_and_imported(refusing: Refusing) -> None:
    shell = refusing.shell
    newest, oldest = refusing.ids()[1], refusing.ids()[-1]

    shown = shell.run("refused", "show", newest)
    mended = shown.stdout.replace(b'"name": ""', b'"name": "tap"')
    summary = shell.json("import", "-", *refusing.of_app, given=mended)

    assert b"bad_name" in shown.stderr
    assert mended != shown.stdout
    assert (summary["accepted"], summary["refused"]) == (1, {})
    assert shell.run("refused", "show", oldest).stdout == NO_BATCH
    described = shell.json("refused", "show", newest)
    assert json.loads(described["body"])["batchId"] == described["batchId"]
    assert shell.json("refused", "show", oldest)["body"] == "no\\xffbatch\n"


def test_replay_tells_what_was_accepted_and_what_was_not(refusing: Refusing) -> None:
    """Also beside a process that owns the home folder, as a server does."""
    shell = refusing.shell
    good, _, bad, *_ = refusing.ids()

    with shell.busy():
        replayed = shell.json("refused", "replay", bad)
        every = shell.json("refused", "replay", *refusing.of_app)
    output = shell.run("refused", "replay", *refusing.of_app, "--code", "bad_name").stdout

    assert replayed == {"tried": 1, "replayed": 0, "refused": {"bad_extras": 1}}
    assert every == {
        "tried": 5,
        "replayed": 1,
        "refused": {"CorruptInput": 1, "bad_name": 2, "bad_extras": 1},
    }
    assert good not in refusing.ids()
    assert b"0 of 2" in output


def test_drop_is_for_good_and_wants_to_be_sure(refusing: Refusing) -> None:
    shell = refusing.shell
    before = refusing.ids()
    words = ("refused", "drop", *refusing.of_app)

    code, message = shell.error(*words, status=2)
    assert (code, refusing.ids()) == ("BadInput", before)
    assert "5 refused records" in message
    assert shell.json(*words, "--code", "bad_name", "--yes") == {"dropped": 2}
    assert shell.json(*words, before[0], "--yes") == {"dropped": 1}
    assert b"2" in shell.run(*words, "--yes").stdout
    assert refusing.ids() == []
