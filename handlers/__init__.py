"""One module per resource: its models, its handlers, its table of routes.

A row of ROUTES is (method, path, handler, options). The options, each read by one plugin or by openapi.py:
    auth     "required" or "optional"; the handler gets `me`, the caller's user id or None
    body     (key, Model): the handler gets what stands under `key` in the body, as an argument of that name
    query    Model: the handler gets what stands behind the `?` as `query`
    cache    True for a GET whose answer may be remembered until the next commit
    secret   True where the answer holds a token: nobody may store it
    status   of a good answer, 200 without
    answers  the model of a good answer's body; without it there is none
    errors   the statuses of errors that the other options do not imply
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any


def sql_behind(handler: Callable[..., Any], names: Collection[str]) -> list[str]:
    """Which of these SQL files a handler runs, in the order in which its code names them.

    Reads the constants of its code: a handler names its SQL files itself, and in full."""
    constants = _texts(handler.__code__.co_consts)
    return list(dict.fromkeys(constant for constant in constants if constant in names))


def _texts(constants: tuple[object, ...]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from _texts(constant)
