"""Holds names to the field's words: verbs for functions, each class once, no private dialect."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from support.checkout import ROOT, TESTS

PACKAGE = ROOT / "src" / "engagement"
BENCHMARKS = ROOT / "benchmarks"
TOOLS = ROOT / "tools"

NOT_PARTICIPLES = {
    "bring", "embed", "feed", "need", "ping", "ring", "seed", "shed", "speed", "string",
}  # fmt: skip
"""Words that end as participles do and are none."""
IRREGULAR_PARTICIPLES = {
    "begun", "bound", "chosen", "done", "found", "given", "got", "held", "kept", "known", "left",
    "lost", "made", "read_back", "said", "sent", "shown", "spelt", "taken", "told", "written",
}  # fmt: skip
PUBLIC_API = {"done"}
"""Names that users of the client write: `poller.done()` is what pollers of other SDKs have."""
ADJECTIVES = {"compressed", "nested", "running"}
"""`running_engine` is an engine that runs as long as the block, as `closing` of the library is."""
NOT_VALUES = {"aside", "asked", "asking", "fresh", "its", "mine", "one", "said", "told"}
"""Words that say nothing of what a value is."""
GONE = {
    "Answered", "Asked", "AtServer", "Happening", "Here", "Kept", "Meaning", "Offer", "Owner",
    "Passage", "Place", "Point", "Reach", "Work", "OBJECTS_BETWEEN_CYCLE_SEARCHES", "answered",
    "asked", "elsewhere", "keep_little", "opened", "owning", "pass_by", "question", "settle",
    "shown",
}  # fmt: skip
"""Words of a private dialect, for which the field has its own."""


def _trees(*folders: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in chain.from_iterable(sorted(folder.rglob("*.py")) for folder in folders):
        if "node_modules" not in path.parts and "versions" not in path.parts:
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _is_participle(word: str) -> bool:
    if word in NOT_PARTICIPLES or word in ADJECTIVES:
        return False
    return word in IRREGULAR_PARTICIPLES or re.fullmatch(r"\w{2,}(ed|ing)", word) is not None


def _is_function(node: ast.AST) -> bool:
    """Whether it is a function whose name has a verb; a property is named after what it holds."""
    decorators = [ast.unparse(found) for found in getattr(node, "decorator_list", [])]
    is_value = any("property" in name or name.endswith(".setter") for name in decorators)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_value


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Every name that is given to a value, a parameter or an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def _names(tree: ast.Module) -> Iterator[str]:
    """Every name that something is given: values, functions, classes."""
    yield from _bound_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def test_public_functions_begin_with_a_verb_in_the_imperative() -> None:
    found = [
        f"{path}: {node.name}"
        for path, tree in _trees(PACKAGE)
        for node in ast.walk(tree)
        if _is_function(node)
        and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and node.name not in PUBLIC_API
        and _is_participle(node.name.partition("_")[0])
    ]

    assert found == []


def test_each_class_is_defined_once() -> None:
    """Generated code repeats the classes of what it is generated from."""
    counts = Counter(
        node.name
        for path, tree in _trees(PACKAGE)
        if "/client/sync/" not in path
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )

    assert {name for name, times in counts.items() if times > 1} == set()


def test_the_name_of_a_value_says_what_it_holds() -> None:
    found = [
        f"{path}: {name}"
        for path, tree in _trees(PACKAGE, TESTS, BENCHMARKS, TOOLS)
        for name in _bound_names(tree)
        if name in NOT_VALUES
    ]

    assert found == []


def test_words_that_were_replaced_do_not_come_back() -> None:
    found = [
        f"{path}: {name}" for path, tree in _trees(PACKAGE) for name in _names(tree) if name in GONE
    ]

    assert found == []


@pytest.mark.parametrize("word", ["asked", "gathered", "reading", "told"])
def test_a_participle_is_found_out(word: str) -> None:
    assert _is_participle(word)
    assert not _is_participle("bring")
