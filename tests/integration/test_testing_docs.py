"""Runs the test of the page on testing against a service, as a reader would."""

import re
import subprocess
import sys
from pathlib import Path

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
