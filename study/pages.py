"""The pages under /study: what each shows. They never write; app.py says who may see them."""

import json
import re
import secrets
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bottle import Bottle, HTTPError, HTTPResponse, request, template

from config import Config
from db import Database
from db.migrations import find_migrations
from db.schema import Thing, things
from middleware import WSGIApplication
from plugins.errors import CONSTRAINTS
from plugins.validation import sent_query
from study import journey, plans, reference, routes, running, sources

_FOLDER = Path(__file__).parent
_TEMPLATES = [str(_FOLDER / "templates")]
_ORM = _FOLDER / "orm.json"
_DRAWING = sources.HOME / "docs/schema.svg"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TYPES = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_PAGES = Bottle()  # for its router alone


@dataclass
class Study:
    """What the pages are about: the database, the routes, and the whole application, to send requests through."""

    database: Database
    routes: list[routes.Route]
    app: WSGIApplication
    config: Config

    @cached_property
    def things(self) -> dict[str, Thing]:
        """The tables, indexes and triggers of the database by name."""
        with closing(self.database.connect(query_only=True)) as connection:
            return {thing.name: thing for thing in things(connection)}

    @cached_property
    def tables(self) -> list[str]:
        """The names of the tables."""
        return [thing.name for thing in self.things.values() if thing.kind == "table"]

    def example(self) -> str:
        """A GET that needs no token, with values that the database holds."""
        for route in self.routes:
            if route[0] == "GET" and "<" not in route[1] and route[3].get("auth") != "required":
                files = [self.database.files[name] for name in routes.files_of(route, self.database.files)]
                found = [running.examples(self.database, file) for file in files]
                return routes.request_of(route, {name: each[name] for each in found for name in each})["address"]
        return "/api/openapi.json"


def _orm() -> dict[str, Any]:
    return json.loads(_ORM.read_text(encoding="utf-8-sig")) if _ORM.exists() else {"files": {}}


def answer(database: Database, api: Iterable[routes.Route], app: WSGIApplication, config: Config) -> HTTPResponse:
    """The page that the current request asks for, or one that says that there is none."""
    try:
        route, parts = _PAGES.match(request.environ)
        page: HTTPResponse = route.callback(Study(database, list(api), app, config), **parts)
        request.environ["bottle.route"] = route  # what logs and metrics name
    except (HTTPError, KeyError):
        page = _show("missing", "There is no such page", 404)
    if isinstance(page.body, str):
        page.body = reference.below(config.prefix, page.body)
    return page


def _show(name: str, title: str, status: int = 200, **values: Any) -> HTTPResponse:
    known = {"title": title, "path": request.path, "code": sources.code, "routes": routes, "running": running}
    known |= {"plans": plans, "sources": sources, "render": _render}
    return _sent(_render(name, **known | values), "text/html; charset=utf-8", status)


def _render(name: str, **values: Any) -> str:
    return str(template(name, template_lookup=_TEMPLATES, **values))


def _sent(body: str | bytes, kind: str, status: int = 200) -> HTTPResponse:
    headers = {"Content-Type": kind, "Cache-Control": "no-store", "Content-Security-Policy": _POLICY}
    return HTTPResponse(body, status, **headers)


def _page(*rules: str) -> Callable[[Callable[..., HTTPResponse]], object]:
    """Show what stands under some rules. The callback raises KeyError where there is none."""
    return lambda show: _PAGES.route([*rules], "GET", show, secret=True)


@_page("/study")
def _index(study: Study) -> HTTPResponse:
    return _show("index", "The SQL behind every answer", study=study, compared=[*_orm()["files"]])


@_page("/study/sql/<resource>/<name>")
def _file(study: Study, resource: str, name: str) -> HTTPResponse:
    file, sent = study.database.files[f"{resource}/{name}"], sent_query()
    values, result, problem = running.examples(study.database, file), None, ""
    if "~run" in sent:
        try:
            result = running.run(study.database, file, values := running.parse(file, sent))
        except running.Unusable as unusable:
            problem = str(unusable)
    with plans.compiler(study.database) as (connection, shape):
        trees = plans.plan(connection, shape, file)
        touched = plans.touched(connection, study.things, file)
    known: dict[str, Any] = {"study": study, "file": file, "sent": sent, "values": values, "result": result}
    known |= {"problem": problem, "trees": trees, "shape": shape, "touched": touched, "orm": _orm()}
    known["host"] = f"http://127.0.0.1:{study.config.port or 8080}{study.config.prefix}"
    return _show("file", file.name, **known, indexes=plans.indexes_of(trees))


@_page("/study/tables/<name>")
def _table(study: Study, name: str) -> HTTPResponse:
    table = {each: study.things[each] for each in study.tables}[name]
    users: dict[str, list[str]] = {}  # of each index
    with plans.compiler(study.database) as (connection, shape):
        for file in study.database.files.values():
            used = plans.indexes_of(plans.plan(connection, shape, file))
            for each in [*used, *plans.touched(connection, study.things, file)]:
                users.setdefault(each, []).append(file.name)
    return _show("table", name, study=study, table=table, shape=shape, users=users, errors=CONSTRAINTS)


@_page("/study/schema")
def _schema(study: Study) -> HTTPResponse:
    drawing = _DRAWING.read_text(encoding="utf-8-sig") if _DRAWING.exists() else ""
    return _show("schema", "The schema", study=study, scripts=find_migrations(sources.SCHEMA), drawing=drawing)


@_page("/study/schema/<name>")
def _script(study: Study, name: str) -> HTTPResponse:
    script = {each.up.stem: each for each in find_migrations(sources.SCHEMA)}[name]
    made = [thing for name, thing in study.things.items() if script in sources.history().get(name, [])]
    return _show("script", script.up.name, script=script, made=made)


@_page("/study/journey")
def _journey(study: Study) -> HTTPResponse:
    title = "How one request travels"
    wanted = re.sub("^https?://[^/]+", "", sent_query().get("path") or study.example()).partition("#")[0]
    path, _, query = wanted.removeprefix(study.config.prefix).partition("?")
    if path != "/api" and not path.startswith("/api/"):
        return _show("journey", title, wanted=wanted, taken=None)
    # With something that no route asks for, so that it is not answered from memory; then the very same once more.

    def fresh() -> str:
        return f"{query}&study={secrets.token_hex(8)}".removeprefix("&")

    journey.send(study.app, path, fresh())  # Bottle and SQLite prepare what they have not met before
    asked = fresh()
    taken, again = (journey.send(study.app, path, asked) for _ in range(2))
    calls = journey.trace(study.app, path, fresh())
    return _show("journey", title, wanted=wanted, calls=calls, taken=taken, again=again)


@_page("/study/source/<path:path>")
def _source(study: Study, path: str) -> HTTPResponse:
    return _show("source", path, text=sources.readable()[path].read_text(encoding="utf-8-sig"))


@_page("/study/static/<name>")
def _static(study: Study, name: str) -> HTTPResponse:
    found = {each.name: each for each in (_FOLDER / "static").iterdir()}[name]
    return _sent(found.read_bytes(), _TYPES[found.suffix])
