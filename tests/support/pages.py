"""Pastes the code blocks of a page into one shell, as a newcomer would."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from support.checkout import ROOT
from support.waiting import WAIT_SECONDS_MAX

SHOWN = {"json", "toml", "text", "nginx", "caddy"}
"""What is no program: it is read, not run."""
NODE_PACKAGES = ROOT / "tests" / "sdk" / "node_modules"
_NOT_RUN = re.compile(r'not-run="([^"]+)"')
_PREAMBLE = """\
set -e -o pipefail
trap 'kill $(jobs -p) 2>/dev/null && wait' EXIT
engagement() {  # a server in the background takes a free port, and is the job itself
    if [ "$1" = serve ]; then shift; exec engagement serve --port "$PAGE_PORT" "$@"; fi
    command engagement "$@"
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A code block of a page."""

    language: str
    """What it is written in; empty where the page does not say it."""
    code: str
    """As it is pasted."""
    line: int
    """Where it begins, from 1."""
    not_run: str
    """Why it is not run; empty if it is."""


def blocks_of(page: Path) -> list[Block]:
    """Every code block of a page, those inside lists too."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    return [
        Block(
            language=token.info.split(" ")[0],
            code=token.content,
            line=(token.map or [0])[0] + 1,
            not_run=reason[1] if (reason := _NOT_RUN.search(token.info)) else "",
        )
        for token in tokens
        if token.type in {"fence", "code_block"}
    ]


def paste(page: Path, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a page's blocks in one shell, in a folder that has nothing but the virtual environment.

    They are pasted as they stand, but that a server gets a free port in the place of 8080.

    Returns:
        The shell's exit status, and all that was printed.
    """
    with contextlib.suppress(FileExistsError):  # of the page that was pasted here before
        (folder / ".venv").symlink_to(Path(sys.prefix))
    port = str(_free_port())
    script = folder.parent / f"{folder.name}.sh"
    script.write_text(_PREAMBLE + "\n".join(_script(page)).replace("8080", port), encoding="utf-8")
    log = folder.parent / f"{folder.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", script],
            cwd=folder,
            env={
                "PATH": f"{Path(sys.prefix) / 'bin'}:{_folder_of_node()}:{os.defpath}",
                "HOME": str(folder / "user"),
                "LANG": "C.UTF-8",
                "NO_PROXY": "*",
                "NODE_PATH": str(NODE_PACKAGES),
                "PAGE_PORT": port,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that nothing which the page started outlives it
        )
        try:
            process.wait(WAIT_SECONDS_MAX)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, log.read_text(encoding="utf-8", errors="replace")


def _script(page: Path) -> Iterator[str]:
    for block in blocks_of(page):
        if block.not_run or block.language in SHOWN:
            continue
        yield f"echo {shlex.quote(f'--- {page.name}:{block.line}')}"
        yield from _pasted(block)


def _pasted(block: Block) -> Iterator[str]:
    runner = {
        "python": "python -",
        "sql": "python -c 'import duckdb, sys; print(duckdb.sql(sys.stdin.read()))'",
        "js": "node -",
    }
    if block.language == "sh":
        yield block.code
    else:
        code = block.code
        if block.language == "js":
            code = f"(async () => {{\n{code}\n}})();"  # a rejection ends Node with a status of 1
        yield f"{runner[block.language]} <<'END_OF_BLOCK'\n{code}\nEND_OF_BLOCK"


def _folder_of_node() -> Path:
    return Path(shutil.which("node") or "/usr/bin/node").parent


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
