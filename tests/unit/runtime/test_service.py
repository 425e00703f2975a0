"""Tests what an opened service says of itself, where it is one process."""

from pathlib import Path

import pytest

from engagement.exceptions import ErrorCode, InvalidContainerError
from engagement.runtime.opening import open_service
from engagement.settings import Settings


def test_an_embedded_service_shares_its_limits_with_nobody(tmp_path: Path) -> None:
    with open_service(Settings(home=tmp_path), run_tasks=False) as runtime:
        assert runtime.collectors == 1
        assert runtime.member is None
        assert runtime.act_for("somebody").actor == "somebody"


def test_a_local_file_is_imported_from_the_folder_of_its_app_alone(tmp_path: Path) -> None:
    with open_service(Settings(home=tmp_path), run_tasks=False) as runtime:
        own = tmp_path / "imports" / "app"
        own.mkdir(parents=True)

        _, key = runtime.parse_import_url("app", f"file://{own}/tags.json")
        with pytest.raises(InvalidContainerError) as raised:
            runtime.parse_import_url("other", f"file://{own}/tags.json")

    assert key == "tags.json"
    assert raised.value.code is ErrorCode.EGRESS_DENIED
