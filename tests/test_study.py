"""/study: the pages where routes and their SQL are read, run and explained, and what they never show or do."""

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import closing
from urllib.parse import urlencode, urlsplit

import pytest
from webtest import TestApp

import app
from config import Config
from db import Database
from handlers import sql_behind
from plugins.errors import CONSTRAINTS
from study import pages, plans, routes, running, sources
from tests.conftest import HOME, PASSWORD, Api, sqlite

HERE = "127.0.0.1"
MARKUP = "<script>alert('boat')</script>"


@pytest.fixture
def study(asks):
    """A browser on this machine; somebody has written."""
    api = asks(HERE)
    ann = api.someone("ann")
    dawn = ann.writes("Rowing at dawn", "rowing", "morning")
    ann.writes(f"Dusk {MARKUP}", "rowing")
    ann.says(dawn, MARKUP)
    return api.client


def folder_with(tmp_path, **files):
    """A copy of sql/ with more files in sql/boats/."""
    shutil.copytree(HOME / "sql", tmp_path / "sql")
    (tmp_path / "sql/boats").mkdir()
    for name, text in files.items():
        (tmp_path / f"sql/boats/{name}.sql").write_text(text)
    return tmp_path / "sql"


@pytest.fixture
def more(migrated, tmp_path):
    """Browsers on this machine, of a database with more files in sql/boats/."""
    path = tmp_path / "more.db"
    shutil.copy(migrated, path)
    opened = []

    def browser(**files):
        database = Database(path, folder_with(tmp_path, **files))
        opened.append(database)
        return TestApp(app.make_app(Config(), database), {"REMOTE_ADDR": HERE})

    yield browser
    for database in opened:
        database.close()


def run(client, name, status=200, **sent):
    """The page of a SQL file that was run with these fields."""
    return client.get(f"/study/sql/{name}?{urlencode(sent | {'~run': 1})}", status=status)


def html_of(answer):
    """The page, taken apart once: WebTest would do it again each time."""
    if not hasattr(answer, "taken_apart"):
        answer.taken_apart = answer.html
    return answer.taken_apart


def text_of(answer):
    return " ".join(html_of(answer).get_text(" ").split())


class Village:
    """A database in which much has happened, all pages by their address, and what none of them may tell."""

    def __init__(self, database):
        self.database = database
        config = Config(study="on", smtp_url="smtp://localhost")
        self.client = TestApp(app.make_app(config, database), {"REMOTE_ADDR": "203.0.113.7"})
        api = Api(self.client)
        ann, bob = api.someone("ann", email="Ann.Hidden@example.org"), api.someone("bob")
        dawn = ann.writes("Rowing at dawn", "rowing", "morning")
        bob.writes(f"Dusk {MARKUP}", "rowing")
        bob.likes(dawn)
        bob.follows("ann")
        bob.says(dawn, MARKUP)
        user = {"email": ann.email, "password": PASSWORD}
        api.post("/users/login", {"user": user}, headers={"User-Agent": "A most telling browser"})
        api.post("/users/login", {"user": user | {"password": "wrong horse"}}, status=401)
        api.post("/users/password-reset", {"user": {"email": ann.email}})
        database.write("resets/create", user_id=1, token_hash="e" * 64, now="2026-01-31T12:00:00.000Z")
        hashes = sqlite(database, "SELECT password_hash FROM users UNION SELECT token_hash FROM sessions")
        subjects = sqlite(database, "SELECT subject FROM attempts")
        assert len(hashes) == 5
        assert len(subjects) >= 3
        self.secrets = ["Ann.Hidden", "ann.hidden", "203.0.113.7", "A most telling browser", "e" * 64]
        self.secrets += [value for (value,) in hashes + subjects]
        self.pages = self._everything()

    def _everything(self):
        found, todo = {}, ["/study"]
        while todo:
            path = todo.pop()
            if path not in found:
                found[path] = self.client.get(path)
                if found[path].content_type == "text/html":
                    links = {link["href"] for link in html_of(found[path]).find_all("a")}
                    todo += [link.partition("#")[0] for link in links if link.startswith("/study")]
        return found


@pytest.fixture(scope="module")
def village(migrated, tmp_path_factory):
    path = tmp_path_factory.mktemp("village") / "rowboat.db"
    shutil.copy(migrated, path)
    with closing(Database(path, HOME / "sql")) as database:
        yield Village(database)


