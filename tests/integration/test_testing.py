"""Uses what is shipped for users' own tests as they would."""

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from engagement.collect.payload import decode_batch
from engagement.exceptions import DestinationError
from engagement.testing import (
    NOON,
    MemoryContainer,
    StoppedClock,
    make_batch,
    open_test_runtime,
    sample_batches,
)
from support.checkout import ROOT
from support.waiting import WAIT_SECONDS_MAX

PAGE = ROOT / "docs" / "howto" / "test-against-a-service.md"


def test_the_test_of_the_page_passes(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "test_page.py").write_text(program, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_clock_stands_still_until_it_is_moved(tmp_path: Path) -> None:
    clock = StoppedClock()

    with open_test_runtime(tmp_path, clock=clock) as runtime:
        assert runtime.clock() == runtime.clock() == NOON
        clock.advance(timedelta(hours=1))
        assert runtime.clock() == NOON + timedelta(hours=1)


def test_a_setting_may_be_given(tmp_path: Path) -> None:
    with open_test_runtime(tmp_path, part_rows_target=7) as runtime:
        assert runtime.settings.part_rows_target == 7
        assert runtime.settings.home == tmp_path


def test_containers_in_memory_are_apart(tmp_path: Path) -> None:
    first, second = MemoryContainer(), MemoryContainer()

    with open_test_runtime(tmp_path) as runtime:
        runtime.destination(f"{first.url}/folder").put("key", [b"a", b"b"])

    assert first.list_keys() == ["folder/key"]
    assert first.list_keys("other") == second.list_keys() == []
    assert first.read("folder/key") == b"ab"
    with pytest.raises(DestinationError):
        second.read("folder/key")


def test_a_batch_is_one_that_a_device_may_send() -> None:
    record = {"type": "event", "name": "tap", "timestamp": "2026-03-01T11:00:00Z"}

    first, other = make_batch(record, userId="ada"), make_batch(record, sent_at=NOON)

    batch = decode_batch(first, received_at=NOON, live=True)
    assert batch.refused == ()
    assert json.loads(first)["userId"] == "ada"
    assert json.loads(first)["batchId"] != json.loads(other)["batchId"]


def test_a_sample_is_the_same_for_a_seed() -> None:
    first, again, other = (list(sample_batches(devices=3, days=2, seed=seed)) for seed in (1, 1, 2))

    assert first == again != other
    for body in first:
        assert decode_batch(body, received_at=NOON, live=False).refused == ()
