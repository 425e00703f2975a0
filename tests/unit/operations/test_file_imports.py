"""Tests that files of batches are imported once, and that what is refused is named by its line."""

import json
from collections.abc import Iterator

import pytest

from engagement.exceptions import UnknownAppError
from engagement.model.records import new_guid
from engagement.operations import file_imports
from engagement.operations.apps import create_app
from engagement.operations.file_imports import ImportRefusal, generate_sample, import_batches
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from support.batches import NOW, batch, log


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    settings = Settings(home=tmp_path_factory.mktemp("imports") / "home")
    with open_service(settings, clock=lambda: NOW) as runtime:
        yield runtime


@pytest.fixture
def app_id(runtime: Runtime) -> str:
    place = {"collection": "c", "resource_group": "g", "subscription": "s"}
    return create_app(runtime, name=new_guid(), **place).app.app_id


def test_an_import_may_be_repeated(runtime: Runtime, app_id: str) -> None:
    lines = list(generate_sample(devices=3, days=1, seed=1))

    first = import_batches(runtime, app_id=app_id, lines=lines)
    second = import_batches(runtime, app_id=app_id, lines=lines)

    records = sum(len(json.loads(line)["logs"]) for line in lines)
    assert (first.batches, first.duplicates, first.accepted) == (len(lines), 0, records)
    assert (second.batches, second.duplicates, second.accepted) == (0, len(lines), 0)
    assert first.bytes == sum(map(len, lines))
    assert runtime.inbox.depth() == 0


def test_what_is_refused_is_named_by_its_line_and_place(runtime: Runtime, app_id: str) -> None:
    lines = [batch(log("event"), log("event", name="")), b"{", batch(log("event"))]
    refusals: list[ImportRefusal] = []

    summary = import_batches(runtime, app_id=app_id, lines=lines, on_refused=refusals.append)

    assert [(refusal.line, refusal.index) for refusal in refusals] == [(1, 1), (2, None)]
    assert summary.accepted == 2
    assert summary.refused == {refusal.code: 1 for refusal in refusals}


def test_progress_is_told_after_each_transaction(
    runtime: Runtime, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_imports, "IMPORT_BATCHES_PER_TRANSACTION", 2)
    progress: list[int] = []

    import_batches(
        runtime,
        app_id=app_id,
        lines=[batch(log("event")) for _ in range(5)],
        on_progress=lambda summary: progress.append(summary.batches),
    )

    assert progress == [2, 4, 5]


def test_an_unknown_app_takes_nothing(runtime: Runtime) -> None:
    def lines() -> Iterator[bytes]:
        raise AssertionError("nothing may be read")
        yield b""

    with pytest.raises(UnknownAppError):
        import_batches(runtime, app_id="f" * 32, lines=lines())
