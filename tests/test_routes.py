"""Mistakes in the tables of routes stop the program at the start."""

import dataclasses
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

import app
from db import StartupError
from handlers import require_consistent, sql_behind
from tests.conftest import HOME


def save(db, me, slug, bookmark):
    return db.write("bookmarks/save", me=me, slug=slug)


def browse(db, query):
    return db.read("tags/list")


BODY = ("bookmark", object)
MISTAKES = [
    ("/x/<slug>", save, {"auht": "required", "body": BODY}, "there is no option 'auht'"),
    ("/x/<slug>", save, {"auth": "requird", "body": BODY}, "there is no option 'requird'"),
    ("/x/<slug>", save, {"body": BODY}, "save takes db, me, slug, bookmark, but gets db, slug, bookmark"),
    ("/x/<slugg>", save, {"auth": "required", "body": BODY}, "but gets db, slugg, me, bookmark"),
    ("/x/<slug>", save, {"auth": "required", "body": ("bookmarkk", object)}, "but gets db, slug, me, bookmarkk"),
    ("/x", browse, {}, "browse takes db, query, but gets db"),
    (
        "/x/<slug>",
        save,
        {"auth": "required", "body": BODY},
        "save names the SQL file bookmarks/save, which is not there",
    ),
]


@pytest.mark.parametrize(("path", "handler", "options", "message"), MISTAKES)
def test_a_route_that_does_not_fit_its_handler_is_refused(path, handler, options, message):
    with pytest.raises(StartupError, match=r"tests\.test_routes: GET /x") as refused:
        require_consistent("GET", path, handler, options, {"tags/list"})

    assert message in str(refused.value)


def test_every_route_of_the_project_fits_and_runs_sql(db):
    for method, path, handler, options in app.routes():
        require_consistent(method, path, handler, options, db.files)
        assert sql_behind(handler, db.files), f"{method} {path} runs no SQL file"


def test_a_new_resource_is_two_scripts_sql_files_a_module_and_its_name_in_app_py(commands, monkeypatch, tmp_path):
    up, down = commands.says("migration", "new", "boats")
    module = ModuleType("handlers.boats")
    source = (
        'def browse(db):\n    return db.read("boats/list")\n\nROUTES = [("GET", "/boats", browse, {"cache": True})]\n'
    )
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, "handlers.boats", module)
    monkeypatch.setattr(app, "RESOURCES", ["boats", *app.RESOURCES])
    commands.project = dataclasses.replace(commands.project, sql=shutil.copytree(HOME / "sql", tmp_path / "sql"))
    for path, text in (
        (up, "CREATE TABLE boats (name TEXT NOT NULL) STRICT;\n"),
        (down, "DROP TABLE boats;\n"),
        (tmp_path / "sql/boats/list.sql", "-- All.\n\nSELECT json_group_array(name) AS response FROM boats;\n"),
    ):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text)

    assert re.match(r"applied \d{4} boats ", commands.says("migrate")[-1])
    assert commands.says("routes")[0].split() == ["GET", "/boats", "boats/list"]
    assert commands.says("sql", "boats/list") == ["[]"]