def test_a_newcomer_finds_the_sql_of_a_listing_runs_it_sees_why_it_is_fast_and_who_made_its_index(study):
    index = study.get("/study")
    listing = next(item for item in html_of(index).select(".routes > li") if "/api/articles?tag=…" in item.get_text())
    assert "articles/find otherwise" in " ".join(listing.get_text(" ").split())

    file = index.click("^articles/find$", index=0)
    form = file.forms[0]
    assert form["tag"].value == "rowing"
    form["limit"] = "1"
    answered = form.submit("~run")
    assert re.search(r"It answered in \d+\.\d\d ms", text_of(answered))
    assert [cell.get_text() for cell in html_of(answered).select("#result td")][:2] == ["[2]", "2"]
    assert "Looks up article_tags by tag_id in the unique index (tag_id, article_id)." in text_of(answered)

    table = answered.click(r"^article_tags \(tag_id, article_id\)$", index=0)
    assert "For sql/articles/find.sql with a tag: the articles of a tag, in order of id." in text_of(table)
    script = table.click(r"^0005_tags\.sql$", index=0)
    assert "UNIQUE (tag_id, article_id)" in html_of(script).pre.get_text()


def test_what_a_get_runs_is_seen_by_sending_it(study):
    form = study.get("/study").forms[0]
    assert form["path"].value == "/api/articles?tag=rowing&limit=10&offset=0"
    journey = form.submit()

    table = html_of(journey).table
    assert [link.get_text() for link in table.find_all("a")] == ["articles/find", "articles/list"]
    assert "answered 200 OK" in table.caption.get_text()
    times = [float(cell.get_text()) for cell in table.find_all("td")]
    assert len(times) == 4
    assert all(time > 0 for time in times)
    assert "handlers/articles.py" in text_of(journey)
    assert "study=" not in html_of(journey).select_one("pre").get_text()
    assert "once more, from memory" in text_of(journey)
    assert "once more, from memory" not in text_of(study.get("/study/journey?path=/api/user"))
    assert text_of(study.get("/study/journey?path=http://localhost:80/api/tags")).count("answered 200 OK") == 1


def test_a_journey_leads_to_a_file_with_the_values_that_it_ran_with(study):
    journey = study.get("/study/journey?path=/api/articles%3Ftag=morning%26author=ann")

    file = journey.click("^articles/find$", index=1)

    assert (file.forms[0]["tag"].value, file.forms[0]["author"].value) == ("morning", "ann")
    assert "1" in [cell.get_text() for cell in html_of(file).select("#result td")]


def test_the_journey_leads_to_the_lines_of_the_code(study):
    journey = study.get("/study/journey")
    steps = html_of(journey).select("a.source")

    assert len(steps) > 20
    assert {
        "worker.py",
        "middleware.py",
        "cache.py",
        "plugins/errors.py",
        "handlers/articles.py",
        "db/database.py",
    } <= {step.get_text().partition(":")[0] for step in steps}
    for step in steps:
        file, line = step.get_text().split(":")
        name = step.find_next("code").get_text().rpartition(".")[2]
        lines = (HOME / file).read_text().splitlines()
        assert re.search(rf"\b(def|class) {name}\b", "\n".join(lines[int(line) - 1 : int(line) + 2])), step.get_text()
        assert step["href"] == f"/study/source/{file}#L-{line}"


def test_a_journey_that_is_refused_is_shown_like_any_other(study):
    assert "answered 401" in text_of(study.get("/study/journey?path=/api/user"))
    assert "answered 404" in text_of(study.get("/study/journey?path=/api/nothing"))
    assert "answered 400" in text_of(study.get("/study/journey?path=/api/articles/%25FF"))
    assert "answered 422" in text_of(study.get("/study/journey?path=/api/articles%3Flimit=no"))
    assert "answered 200" in text_of(study.get("/study/journey?path=/api/articles%3Ftag=%E2%9C%93"))


@pytest.mark.parametrize(
    "path", ["/study/journey", "/metrics", "/readyz", "http://example.org/", "//example.org/api/", "x"]
)
def test_a_journey_goes_through_the_api_alone(study, path):
    page = study.get(f"/study/journey?{urlencode({'path': path})}")

    assert "A path begins with /api" in text_of(page)
    assert not html_of(page).select("a.source")


# What every page is


