"""Looks for a secret in everything that an exception may show to someone."""

import traceback
from collections.abc import Iterator
from urllib.parse import quote, unquote


def assert_hidden(error: BaseException, *secrets: str) -> None:
    """Fail if a secret, plain or URL-encoded, can be read from an exception or its chain."""
    shown = "\n".join(_shown(error))
    for secret in secrets:
        for form in {secret, quote(secret, safe=""), unquote(secret)}:
            assert form not in shown
            assert repr(form)[1:-1] not in shown


def _shown(error: BaseException) -> Iterator[str]:
    yield "".join(traceback.format_exception(error))
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield from (str(found), repr(found), repr(found.args), repr(vars(found)))
        waiting += [found.__cause__, found.__context__]
