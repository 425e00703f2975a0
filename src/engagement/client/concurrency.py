"""The few things that the two clients do differently: wait, compute, ask the user's function."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from engagement.exceptions import BadInputError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

Pause = Callable[[float], None]
AsyncPause = Callable[[float], Awaitable[None]]
TokenFunction = Callable[[], str] | Callable[[], Awaitable[str]]


async def run_in_thread(
    function: Callable[Parameters, Result],
    *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Result:
    """Return what the function returns, without holding up the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


def run(
    function: Callable[Parameters, Result],
    *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Result:
    """Return what the function returns: the blocking client's `run_in_thread`."""
    return function(*args, **kwargs)


async def call_async_token_function(function: TokenFunction) -> str:
    """Return the token that the user's function gives, at once or when it is awaited."""
    token = function()
    return token if isinstance(token, str) else await token


def call_token_function(function: TokenFunction) -> str:
    """Return the token that the user's function gives.

    Raises:
        BadInputError: It must be awaited.
    """
    token = function()
    if isinstance(token, str):
        return token
    raise BadInputError("A Client needs a token function that is not asynchronous.")
