"""Which SQL files a route runs, when, and how one would ask it."""

import ast
import functools
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

# What stands in the examples: in any path, in any query, and in the body of an operation.
EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8-sig"))

Route = tuple[str, str, Callable[..., Any], dict[str, Any]]


def files_of(route: Route, names: Collection[str]) -> dict[str, str]:
    """The SQL files that a route may run, each with the condition of the code under which it does ("" for always)."""
    _, _, handler, options = route
    optional = {"sessions/find": "with a token" if options["auth"] == "optional" else ""} if "auth" in options else {}
    found = {name: when for name, when in optional.items() if name in names}
    for name, condition in _behind(handler, frozenset(names)):
        found[name] = condition and found.get(name, condition)
    return found


def _named(function: Callable[..., Any], names: Collection[str], seen: list[Any]) -> Iterator[tuple[str, str]]:
    """Each SQL file that a function of handlers/ names, itself or in those that it calls, and under which condition."""

    def look(nodes: Iterable[ast.AST], given: str) -> Iterator[tuple[str, str]]:
        for node in nodes:
            if isinstance(node, ast.Constant) and node.value in names:
                yield str(node.value), given
            elif isinstance(node, ast.If | ast.IfExp):
                parts = [each if isinstance(each, list) else [each] for each in (node.body, node.orelse)]
                yield from look([node.test], given)
                yield from look(parts[0], f"if {ast.unparse(node.test)}")
                yield from look(parts[1], "otherwise")
            elif isinstance(node, ast.Name) and inspect.isfunction(called := function.__globals__.get(node.id)):
                if called.__module__.startswith("handlers.") and called not in seen:
                    seen.append(called)
                    yield from ((name, when or given) for name, when in _named(called, names, seen))
            else:
                yield from look(ast.iter_child_nodes(node), given)

    yield from look(ast.parse(textwrap.dedent(inspect.getsource(function))).body[:1], "")


@functools.cache
def _behind(handler: Callable[..., Any], names: frozenset[str]) -> list[tuple[str, str]]:
    return list(_named(handler, names, [handler]))


def query_of(route: Route) -> list[str]:
    """The names of the parameters that a route takes behind the `?`, those of pages last."""
    model = route[3].get("query")
    return sorted(model.model_fields, key=lambda name: name not in model.__annotations__) if model else []


def request_of(route: Route, values: dict[str, Any]) -> dict[str, str]:
    """A request of a route, with those of its SQL's parameters that it takes itself: method, path, auth, JSON body."""
    method, path, handler, options = route
    known = EXAMPLES["path"] | {name: value for name, value in values.items() if value is not None}
    known["username"] = values.get("username_key") or known["username"]
    path = re.sub(r"<(\w+)>", lambda name: quote(str(known.get(name[1], "1"))), path)
    sent = {name: values[name] for name in query_of(route) if values.get(name) is not None}
    operation = f"{handler.__module__.rpartition('.')[2]}-{handler.__name__}".replace("_", "-")
    example = EXAMPLES["body"].get(operation) or {options["body"][0]: {"…": "…"}} if "body" in options else None
    body = json.dumps(example, indent=2, ensure_ascii=False) if example else ""
    address = f"/api{path}" + (f"?{urlencode(sent)}" if sent else "")
    return {"method": method, "address": address, "auth": options.get("auth", ""), "body": body}