def test_every_page_is_well_made_and_every_link_leads_somewhere(village):
    found = village.pages

    assert len(found) > 120
    for path, answer in found.items():
        if answer.content_type != "text/html":
            continue
        page = html_of(answer)
        assert page.html["lang"] == "en"
        assert len(page.find_all("h1")) == 1, path
        levels = [int(heading.name[1]) for heading in page.find_all(re.compile("^h[1-6]$"))]
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), (path, levels)
        assert page.find("main")
        assert page.find("header")
        assert page.select_one("a.skip")["href"] == "#content"
        ids = [each["id"] for each in page.find_all(id=True)]
        assert len(ids) == len(set(ids)), path
        for link in page.find_all("a", href=re.compile("#")):
            target, _, name = link["href"].partition("#")
            there = html_of(found[target]) if target else page
            assert there.find(id=name), f"{path} links to {link['href']}"
        for table in page.find_all("table"):
            assert table.caption
            assert all(head.get("scope") for head in table.find_all("th"))
        for entry in page.find_all("input"):
            assert entry.find_parent("label") or page.find("label", attrs={"for": entry["id"]}), path
        for code in page.find_all("pre"):
            assert (code["tabindex"], code["role"]) == ("0", "region"), path
            assert code["aria-label"], path


def test_no_page_holds_a_script_or_a_style_and_none_loads_anything_from_elsewhere(village):
    for path, answer in village.pages.items():
        policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        assert answer.headers.getall("Content-Security-Policy") == [policy + "frame-ancestors 'none'"], path
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.content_type == "text/html":
            assert not html_of(answer).find_all(["script", "style", "iframe", "object"])
            tags = html_of(answer).find_all(True)
            assert not [tag for tag in tags if any(name == "style" or name.startswith("on") for name in tag.attrs)]
            loaded = [tag.get("src") or tag["href"] for tag in html_of(answer).find_all(["img", "link"])]
            assert all(address.startswith("/study/static/") for address in loaded)
            assert not [form for form in html_of(answer).find_all("form") if form.get("method", "get") != "get"]


def test_what_people_wrote_stays_text(study):
    listing = run(study, "articles/list", page="[2, 1]", total="2", **{"me~null": "on"})
    comments = run(study, "comments/render", page="[1]", **{"me~null": "on"})
    sent = run(study, "articles/search", words=MARKUP, limit="1", offset="0")

    for answer in listing, comments, sent:
        assert MARKUP not in answer.text
        assert MARKUP.removeprefix("<script>").removesuffix("</script>") in text_of(answer) + answer.forms[0].text
        assert not html_of(answer).find_all("script")


def test_what_there_is_not_has_a_page_with_a_way_back(study):
    for path in (
        "/study/nothing",
        "/study/sql/articles/nothing",
        "/study/sql/articles",
        "/study/tables/nothing",
        "/study/tables/articles_author_id_idx",
        "/study/tables/sqlite_schema",
        "/study/schema/0099_nothing",
        "/study/static/nothing.css",
        f"/study/{MARKUP}",
    ):
        answer = study.get(path, status=404)
        assert answer.content_type == "text/html"
        assert answer.click("Back to all routes").status_int == 200
        assert MARKUP not in answer.text


def luminance(colour):
    if len(colour) == 4:
        colour = "#" + "".join(digit * 2 for digit in colour[1:])
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_everybody_can_read_it_by_day_and_by_night(study):
    sheet = study.get("/study/static/study.css").text
    themes = [
        dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
    ]

    assert len(themes) == 2
    assert themes[0].keys() == themes[1].keys()
    words = "ink faint link accent keyword text number remark parameter name".split()
    pairs = [(word, ground) for word in words for ground in ("paper", "raised")]
    pairs += [(f"on-{each}", each) for each in ("reads", "writes", "secret", "accent")]
    for theme in themes:
        for word, ground in pairs:
            lighter, darker = sorted((luminance(theme[word]), luminance(theme[ground])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (word, theme[word], ground, theme[ground])


# What the pages say is true


def test_the_files_of_a_route_are_those_that_its_handler_runs(db):
    for route in app.routes():
        found = routes.files_of(route, db.files)
        always = {"sessions/find"} if "auth" in route[3] else set()
        assert found.keys() == set(sql_behind(route[2], db.files)) | always, route


def test_a_route_that_picks_a_file_says_when_it_picks_which(db):
    (listing,) = (route for route in app.routes() if route[:2] == ("GET", "/articles"))
    (leaving,) = (route for route in app.routes() if route[:2] == ("DELETE", "/user"))

    assert routes.files_of(listing, db.files) == {
        "sessions/find": "with a token",
        "articles/search": "if query.q is not None",
        "articles/newest": "if query.tag is query.author is query.favorited is None",
        "articles/find": "otherwise",
        "articles/list": "",
    }
    assert routes.files_of(leaving, db.files)["users/keep_content"] == "if content == 'keep'"


def test_every_step_of_every_plan_has_a_sentence(db):
    def look(steps):
        for step in steps:
            assert step.sentence != "One more step.", step.text
            assert "{" not in step.sentence
            look(step.steps)

    with plans.compiler(db) as (connection, shape):
        for file in db.files.values():
            for tree in plans.plan(connection, shape, file):
                look(tree)


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT id FROM articles WHERE id = 1 OR author_id = 2", "Looks up each side of an OR in an index of its own"),
        ("SELECT DISTINCT title FROM articles", "Keeps what it has seen in a temporary index"),
        (
            "SELECT title FROM articles ORDER BY author_id, title",
            "Sorts within groups of rows that come in order already.",
        ),
        ("SELECT 1 INTERSECT SELECT id FROM users", "then only those that this one has, too"),
        ("SELECT 1 EXCEPT SELECT id FROM users", "then without those of this one"),
        ("SELECT max(id) FROM articles", "Goes straight to the first or the last row of articles"),
        ("SELECT title FROM articles", "Goes through articles row by row"),
        ("SELECT 1 FROM users AS a JOIN users AS b ON b.bio = a.bio", "a lasting one is missing."),
        ("SELECT rowid FROM article_search WHERE rowid = 3", "Finds a row of the full-text index article_search"),
        ("SELECT (SELECT name FROM tags WHERE id = articles.id) FROM articles", "Once for each row around it: finds"),
    ],
)
def test_a_plan_is_told_in_plain_words(more, sql, sentence):
    page = more(ask=f"-- What it asks.\n\n{sql};\n").get("/study/sql/boats/ask")

    assert sentence in text_of(page)


