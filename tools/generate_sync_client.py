"""Generates the blocking client from the asynchronous one: `make generate`.

`client/asynchronous` is written by hand; `client/sync` is the same without `async` and `await`,
and with the names below in the place of others. A test compares what is committed with this.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import unasync

HEADER = "# Generated from ../asynchronous/{name} by `make generate`; edit that file instead.\n"
REPLACEMENTS = {
    "asynchronous": "sync",
    "asyncio": "time",
    "aclose": "close",
    "aiter_raw": "iter_raw",
    "run_in_thread": "run",
    "call_async_token_function": "call_token_function",
}
_ASYNC_CLASS = re.compile(r"\bAsync(?=[A-Z])\w+")
ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "src" / "engagement" / "client"


def generate(client: Path) -> None:
    """Write `sync` beside `asynchronous` in a folder; what else was in it is gone then."""
    sources = sorted((client / "asynchronous").glob("*.py"))
    names = {name for source in sources for name in _ASYNC_CLASS.findall(source.read_text())}
    rule = unasync.Rule(
        fromdir="/asynchronous/",
        todir="/sync/",
        additional_replacements=REPLACEMENTS
        | {name: name.removeprefix("Async") for name in sorted(names)},
    )
    shutil.rmtree(client / "sync", ignore_errors=True)
    unasync.unasync_files([str(source) for source in sources], [rule])
    for source in sources:
        generated = client / "sync" / source.name
        generated.write_text(HEADER.format(name=source.name) + generated.read_text())
    for command in (["check", "--select", "I", "--fix"], ["format"]):
        options = ["--quiet", "--config", "pyproject.toml", str(client / "sync")]
        subprocess.run([sys.executable, "-m", "ruff", *command, *options], cwd=ROOT, check=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if sys.argv[1:] else CLIENT)
