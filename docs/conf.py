"""What Sphinx is told; tools/build_docs.py lays out the pages and generates the references."""

from importlib.metadata import version as version_of

project = "Engagement Export"
copyright = "its authors; Apache-2.0"  # noqa: A001 - Sphinx's own name
release = version_of("engagement-export")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.openapi",
]
root_doc = "index"
html_theme = "furo"
html_title = f"{project} {release}"
html_show_sphinx = False
html_copy_source = False
# Headings have the anchors that the repository's own pages link to.
myst_heading_anchors = 4
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
# A type such as `bytes` is taken for every attribute of that name.
suppress_warnings = ["ref.python"]