def test_a_writing_file_is_explained_and_never_run(study, db):
    before = sqlite(db, "SELECT count(*) FROM articles")
    page = run(study, "articles/delete", slug="rowing-at-dawn", me="1")

    assert "This file writes" not in text_of(page)
    assert not html_of(page).select_one("form.run")
    assert "Looks up slugs by slug in its primary key" in text_of(page)
    assert "articles : deletes" in text_of(page)
    assert "totals : reads (by trigger articles_after_delete_count), updates" in text_of(page)
    assert "inserts (by trigger articles_after_delete_search)" in text_of(page)
    assert sqlite(db, "SELECT count(*) FROM articles") == before
    with pytest.raises(running.Unusable, match="writes"):
        running.run(db, db.files["articles/delete"], {"slug": "x", "me": 1})


def test_every_reading_file_runs_with_what_its_form_proposes(village):
    found = set()
    for file in village.database.files.values():
        if not file.writes:
            answered = village.pages[f"/study/sql/{file.name}"].forms[0].submit("~run")
            assert "It answered in" in text_of(answered), (file.name, html_of(answered).select_one(".problem"))
            assert not [secret for secret in village.secrets if secret in answered.text]
            found |= {file.name} if html_of(answered).select("#result td") else set()

    articles = "articles/find articles/list articles/newest articles/search articles/feed articles/render tags/list"
    assert set(articles.split()) <= found
    assert {"comments/find", "comments/render", "profiles/render", "accounts/find", "stats/daily"} <= found


def test_the_result_stands_as_a_table_and_as_json(study):
    page = run(study, "profiles/render", username_key="ann", **{"me~null": "on"})

    response = html_of(page).select_one("#result td").get_text()
    assert json.loads(response)["profile"]["username"] == "ann"
    assert json.loads(html_of(page).select_one("#result pre").get_text()) == json.loads(response)


def test_a_request_is_shown_as_curl_that_works(study):
    page = study.get("/study/sql/articles/find")
    curl = html_of(page).find("pre", attrs={"aria-label": "GET /articles with curl"}).get_text()
    command, address = shlex.split(curl)

    assert command == "curl"
    answer = study.get(urlsplit(address).path + "?" + urlsplit(address).query)
    assert [article["title"] for article in answer.json["articles"]][-1] == "Rowing at dawn"
    shown = html_of(page).find("pre", attrs={"aria-label": "GET /articles with JavaScript"}).get_text()
    assert f'await fetch("{address}")' in shown


def test_a_request_with_a_body_is_shown_with_one_and_with_a_token(village):
    page = village.pages["/study/sql/articles/create"]
    curl = html_of(page).find("pre", attrs={"aria-label": "POST /articles with curl"}).get_text()
    words = shlex.split(curl)

    assert words[1:3] == ["-X", "POST"]
    assert "Authorization: Token $TOKEN" in words
    assert json.loads(words[-1])["article"].keys() >= {"title", "description", "body"}


