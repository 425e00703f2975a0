"""Tries that no test goes on for ever, and that each says what it waited for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.checkout import TESTS
from support.waiting import WAIT_SECONDS_MAX, wait_for

CONFTEST = """
import pytest
from support import time_limits

pytest_plugins = ["support.time_limits"]
time_limits.GRACE_SECONDS = seconds_of_grace
time_limits.SECONDS_EACH = {"kills": 1000.0}

def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=4)

@pytest.fixture
def kills(request):
    return request.config.getoption("--kills")
"""


def run(folder: Path, code: str, *words: str, grace: float = WAIT_SECONDS_MAX) -> tuple[int, str]:
    """The status of a run of tests that may take three seconds each, and what it says.

    Args:
        folder: Where the tests are written.
        code: The tests.
        words: More of the command.
        grace: Seconds until the whole process is ended that does not end when it is told to.
    """
    (folder / "conftest.py").write_text(CONFTEST.replace("seconds_of_grace", str(grace)))
    (folder / "test_it.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout", "3", *words]
    done = subprocess.run(
        [*command, "--rootdir", str(folder), "test_it.py"],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=WAIT_SECONDS_MAX,
    )
    return done.returncode, done.stdout


def test_a_test_without_an_end_says_what_it_waited_for_and_the_next_one_runs(
    tmp_path: Path,
) -> None:
    code = """
from support.waiting import wait_for, waiting_for

def test_endless():
    with waiting_for("the end of the world"):
        wait_for(lambda: False, "a sign")

def test_next():
    pass
"""
    _, output = run(tmp_path, code)

    assert "took over 3 s. It waited for: the end of the world > a sign." in output
    assert 'at test_it.py:6: wait_for(lambda: False, "a sign")' in output
    assert "1 failed, 1 passed" in output


def test_a_wait_without_a_name_is_named_by_its_place_in_each_thread(tmp_path: Path) -> None:
    code = """
import threading

def test_endless():
    ended = threading.Event()
    thread = threading.Thread(target=lambda: ended.wait(), name="helper", daemon=True)
    thread.start()
    thread.join()
"""
    _, output = run(tmp_path, code)

    assert "at test_it.py:8: thread.join()" in output
    assert "helper, at test_it.py:6: thread = " in output
    assert "1 failed" in output


def test_hypothesis_does_not_try_again_what_has_no_end(tmp_path: Path) -> None:
    code = """
import time
from hypothesis import given, settings, strategies as st

@settings(deadline=None)
@given(st.integers())
def test_endless(number):
    print("tried", number)
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass
"""
    _, output = run(tmp_path, code)

    assert "took over 3 s" in output
    assert output.count("tried 0") == 1
    assert "1 failed" in output


def test_what_does_not_end_when_it_is_told_to_is_ended_with_its_process(tmp_path: Path) -> None:
    code = """
import time

def test_stubborn():
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            pass
"""
    status, output = run(tmp_path, code, grace=1)

    assert status != 0
    assert "Timeout (0:00:04)!" in output
    assert "in test_stubborn" in output


def test_what_comes_after_a_failure_has_an_end_too(tmp_path: Path) -> None:
    code = """
import pytest, threading

@pytest.fixture
def stubborn():
    yield
    threading.Event().wait()

def test_failing(stubborn):
    assert False
"""
    _, output = run(tmp_path, code)

    assert "took over 3 s. It waited for: something without a name." in output
    assert "at test_it.py:7: threading.Event().wait()" in output
    assert "1 error in" in output


def test_a_test_may_take_longer_if_an_option_asks_for_more(tmp_path: Path) -> None:
    code = """
import time

def test_patient(kills):
    time.sleep(3.5)

def test_impatient():
    time.sleep(3_600)
"""
    _, output = run(tmp_path, code)

    assert "FAILED test_it.py::test_impatient" in output
    assert "1 failed, 1 passed" in output


def test_every_test_of_the_project_has_a_time_limit(request: pytest.FixtureRequest) -> None:
    assert float(request.config.getini("timeout")) >= WAIT_SECONDS_MAX


def test_a_wait_that_is_given_up_says_what_for_and_what_was_seen() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"0 s for a sign; the last look saw \[\]"):
        wait_for(list, "a sign", seconds_max=0)


def test_a_wait_returns_what_was_found() -> None:
    looks = iter([None, 0, "found", "too late"])

    assert wait_for(lambda: next(looks), "a sign") == "found"
