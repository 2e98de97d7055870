"""One module per resource: its models, its handlers, its table of routes.

A row of ROUTES is (method, path, handler, options). The options, each read by one plugin or by openapi.py:
    auth     "required" or "optional"; the handler gets `me`, the caller's user id or None
    body     (key, Model): the handler gets what stands under `key` in the body, as an argument of that name
    query    Model: the handler gets what stands behind the `?` as `query`
    config   True: the handler gets the settings as `config`
    cache    True for a GET whose answer may be remembered until the next commit
    secret   True where the answer holds what is one person's: nobody may store it, or learn how long its SQL took
    slow     True where a password is hashed: such requests have threads of their own, and a queue with an end
    status   of a good answer, 200 without
    answers  the model of a good answer's body; without it there is none
    errors   the statuses of errors that the other options do not imply
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from db import StartupError

_OPTIONS = {"auth", "body", "query", "config", "cache", "secret", "slow", "status", "answers", "errors"}


def sql_behind(handler: Callable[..., Any], names: Collection[str]) -> list[str]:
    """Which of these SQL files a handler runs, itself or in functions of handlers/, in the order of the code's names.

    Reads the constants of the code: whoever runs SQL files names them in full."""
    functions = [handler]
    for function in functions:  # grows: each adds those that it calls
        called = map(function.__globals__.get, function.__code__.co_names)
        functions += [
            each
            for each in called
            if inspect.isfunction(each) and each.__module__.startswith("handlers.") and each not in functions
        ]
    constants = (text for function in functions for text in _texts(function.__code__.co_consts))
    return list(dict.fromkeys(constant for constant in constants if constant in names))


def _texts(constants: tuple[object, ...]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from _texts(constant)


def slow_requests(routes: Iterable[tuple[str, str, Any, dict[str, Any]]]) -> re.Pattern[str]:
    """What matches the requests with the option `slow`, as "METHOD /path", in every version of the API."""
    rows = []
    for method, path, _, options in routes:
        if options.get("slow"):
            parts = (".+" if part.startswith("<") else re.escape(part) for part in re.split("(<[^>]+>)", path))
            methods = "(?:GET|HEAD)" if method == "GET" else method
            rows.append(f"{methods} /api(?:/v[0-9]+)?{''.join(parts)}")
    return re.compile("|".join(rows) or "(?!)", re.DOTALL)


def require_consistent(
    method: str, path: str, handler: Callable[..., Any], options: dict[str, Any], names: Collection[str]
) -> None:
    """Raise StartupError for a row of ROUTES that its handler, the plugins or the SQL files do not fit."""
    where = f"{handler.__module__}: {method} {path}"
    unknown = [*(options.keys() - _OPTIONS), *({options.get("auth")} - {None, "required", "optional"})]
    if unknown:
        raise StartupError(f"{where}: there is no option {unknown[0]!r}; handlers/__init__.py lists them")
    passed = ["db", *re.findall(r"<(\w+)>", path)]
    passed += ["config"] * bool(options.get("config"))
    passed += ["me"] * ("auth" in options) + ["query"] * ("query" in options)
    passed += [options["body"][0]] if "body" in options else []
    taken = list(inspect.signature(handler).parameters)
    if taken[:1] != ["db"] or set(taken) != set(passed):
        raise StartupError(f"{where}: {handler.__name__} takes {', '.join(taken)}, but gets {', '.join(passed)}")
    for text in _texts(handler.__code__.co_consts):
        if re.fullmatch(r"[a-z_]+/[a-z_]+", text) and text not in names:
            raise StartupError(f"{where}: {handler.__name__} names the SQL file {text}, which is not there")