def test_a_table_tells_what_its_constraints_answer_which_files_use_its_indexes_and_who_made_it(village):
    users = text_of(village.pages["/study/tables/users"])

    assert "UNIQUE (username_key) 409 username: has already been taken" in users
    assert "2 rows" in users
    assert "Made by 0001_users.sql , then 0011_roles.sql" in users
    assert "For sql/accounts/find.sql with a role" in users
    page = village.pages["/study/tables/comments"]
    index = html_of(page).find(id="comments_article_id_idx").find_parent("section")
    assert "comments/find" in [link.get_text() for link in index.find_all("a")]
    assert "article_id is the id of a row of articles ; when that goes: CASCADE" in text_of(page)
    key = html_of(village.pages["/study/tables/follows"]).find(id="sqlite_autoindex_follows_1")
    assert "profiles/render" in [link.get_text() for link in key.find_parent("section").find_all("a")]
    triggers = html_of(village.pages["/study/tables/favorites"]).find(id="favorites_after_insert_count")
    assert "UPDATE articles SET favorites_count" in triggers.find_parent("section").get_text()


def test_every_error_of_a_constraint_stands_on_the_page_of_its_table(village):
    shown = "".join(text_of(page) for path, page in village.pages.items() if path.startswith("/study/tables/"))

    for status, field, message in CONSTRAINTS.values():
        assert f"{status} {field}: {message}" in shown


def tables(db):
    return sqlite(db, "SELECT name FROM pragma_table_list WHERE type = 'table' AND schema = 'main' AND name NOT IN "
                      "('sqlite_schema', 'sqlite_sequence', 'schema_migrations')")  # fmt: skip


def test_the_schema_is_drawn_where_there_is_a_drawing(study, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "_DRAWING", tmp_path / "schema.svg")
    assert not html_of(study.get("/study/schema")).main.find("svg")

    (tmp_path / "schema.svg").write_text('<?xml version="1.0"?><svg><a xlink:href="/study/tables/users"/></svg>')
    drawing = html_of(study.get("/study/schema")).main.find("svg")

    assert drawing.a["href"] == "/study/tables/users"


ORM = {
    "measured": "500 articles, SQLAlchemy 9.9",
    "command": "python -m bench.orm_study",
    "files": {
        "articles/feed": {
            "question": "The newest articles by whom one follows",
            "python": "session.scalars(select(Article))",
            "statements": [{"sql": "SELECT articles.id FROM articles", "ms": 1.25}],
            "ms": 3.5,
            "ours": {"files": ["articles/feed", "articles/list"], "statements": 2, "ms": 0.5},
        }
    },
}


def test_beside_some_files_stands_what_an_orm_would_do(study, tmp_path, monkeypatch):
    measured = tmp_path / "orm.json"
    measured.write_text(json.dumps(ORM))
    monkeypatch.setattr(pages, "_ORM", measured)
    panel = text_of(study.get("/study/sql/articles/feed")).partition("What an ORM would do")[2]

    for shown in (
        "whom one follows",
        "500 articles, SQLAlchemy 9.9",
        "scalars",
        "ms",
        "FROM",
        "1.25 ms",
        "3.5",
    ):
        assert shown in panel
    assert "What an ORM would do" not in text_of(study.get("/study/sql/articles/newest"))


@pytest.mark.skipif(not (HOME / "study/orm.json").exists(), reason="study/orm.json is not there")
def test_what_was_measured_of_an_orm_is_shown(study):
    for name in json.loads((HOME / "study/orm.json").read_text())["files"]:
        assert "What an ORM would do" in text_of(study.get(f"/study/sql/{name}"))


# Who may see them, and what they never show or do


@pytest.mark.parametrize(
    ("peer", "host", "settings"),
    [
        ("192.0.2.1", "localhost", {}),
        (HERE, "rowboat.example.org", {}),
        (HERE, "localhost", {"trusted_proxy": HERE}),
        (HERE, "localhost", {"study": "off"}),
    ],
)
@pytest.mark.parametrize("path", ["/study", "/study/sql/articles/find", "/study/static/study.css", "/study/nothing"])
def test_outside_study_mode_there_are_no_pages(asks, peer, host, settings, path):
    api = asks(peer, host, **settings)

    answer = api.client.get(path, headers={"Host": host}, status=404)

    assert answer.json == {"errors": {"route": ["not found"]}}


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
def test_who_comes_through_a_proxy_finds_no_pages_unless_it_is_switched_on(asks, header):
    sent = {header: "for=192.0.2.60"}

    assert asks("127.0.0.1").client.get("/study", headers=sent, status=404)
    assert asks("203.0.113.7", study="on").client.get("/study", headers=sent, status=200)


