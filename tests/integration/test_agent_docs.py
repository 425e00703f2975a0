"""Runs the program of the page on reporting from Python, as a reader would."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from support.checkout import ROOT
from support.device_server import APP_KEY, device_server
from support.waiting import WAIT_SECONDS_MAX

PAGE = ROOT / "docs" / "howto" / "report-from-python.md"


def test_the_program_of_the_page_reports_what_it_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    program, losses = (textwrap.dedent(block) for block in blocks)

    with device_server() as server:
        done = subprocess.run(
            [sys.executable, "-c", program + textwrap.indent(losses, "    ")],
            env={"HOME": str(tmp_path), "SHOP_SERVER": server.address, "SHOP_APP_KEY": APP_KEY},
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert sorted(server.names) == [
        "address_given", "basket", "card_refused", "checkout", "home", "search",
    ]  # fmt: skip
    assert [log["tags"]["plan"] for log in server.logs if log["type"] == "tags"] == ["pro"]
    assert {log["head"]["userId"] for log in server.logs} == {"ada@example.org"}
    assert {log["head"]["info"]["applicationVersionName"] for log in server.logs} == {"2.4.0"}
