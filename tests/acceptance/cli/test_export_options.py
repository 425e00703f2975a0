"""Types the options of an export and words that name nothing, as a person would."""

import pytest

from support.command_line import Shell

PLACE = ("--collection", "mobile", "--resource-group", "group", "--subscription", "sub")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    made = Shell(folder=tmp_path_factory.mktemp("shell"))
    made.container.mkdir()
    return made


@pytest.fixture(scope="module")
def app_id(shell: Shell) -> str:
    return shell.new_app()


def test_a_task_says_what_was_asked_of_it(shell: Shell, app_id: str) -> None:
    words = (
        *("Event", "--app", app_id, "--container", str(shell.container), "--no-wait"),
        *("--from", "2026-01-01", "--to", "2026-01-02T12:00:00+01:00", "--time-axis", "received"),
        *("--event-name", "a", "--event-name", "b", "--column", "name", "--format", "csvblob"),
        *("--no-record-id", "--with-info", "--with-device-timestamp", "--no-empty-file"),
        *("--include-user-id", "--formula-guard", "--description", "mine"),
    )

    created = shell.json("export", "create", *words)
    shown = shell.run("export", "show", created["taskId"]).stdout.decode()

    wanted = {
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-02T11:00:00Z",
        "timeAxis": "received",
        "eventNames": ["a", "b"],
        "columns": ["name"],
        "exportFormat": "CsvBlob",
        "description": "mine",
        "exportOptions": {
            "exportUserId": True,
            "includeRecordId": False,
            "includeInfo": True,
            "includeDeviceTimestamp": True,
            "csvFormulaGuard": True,
            "excel": False,
            "emptyFile": False,
        },
    }
    assert created | wanted == created
    assert shell.json("export", "show", created["taskId"]) == created
    assert created in shell.json("export", "list", "--app", app_id)
    for text in ("2026-01-02T11:00:00Z", "received", "a, b", "includeInfo", "mine"):
        assert text in shown


def test_a_push_as_it_was_known_says_its_campaigns(shell: Shell, app_id: str) -> None:
    where = ("Push", "--app", app_id, "--container", str(shell.container), "--no-wait")
    push = ("--campaign-type", "poll", "--as-of", "2026-01-15T00:00:00Z")
    window = ("--window-start", "2026-01-01", "--window-end", "2026-01-31")

    by_id = shell.json("export", "create", *where, *push, "--campaign", "3")
    by_window = shell.json("export", "create", *where, *push, *window)

    assert (by_id["campaignIds"], by_id["campaignType"]) == ([3], "Poll")
    assert by_id["asOf"] == by_window["asOf"] == "2026-01-15T00:00:00Z"
    assert by_window["campaignWindowEnd"] == "2026-02-01T00:00:00Z"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("clients", "create", "robot", "--role", "king"), "UnknownRole"),
        (("refused", "list", "--protocol", "morse"), "UnknownProtocol"),
        (("refused", "count", "--protocol", "morse"), "UnknownProtocol"),
        (("refused", "show", "77"), "UnknownRefusedRecord"),
    ],
)
def test_what_is_not_known_is_named_by_its_own_code(
    shell: Shell, words: tuple[str, ...], code: str
) -> None:
    assert shell.error(*words, status=2)[0] == code


HALF = b"a\xed\xa0\x80".decode(errors="surrogateescape")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("apps", "create", HALF, *PLACE), "BadInput"),
        (("clients", "create", HALF), "BadInput"),
        (("clients", "revoke", HALF), "BadInput"),
        (("export", "show", HALF), "BadInput"),
        (("export", "list", "--app", HALF), "BadInput"),
        (("export", "create", "Tag", "--app", HALF, "--container", "out"), "InvalidExport"),
        (
            ("export", "create", "Tag", "--app", "x", "--container", "out", "--description", HALF),
            "InvalidExport",
        ),
        (("upkeep", "compact", "--app", HALF), "BadInput"),
    ],
)
def test_half_a_character_is_refused(
    shell: Shell, app_id: str, words: tuple[str, ...], code: str
) -> None:
    assert shell.error(*words, status=2)[0] == code


def test_an_empty_option_list_is_all(shell: Shell, app_id: str) -> None:
    """Nothing that was not typed is asked."""
    created = shell.json(
        *("export", "create", "Tag", "--app", app_id),
        *("--container", str(shell.container), "--no-wait"),
    )

    assert not {"columns", "eventNames", "asOf", "campaignIds", "startTime"} & set(created)
    assert created["exportOptions"]["includeRecordId"] is False
    assert created["exportOptions"]["emptyFile"] is True
