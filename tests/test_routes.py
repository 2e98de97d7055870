"""Tables of routes: what does not fit in them stops the program before a request can find it."""

import re

import pytest

import app
from db import StartupError
from handlers import require_consistent, sql_behind


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
def test_a_row_that_does_not_fit_its_handler_is_refused(path, handler, options, message):
    with pytest.raises(StartupError, match=r"tests\.test_routes: GET /x") as refused:
        require_consistent("GET", path, handler, options, {"tags/list"})

    assert message in str(refused.value)


def test_every_row_of_ours_fits(db):
    for method, path, handler, options in app.routes():
        require_consistent(method, path, handler, options, db.files)
        assert sql_behind(handler, db.files), f"{method} {path} runs no SQL file"


def test_a_new_resource_is_a_pair_of_scripts_sql_files_a_module_and_a_word_in_app_py(fork):
    up, down = fork.says("migration", "new", "boats")
    files = {
        up: "CREATE TABLE boats (name TEXT NOT NULL) STRICT;\n",
        down: "DROP TABLE boats;\n",
        "sql/boats/list.sql": "-- All.\n\nSELECT json_group_array(name) AS response FROM boats;\n",
        "handlers/boats.py": 'def browse(db):\n    """All."""\n    return db.read("boats/list")\n\n\n'
        'ROUTES = [("GET", "/boats", browse, {"cache": True})]\n',
        "app.py": (fork.home / "app.py").read_text().replace("RESOURCES = [", 'RESOURCES = ["boats", '),
    }
    for name, text in files.items():
        (fork.home / name).parent.mkdir(exist_ok=True)
        (fork.home / name).write_text(text)

    assert re.match(r"applied \d{4} boats ", fork.says("migrate")[-1])
    assert fork.says("routes")[0].split() == ["GET", "/boats", "boats/list"]
    assert fork.says("sql", "boats/list") == ["[]"]
