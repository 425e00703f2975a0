"""Feeds every regular expression of the project what it takes longest to look through.

Work is compared, not timed against a clock: four times the input may take a regular expression of
linear time about four times as long, and one of quadratic time sixteen times.
"""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import engagement

SHORT, LONG, LONGEST = 1_500, 6_000, 100_000
GROWTH_MAX = 10
"""Between linear, 4, and quadratic, 16."""
SECONDS_MIN = 0.004
"""Of processor time for the long input; what takes less is too little to tell growth by."""
REPEATS = 3
METHODS = ("search", "match", "fullmatch", "sub", "finditer", "findall", "split")
PREFIXES_MAX = 12

Pattern = re.Pattern[Any]


def used_patterns() -> Iterator[tuple[str, Pattern, str]]:
    """Each pattern of a module with each method that the module calls of it, and literals."""
    for found in pkgutil.walk_packages(engagement.__path__, "engagement."):
        if found.name.endswith(("__main__", ".env")):
            continue
        module = importlib.import_module(found.name)
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and f"{name} = re.compile" in source:
                calls = [method for method in METHODS if f"{name}.{method}(" in source]
                for method in calls or ["search"]:
                    yield f"{found.name}.{name}.{method}", value, method
        yield from _literals(found.name, ast.parse(source))


def _literals(module: str, tree: ast.Module) -> Iterator[tuple[str, Pattern, str]]:
    """Patterns that are given to functions of `re` or as `pattern=`, as they stand."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = [word.value for word in node.keywords if word.arg == "pattern"]
        method = "fullmatch" if given else ""
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "re":
            method = node.func.attr
            given = node.args[:1] if method in METHODS else []
        for literal in given:
            if isinstance(literal, ast.Constant):
                yield f"{module}:{node.lineno}", re.compile(literal.value), method


USED = list(used_patterns())


def attacks(pattern: Pattern) -> list[Any]:
    """Pieces whose repetition begins a match anew, or goes on with one that never ends."""
    text = (
        pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    )
    tree = _parser.parse(text, pattern.flags & ~re.UNICODE & ~re.LOCALE)
    pieces = _samples(list(tree))[-1]
    prefixes = ["".join(pieces[: end + 1]) for end in range(len(pieces))][:PREFIXES_MAX]
    cut = [prefix[:-1] for prefix in prefixes[-2:]]
    plain = ["a", " ", "0", '"', '\\"', "[", "<", "x-", "a.", "'", "%25", "("]
    chosen = dict.fromkeys(filter(None, [*prefixes, *cut, *plain]))
    return (
        [item.encode("latin-1", "ignore") or b"a" for item in chosen]
        if isinstance(pattern.pattern, bytes)
        else list(chosen)
    )


def _samples(items: list[Any]) -> list[list[str]]:
    """For each item and all before it, texts that it matches."""
    found: list[str] = []
    every: list[list[str]] = []
    for operation, argument in items:
        found.append(_sample(str(operation), argument))
        every.append(list(found))
    return every or [[]]


def _sample(operation: str, argument: Any) -> str:  # noqa: PLR0911 - a table of what patterns hold
    if operation == "LITERAL":
        return chr(argument)
    if operation == "NOT_LITERAL":
        return "a" if argument != ord("a") else "b"
    if operation == "ANY":
        return "a"
    if operation == "IN":
        return _member(argument)
    if operation in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        least, _, inner = argument
        return "".join(_samples(list(inner))[-1]) * max(1, least)
    if operation == "SUBPATTERN":
        return "".join(_samples(list(argument[-1]))[-1])
    if operation == "ATOMIC_GROUP":
        return "".join(_samples(list(argument))[-1])
    if operation == "BRANCH":
        return "".join(_samples(list(argument[1][0]))[-1])
    return ""


def _member(choices: list[Any]) -> str:
    kind, argument = choices[0]
    if str(kind) == "NEGATE":
        excluded = {chr(value) for name, value in choices[1:] if str(name) == "LITERAL"}
        return next(character for character in "a0 .x~" if character not in excluded)
    if str(kind) == "RANGE":
        return chr(argument[0])
    if str(kind) == "CATEGORY":
        return {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " "}.get(str(argument), "a")
    return chr(argument)


def work(pattern: Pattern, method: str, piece: Any, size: int) -> float:
    """Seconds of this thread that it takes to look through repetitions of a piece."""
    end = "\0" if isinstance(piece, str) else b"\0"  # so that what must reach the end does not
    text = (piece * (size // len(piece) + 1))[:size] + end
    started = time.thread_time()
    if method == "sub":
        pattern.sub(lambda found: found[0], text)
    elif method in {"finditer", "findall", "split"}:
        for _ in pattern.finditer(text):
            pass
    else:
        getattr(pattern, method)(text)
    return time.thread_time() - started


def is_linear(pattern: Pattern, method: str, piece: Any) -> bool:
    """Whether work grows with the input; tried again before it is taken not to."""
    for _ in range(REPEATS):
        long = work(pattern, method, piece, LONG)
        # The least of some: one that was held up would make any growth look small.
        short = min(work(pattern, method, piece, SHORT) for _ in range(REPEATS))
        if long < SECONDS_MIN or long < GROWTH_MAX * short:
            return True
    return False


@pytest.mark.parametrize(
    ("pattern", "method"), [used[1:] for used in USED], ids=[used[0] for used in USED]
)
def test_a_regular_expression_takes_linear_time(pattern: Pattern, method: str) -> None:
    for piece in attacks(pattern):
        assert is_linear(pattern, method, piece), piece
        # No step is left that grows: this ends, as it would not with one that does.
        long, longest = (work(pattern, method, piece, size) for size in (LONG, LONGEST))
        factor = LONGEST / LONG
        assert longest < max(0.5, long * factor * GROWTH_MAX), piece


def test_regular_expressions_are_found() -> None:
    assert len(USED) > 50
    assert any("refusals" in name for name, *_ in USED)


@pytest.mark.parametrize(
    "text", ["<Message>(.*?)</Message>", "[a-z]+!", r"\s+$", r'"(?:[^"\\]|\\.)*"']
)
def test_a_regular_expression_of_quadratic_time_is_found(text: str) -> None:
    pattern = re.compile(text, re.DOTALL)

    assert not all(is_linear(pattern, "search", piece) for piece in attacks(pattern))