@pytest.mark.parametrize("path", ["/study", "/study/sql/users/export?me=1&subjects=[]&~run=1", "/metrics"])
def test_a_page_from_elsewhere_reads_nothing_of_them(study, path):
    study.get(path, headers={"Origin": "https://pages.example.org"}, status=404)
    study.get(path, headers={"Origin": "null"}, status=404)


def test_nothing_of_them_is_loaded_before_somebody_asks(tmp_path):
    script = (
        "import sys; from pathlib import Path; from config import Config; from db import Database; import app;"
        "from db.migrations import migrate; path = Path(sys.argv[1]); migrate(path, Path('schema'));"
        "database = Database(path, Path('sql')); app.make_app(Config(), database); database.close();"
        "print({'pygments', 'study'} & {name.partition('.')[0] for name in sys.modules})"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "x.db"], cwd=HOME, capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"


def test_metrics_name_the_kind_of_page_alone(study):
    study.get("/study/sql/articles/find")
    study.get("/study/nothing-of-ann", status=404)

    counted = set(re.findall(r'route="(/study[^"]*)"', study.get("/metrics").text))

    assert counted == {"/study/sql/<resource>/<name>", "/study/<path:path>"}


def test_no_page_tells_a_secret(village):
    for path, answer in village.pages.items():
        for secret in village.secrets:
            assert secret not in answer.text, path


TRIED = {
    "email_key": "ann.hidden@example.org",
    "q": "ann",
    "me": "1",
    "user_id": "1",
    "id": "1",
    "page": "[1]",
    "limit": "100",
    "before": str(2**62),
    "now": "9",
    "expired": "",
    "token_hash": "e" * 64,
    "subjects": '["login", "registration", "reset"]',
    "limits": '[{"subject": "login"}]',
    "address": "203.0.113.7",
    "role": "member",
}


def test_no_file_tells_a_secret_whatever_it_is_asked(village):
    for file in village.database.files.values():
        if file.writes:
            continue
        sent = {name: TRIED.get(name, "1") for name in file.parameters}
        answered = run(village.client, file.name, **sent)
        assert "It answered in" in text_of(answered), file.name
        shown = html_of(answered).select_one("#result").get_text()
        assert not [secret for secret in village.secrets if secret in shown], file.name
        assert not [secret for secret in village.secrets if secret in answered.text and secret not in str(TRIED)]


ATTACKS = [
    "SELECT * FROM {table}",
    "SELECT {column} AS harmless FROM {table}",
    "SELECT t.{column} || '' FROM {table} AS t",
    "SELECT upper({column}) FROM {table}",
    "SELECT json_group_array(json_object('x', {column})) FROM {table}",
    "SELECT group_concat({column}) FROM {table}",
    "SELECT (SELECT {column} FROM {table} LIMIT 1)",
    "SELECT max({column}) OVER () FROM {table}",
    "SELECT hex({column}) FROM {table}",
    "WITH stolen AS (SELECT * FROM {table}) SELECT * FROM stolen",
    "WITH stolen (a) AS MATERIALIZED (SELECT {column} FROM {table}) SELECT a FROM stolen",
    "SELECT 1, {column} FROM {table} UNION ALL SELECT 2, NULL",
    "SELECT a.{column} FROM {table} AS a LEFT JOIN {table} AS b ON true",
    "SELECT {column} FROM (SELECT * FROM (SELECT * FROM {table}))",
    "SELECT value FROM {table}, json_each(json_array({table}.{column}))",
]


def test_no_select_reads_a_secret_on_the_connection_of_the_pages(village):
    db, secrets = village.database, village.secrets
    hidden = [
        (table, column)
        for (table,) in tables(db)
        for (column,) in sqlite(db, "SELECT name FROM pragma_table_info(?)", table)
        if running.is_hidden(table, column)
    ]
    assert len(hidden) >= 9
    with running.guarded(db, set()) as connection:
        for table, column in hidden:
            for attack in ATTACKS:
                found = connection.execute(attack.format(table=table, column=column)).fetchall()
                for secret in secrets:
                    encoded = secret.encode().hex().upper()
                    assert not [row for row in found if secret in str(row) or secret.upper() in str(row)], attack
                    assert encoded not in str(found)


