"""Builds the documentation site: `make docs`.

The pages of the repository as they are, and beside them what is generated: the command reference
from the commands, the HTTP reference from the OpenAPI document, the Python reference from
docstrings. Any warning ends it, so that a link that leads nowhere is found here.
"""

import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import typer
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils
from typer.cli import get_docs_for_click

from engagement.cli.entry import app
from engagement.cli.examples import add_examples
from engagement.server.app import build_server
from engagement.testing import open_test_runtime

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FRONT_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
GENERATED = "docs/generated"
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
PYTHON_PAGES = {
    "python-client": (
        "The Python client",
        ("engagement.client.sync.client",),
    ),
    "python-client-async": (
        "The asynchronous Python client",
        ("engagement.client.asynchronous.client",),
    ),
    "python-agent": (
        "The device agent",
        ("engagement.agent.device_agent", "engagement.agent.jobs", "engagement.agent.queue"),
    ),
    "python-values": (
        "Values",
        (
            "engagement.model.export_options",
            "engagement.model.exports",
            "engagement.model.manifest",
        ),
    ),
    "python-testing": ("The test kit", ("engagement.testing",)),
    "python-exceptions": ("Exceptions", ("engagement.exceptions", "engagement.error_codes")),
}
"""What programs import, a page each: its title and the modules it shows."""


def build_site(out: Path) -> None:
    """Build the site into a folder, which is made anew.

    Raises:
        SystemExit: There was a warning; it has been printed.
    """
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="engagement-docs-") as folder:
        source = Path(folder) / "source"
        _stage(source)
        with patch_docutils(str(DOCS)), docutils_namespace():
            site = Sphinx(
                srcdir=source,
                confdir=DOCS,
                outdir=out,
                doctreedir=Path(folder) / "doctrees",
                buildername="html",
                status=None,
                warning=sys.stderr,
                warningiserror=True,
            )
            site.build()
    if site.statuscode:
        raise SystemExit("The documentation has the faults that are named above.")


def _stage(source: Path) -> None:
    """Lay out the pages as the repository has them, so that links between them stay true."""
    skipped = shutil.ignore_patterns("conf.py", "__pycache__")
    shutil.copytree(DOCS, source / "docs", ignore=skipped)
    for name in FRONT_PAGES:
        shutil.copy(ROOT / name, source)
    for page in [*source.glob("*.md"), *source.glob("docs/**/*.md")]:
        _stage_linked_files(page, source)
    _generate(source / GENERATED)
    # The file that a server of pages shows first is the README, with the way to everything below.
    (source / "README.md").rename(source / "index.md")
    with (source / "index.md").open("a", encoding="utf-8") as page:
        page.write("\n".join(_contents()))
    decisions = [f"{path.stem}" for path in sorted(DOCS.glob("decisions/[0-9]*.md"))]
    with (source / "docs/decisions/README.md").open("a", encoding="utf-8") as page:
        page.write("\n".join(_tree(None, decisions)))


def _stage_linked_files(page: Path, source: Path) -> None:
    """Copy files of the repository that a page links to and that are no pages."""
    for target, _ in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        staged = (page.parent / target).resolve()
        original = ROOT / staged.relative_to(source.resolve())
        if original.is_file() and not staged.exists():
            staged.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(original, staged)


def _contents() -> Iterator[str]:
    """The tree of all pages, in the order and under the words of the documents' own index."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for words, links in re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", index, re.MULTILINE):
        pages = [f"docs/{target.removesuffix('.md')}" for target, _ in _LINK.findall(links)]
        yield from _tree(words, pages)
        if words == "Look up":
            generated = ["commands", "http", *PYTHON_PAGES]
            yield from _tree("Generated reference", [f"{GENERATED}/{name}" for name in generated])
    yield from _tree("The project", ["docs/index", "CONTRIBUTING", "CHANGELOG"])


def _tree(caption: str | None, pages: list[str]) -> list[str]:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return ["", "```{toctree}", *options, "", *pages, "```", ""]


def _generate(folder: Path) -> None:
    folder.mkdir()
    (folder / "commands.md").write_text(_command_reference(), encoding="utf-8")
    (folder / "openapi.json").write_text(json.dumps(_openapi_document()), encoding="utf-8")
    (folder / "http.rst").write_text(
        _rst_page("HTTP operations", [".. openapi:: openapi.json", "   :group:", ""]),
        encoding="utf-8",
    )
    for name, (title, modules) in PYTHON_PAGES.items():
        lines = [f".. automodule:: {module}\n" for module in modules]
        (folder / f"{name}.rst").write_text(_rst_page(title, lines), encoding="utf-8")


def _rst_page(title: str, lines: list[str]) -> str:
    return "\n".join([title, "=" * len(title), "", *lines])


def _command_reference() -> str:
    """Every command with its options and its example, as Typer writes them down."""
    command = typer.main.get_command(app)
    add_examples(command)
    with typer.Context(command, info_name="engagement") as context:
        return get_docs_for_click(
            obj=command, ctx=context, name="engagement", title="Every command"
        )


def _openapi_document() -> Any:
    """The document that a server gives away at `/openapi.json`."""

    async def ask(server: Any) -> Any:
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return (await client.get("/openapi.json")).raise_for_status().json()

    with tempfile.TemporaryDirectory() as home, open_test_runtime(Path(home)) as runtime:
        document = asyncio.run(ask(build_server(runtime, public_url="https://exports.example.org")))
    for operations in document["paths"].values():
        for operation in operations.values():
            # How errors look is said once, on their page; Sphinx knows no answer without a number.
            operation["responses"].pop("default", None)
    return document


if __name__ == "__main__":
    build_site(Path(sys.argv[1]))