@pytest.mark.parametrize(
    "guess",
    [
        "SELECT 1 FROM users WHERE email_key LIKE 'ann.%'",
        "SELECT 1 FROM users WHERE email_key >= 'a' AND email_key < 'b'",
        "SELECT 1 FROM users WHERE email IN ('Ann.Hidden@example.org')",
        "SELECT 1 FROM login_addresses WHERE address GLOB '203.*'",
        "SELECT 1 FROM attempts WHERE subject > 'login'",
        "SELECT 1 FROM users JOIN json_each('[\"ann.hidden@example.org\"]') AS guess ON guess.value = email_key",
        "SELECT 1 FROM sessions WHERE length(token_hash) = 64",
        "SELECT 1 FROM users GROUP BY 1 HAVING max(password_hash) LIKE '$argon2%'",
        "SELECT 1 FROM users WHERE password_hash IS NOT NULL",
    ],
)
def test_nobody_finds_a_secret_by_guessing_at_it(village, guess):
    assert sqlite(village.database, guess)
    with running.guarded(village.database, set()) as connection:
        assert connection.execute(guess).fetchall() == []


# Every column that the pages show. A new one is shown or hidden by its name (study/running.py): whoever adds it says
# here that it may be shown.
SHOWN = {
    "article_tags": "article_id position tag_id",
    "articles": "id author_id slug title description favorites_count created_at updated_at body",
    "attempts": "level counted_at_ms waits_until_ms",
    "audit": "id created_at actor_id action user_id object_id request_id",
    "audit_horizon": "id created_at",
    "comments": "id article_id author_id body created_at",
    "favorites": "user_id article_id created_at",
    "follows": "follower_id followed_id created_at",
    "login_addresses": "user_id used_at",
    "outbox": "id user_id created_at next_attempt_at attempts",
    "password_resets": "user_id created_at",
    "reserved_usernames": "",
    "sessions": "id user_id created_at last_used_at",
    "slugs": "slug article_id",
    "tags": "id name articles_count",
    "totals": "name total",
    "users": "id username username_key role suspended_at bio image articles_count favorites_count created_at "
    "updated_at",
}


def test_which_columns_are_shown_was_decided_for_each(db):
    shown = {
        table: " ".join(
            column
            for (column,) in sqlite(db, "SELECT name FROM pragma_table_info(?)", table)
            if not running.is_hidden(table, column)
        )
        for (table,) in tables(db)
    }

    assert shown == SHOWN, "tests/test_study.py, SHOWN: does the new column hold a secret or an address?"


@pytest.mark.parametrize(
    "column", ["backup_email", "phone", "api_key", "Password", "reset_token", "ip_address", "SECRET"]
)
def test_a_column_that_sounds_like_a_secret_is_hidden_in_any_table(column):
    assert running.is_hidden("bookmarks", column)


@pytest.mark.parametrize(
    "attack",
    [
        "DELETE FROM articles",
        "UPDATE users SET role = 'admin'",
        "INSERT INTO tags (name) VALUES ('x')",
        "INSERT INTO article_search (article_search) VALUES ('delete-all')",
        "CREATE TABLE boats (name)",
        "CREATE TEMP TABLE boats AS SELECT * FROM users",
        "DROP TABLE comments",
        "ATTACH ':memory:' AS other",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA trusted_schema = ON",
        "BEGIN IMMEDIATE",
        "VACUUM INTO '/tmp/stolen.db'",
        "REINDEX",
        "ANALYZE",
        "SELECT load_extension('x')",
    ],
)
def test_nothing_is_written_or_switched_on_the_connection_of_the_pages(study, db, attack):
    with running.guarded(db, set()) as connection:
        with pytest.raises(Exception, match=r"not authorized|prohibited|authorization denied"):
            connection.execute(attack).fetchall()
        assert connection.execute("SELECT count(*) FROM articles").fetchone() == (2,)


def test_what_takes_long_is_stopped(more):
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    endless = f"-- Counts for good.\n\n{numbers} SELECT max(i) FROM n;\n"

    page = run(more(count=endless), "boats/count")

    assert "It took more than 1 s, and was stopped" in text_of(page)
    assert "Goes through the rows of n" in text_of(page)


@pytest.mark.parametrize(
    "join", ["JOIN s USING (email)", "natural join s", "FULL JOIN s USING(email)", "NATURAL LEFT JOIN s"]
)
def test_a_join_that_the_authorizer_is_not_asked_about_is_not_run(more, join):
    sql = f"-- Steals.\n\nWITH s (email) AS (SELECT 'ann@example.org')\nSELECT id FROM users {join};\n"

    assert "write ON" in text_of(run(more(steal=sql), "boats/steal"))


def test_of_many_rows_the_first_hundred_are_shown(more):
    many = (
        "-- Many rows.\n\nWITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "SELECT i, printf('%1000d', i) AS wide FROM n;\n"
    )

    page = run(more(count=many), "boats/count")

    assert len(html_of(page).select("#result tbody tr")) == 100
    assert "The first 100 rows" in text_of(page)
    assert len(page.text) < 300_000


TYPES = """-- What it was told.
--
--   :whole  INTEGER         a number
--   :text   TEXT            a text
--   :maybe  INTEGER | NULL  a number, or nothing
--   :real   REAL            any number

SELECT typeof(:whole) AS a, typeof(:text) AS b, typeof(:maybe) AS c, typeof(:real) AS d, :text AS e;
"""


def test_parameters_have_the_types_of_the_header(more):
    boats = more(types=TYPES)
    page = run(boats, "boats/types", whole="7", text="7", maybe="", real="7", **{"maybe~null": "on"})

    assert [cell.get_text() for cell in html_of(page).select("#result td")] == ["integer", "text", "null", "real", "7"]
    given = run(boats, "boats/types", whole="7", text="7", maybe="7", real="7", **{"maybe~null": "on"})
    assert [cell.get_text() for cell in html_of(given).select("#result td")][2] == "integer"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"whole": "seven"}, ":whole is INTEGER, which 'seven' is not."),
        ({"whole": ""}, ":whole is INTEGER, which '' is not."),
        ({"whole": "1; DROP TABLE users"}, ":whole is INTEGER, which '1; DROP TABLE users' is not."),
        ({"whole": "9" * 30}, "too large"),
        ({"whole": "9" * 5000}, ":whole is INTEGER"),
        ({"maybe": "x"}, ":maybe is INTEGER | NULL, which 'x' is not."),
        ({"real": "--"}, ":real is REAL"),
    ],
)
def test_what_does_not_fit_a_type_is_told(more, wrong, message):
    page = run(more(types=TYPES), "boats/types", **{"whole": "7", "text": "7", "real": "7"} | wrong)

    assert message in html_of(page).select_one(".problem").get_text()
    assert not html_of(page).select_one("section#result")


def test_what_is_sent_stays_a_value(study, db):
    stolen = "x' UNION SELECT password_hash FROM users --"

    page = run(study, "profiles/render", username_key=stolen, **{"me~null": "on"})

    assert "No row." in text_of(page)
    assert "argon2" not in page.text
    assert "SQLite says" in text_of(run(study, "articles/search", words='"', limit="1", offset="0"))


def test_only_code_that_git_keeps_is_shown(study):
    git = shutil.which("git")
    if not git or not (HOME / ".git").exists():
        pytest.skip("needs a clone")
    tracked = subprocess.run([git, "ls-files"], cwd=HOME, capture_output=True, text=True, check=True).stdout.split()

    assert sources.readable().keys() <= set(tracked)


@pytest.mark.parametrize(
    "path",
    [
        "data/rowboat.db",
        "seed.json",
        "tests/conftest.py",
        "../../etc/passwd",
        "handlers/../data/rowboat.db",
        "/etc/passwd",
        "handlers",
        "schema/0001_users.sql",
        ".git/config",
    ],
)
def test_no_other_file_is_shown(study, path):
    assert "There is no such page" in study.get(f"/study/source/{path}", status=404).text
    assert "There is no such page" in study.get(f"/study/static/{path}", status=404).text


def test_a_database_with_nothing_in_it_has_pages_too(asks, db):
    client = asks(HERE).client

    for name in "articles/find", "articles/render", "comments/render", "stats/daily":
        assert client.get(f"/study/sql/{name}").forms[0].submit("~run").status_int == 200
    assert "0 rows" in text_of(client.get("/study/tables/articles"))
    assert "answered 200 OK" in text_of(client.get("/study/journey"))


def test_the_pages_leave_no_connection_behind(study, db):
    with closing(db.connect(query_only=True)):
        pass
    for _ in range(3):
        study.get("/study/sql/articles/find?~run=1&tag=rowing&before=9&limit=1&offset=0")

    assert len(db._readers) == 1


def test_a_request_of_the_pages_own_leaves_the_callers_as_it_is(study, db):
    sent = study.get("/study/journey?path=/api/tags", headers={"X-Request-Id": "the-callers"})

    assert sent.headers["X-Request-Id"] == "the-callers"
    assert html_of(sent).select_one("[aria-current]").get_text() == "One request"
    assert 'route="/study/journey"' in study.get("/metrics").text
    assert sent.status_int == 200
    assert Api(study).tags() == ["rowing", "morning"]
