"""/study: the pages on which users read, run and understand the SQL of routes, and what they never show or do."""

import ast
import itertools
import json
import re
import shlex
import shutil
from contextlib import closing
from urllib.parse import urlencode, urlsplit

import pytest
from webtest import TestApp

import app
import db.database as db_module
from config import Config
from db import Database
from db.statements import load
from handlers import sql_behind
from study import pages, plans, routes, running, sources
from tests.clock import ManualClock
from tests.conftest import HOME, PASSWORD, Api, sqlite

HERE = "127.0.0.1"
TOKEN = "a-token-for-prometheus"
MARKUP = "<script>alert('boat')</script>"


@pytest.fixture
def study(asks):
    """A browser on this machine; ann has published two articles."""
    api = asks(HERE, study="on", metrics_token=TOKEN)
    ann = api.someone("ann")
    dawn = ann.writes("Rowing at dawn", "rowing", "morning")
    ann.writes(f"Dusk {MARKUP}", "rowing")
    ann.says(dawn, MARKUP)
    return api.client


@pytest.fixture
def with_file(study, db, tmp_path, monkeypatch):
    """The same browser, once there is a file sql/boats/ask.sql with this text."""

    def add(text):
        (tmp_path / "sql/boats").mkdir(parents=True)
        (tmp_path / "sql/boats/ask.sql").write_text(text)
        with closing(db.connect(query_only=True)) as connection:
            monkeypatch.setattr(db, "files", db.files | load(tmp_path / "sql", connection))
        return study

    return add


def run(client, name, **fields):
    """The page of a SQL file after a click on Run, with these fields."""
    return client.get(f"/study/sql/{name}?{urlencode(fields | {'~run': 1})}")


def html_of(page):
    """The parsed page. WebTest would parse it again each time."""
    if not hasattr(page, "parsed"):
        page.parsed = page.html
    return page.parsed


def text_of(page):
    return " ".join(html_of(page).get_text(" ").split())


def result_of(page):
    return [cell.get_text() for cell in html_of(page).select("#result td")]


class Village:
    """A database in which much has happened, a browser, and what no page may show."""

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
        api.post("/users/login", {"user": user}, headers={"User-Agent": "A telling browser"})
        api.post("/users/login", {"user": user | {"password": "wrong horse"}}, status=401)
        api.post("/users/password-reset", {"user": {"email": ann.email}})
        database.write("resets/create", user_id=1, token_hash="e" * 64, now=database.clock.now())
        hashes = sqlite(database, "SELECT password_hash FROM users UNION SELECT token_hash FROM sessions")
        subjects = sqlite(database, "SELECT subject FROM attempts")
        assert len(hashes) == 5
        assert len(subjects) >= 3
        self.secrets = ["Ann.Hidden", "ann.hidden", "203.0.113.7", "A telling browser", "e" * 64]
        self.secrets += [value for (value,) in hashes + subjects]

    def secrets_in(self, text):
        return [secret for secret in self.secrets if secret in text]


@pytest.fixture(scope="module")
def village(migrated, sql_files, tmp_path_factory):
    path = tmp_path_factory.mktemp("village") / "rowboat.db"
    shutil.copy(migrated, path)
    with pytest.MonkeyPatch.context() as patch:
        if db_module.load is load:  # tests/mutate_sql.py puts its own there
            patch.setattr(db_module, "load", lambda folder, connection: sql_files)
        database = Database(path, HOME / "sql", clock=ManualClock())
    with closing(database):
        yield Village(database)


# Reading


def test_from_a_listing_to_its_sql_its_result_its_plan_and_the_script_of_its_index(study):
    index = study.get("/study")
    listing = next(item for item in html_of(index).select(".routes > li") if "/api/articles?tag=…" in item.get_text())
    assert "articles/find otherwise" in " ".join(listing.get_text(" ").split())

    file = index.click("^articles/find$", index=0)
    form = file.forms[0]
    assert form["tag"].value == "rowing"
    assert html_of(file).select_one("pre.numbered #L-1").get_text().startswith("-- ")
    form["limit"] = "1"
    answered = form.submit("~run")
    assert re.search(r"It answered in \d+\.\d\d ms", text_of(answered))
    assert result_of(answered)[:2] == ["[2]", "2"]
    assert "Looks up article_tags by tag_id in the unique index (tag_id, article_id)." in text_of(answered)

    table = answered.click(r"^article_tags \(tag_id, article_id\)$", index=0)
    assert "For sql/articles/find.sql with a tag: the articles of a tag, in order of id." in text_of(table)
    script = table.click(r"^0005_tags\.sql$", index=0)
    assert "UNIQUE (tag_id, article_id)" in html_of(script).pre.get_text()


def test_a_journey_shows_the_files_that_a_get_runs_and_their_times(study):
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


def test_a_journey_links_to_each_file_with_the_values_it_ran_with(study):
    journey = study.get("/study/journey?path=/api/articles%3Ftag=morning%26author=ann")

    file = journey.click("^articles/find$", index=1)

    assert (file.forms[0]["tag"].value, file.forms[0]["author"].value) == ("morning", "ann")
    assert "1" in result_of(file)


def test_a_journey_links_to_the_lines_of_the_code(study):
    steps = html_of(study.get("/study/journey")).select("a.source")

    assert len(steps) > 20
    passed = "worker.py middleware.py cache.py plugins/errors.py handlers/articles.py db/database.py"
    assert {*passed.split()} <= {step.get_text().partition(":")[0] for step in steps}
    for step in steps:
        file, line = step.get_text().split(":")
        name = step.find_next("code").get_text().rpartition(".")[2]
        lines = (HOME / file).read_text().splitlines()
        assert re.search(rf"\b(def|class) {name}\b", "\n".join(lines[int(line) - 1 : int(line) + 2])), step.get_text()
        assert step["href"] == f"/study/source/{file}#L-{line}"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/user", 401),
        ("/api/nothing", 404),
        ("/api/articles/%25FF", 400),
        ("/api/articles%3Flimit=no", 422),
        ("/api/articles%3Ftag=%E2%9C%93", 200),
    ],
)
def test_a_journey_shows_responses_of_every_status(study, path, status):
    assert f"answered {status}" in text_of(study.get(f"/study/journey?path={path}"))


@pytest.mark.parametrize(
    "path", ["/study/journey", "/metrics", "/readyz", "http://example.org/", "//example.org/api/", "x"]
)
def test_a_journey_goes_through_the_api_only(study, path):
    page = study.get(f"/study/journey?{urlencode({'path': path})}")

    assert "A path begins with /api" in text_of(page)
    assert not html_of(page).select("a.source")


def test_the_request_of_a_journey_does_not_disturb_the_callers(study):
    sent = study.get("/study/journey?path=/api/tags", headers={"X-Request-Id": "the-callers"})

    assert sent.headers["X-Request-Id"] == "the-callers"
    assert html_of(sent).select_one("[aria-current]").get_text() == "One request"
    assert 'route="/study/journey"' in study.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert Api(study).tags() == ["rowing", "morning"]


def test_user_content_is_escaped(study):
    listing = run(study, "articles/list", page="[2, 1]", total="2", most_bytes="100000", **{"me~null": "on"})
    comments = run(study, "comments/render", page="[1]", **{"me~null": "on"})
    sent = run(study, "articles/search", words=MARKUP, limit="1", offset="0")

    for answer in listing, comments, sent:
        assert MARKUP not in answer.text
        assert MARKUP.removeprefix("<script>").removesuffix("</script>") in text_of(answer) + answer.forms[0].text
        assert not html_of(answer).find_all("script")


@pytest.mark.parametrize(
    "path",
    [
        *"nothing sql/articles sql/articles/nothing tables/nothing tables/articles_author_id_idx".split(),
        *["tables/sqlite_schema", "schema/0099_nothing", "static/nothing.css", MARKUP],
    ],
)
def test_an_unknown_page_is_a_404_with_a_link_back(study, path):
    answer = study.get(f"/study/{path}", status=404)

    assert answer.content_type == "text/html"
    assert answer.click("Back to all routes").status_int == 200
    assert MARKUP not in answer.text


# What the pages say is true


def test_a_route_lists_the_files_its_handler_runs(db):
    for route in app.routes():
        found = routes.files_of(route, db.files)
        always = {"sessions/find"} if "auth" in route[3] else set()
        assert found.keys() == set(sql_behind(route[2], db.files)) | always, route


def test_a_route_says_under_which_condition_a_file_runs(db):
    by_address = {route[:2]: route for route in app.routes()}

    assert routes.files_of(by_address["GET", "/articles"], db.files) == {
        "sessions/find": "with a token",
        "articles/search": "if query.q is not None",
        "articles/newest": "if query.tag is query.author is query.favorited is None",
        "articles/find": "otherwise",
        "articles/list": "",
    }


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
        ("WITH n (i) AS (SELECT 1 UNION SELECT 2) SELECT max(i) FROM n", "Goes through the rows of n"),
    ],
)
def test_a_plan_is_explained_in_plain_words(with_file, sql, sentence):
    page = with_file(f"-- What it asks.\n\n{sql};\n").get("/study/sql/boats/ask")

    assert sentence in text_of(page)


def test_a_writing_file_is_explained_and_never_run(study, db):
    page = run(study, "articles/delete", slug="rowing-at-dawn", me="1")

    assert "This file writes" not in text_of(page)
    assert not html_of(page).select_one("form.run")
    assert "Looks up slugs by slug in its primary key" in text_of(page)
    assert "articles : deletes" in text_of(page)
    assert "totals : reads (by trigger articles_after_delete_count), updates" in text_of(page)
    assert "deletes (by trigger articles_after_delete_search)" in text_of(page)
    assert sqlite(db, "SELECT count(*) FROM articles") == [(2,)]
    with pytest.raises(running.Unusable, match="writes"):
        running.run(db, db.files["articles/delete"], {"slug": "x", "me": 1})


def test_a_result_is_shown_as_a_table_and_as_json(study):
    page = run(study, "profiles/render", username_key="ann", **{"me~null": "on"})

    (response,) = result_of(page)
    assert json.loads(response)["profile"]["username"] == "ann"
    assert json.loads(html_of(page).select_one("#result pre").get_text()) == json.loads(response)


def test_a_request_is_shown_as_curl_and_javascript_that_work(study):
    page = html_of(study.get("/study/sql/articles/find"))
    command, address = shlex.split(page.find("pre", attrs={"aria-label": "GET /articles with curl"}).get_text())
    assert command == "curl"
    answer = study.get(urlsplit(address).path + "?" + urlsplit(address).query)
    assert [article["title"] for article in answer.json["articles"]][-1] == "Rowing at dawn"
    shown = page.find("pre", attrs={"aria-label": "GET /articles with JavaScript"}).get_text()
    assert f'await fetch("{address}")' in shown

    page = html_of(study.get("/study/sql/articles/create"))
    words = shlex.split(page.find("pre", attrs={"aria-label": "POST /articles with curl"}).get_text())
    assert words[1:3] == ["-X", "POST"]
    assert "Authorization: Token $TOKEN" in words
    assert json.loads(words[-1])["article"].keys() >= {"title", "description", "body"}


def test_a_table_shows_its_errors_its_indexes_with_their_files_its_triggers_and_its_scripts(village):
    users = text_of(village.client.get("/study/tables/users"))
    comments = village.client.get("/study/tables/comments")

    def section(page, name):
        return html_of(page).find(id=name).find_parent("section")

    assert "UNIQUE (username_key) 409 username: has already been taken" in users
    assert "2 rows" in users
    assert "Made by 0001_users.sql , then 0011_roles.sql" in users
    assert "For sql/accounts/find.sql with a role" in users
    index = section(comments, "comments_article_id_idx")
    assert "comments/find" in [link.get_text() for link in index.find_all("a")]
    assert "article_id is the id of a row of articles ; when that goes: CASCADE" in text_of(comments)
    key = section(village.client.get("/study/tables/follows"), "sqlite_autoindex_follows_1")
    assert "profiles/render" in [link.get_text() for link in key.find_all("a")]
    trigger = section(village.client.get("/study/tables/favorites"), "favorites_after_insert_count")
    assert "UPDATE articles SET favorites_count" in trigger.get_text()


def test_the_schema_page_shows_the_drawing_if_there_is_one(study, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "_DRAWING", tmp_path / "schema.svg")
    assert not html_of(study.get("/study/schema")).main.find("svg")

    (tmp_path / "schema.svg").write_text('<?xml version="1.0"?><svg><a xlink:href="/study/tables/users"/></svg>')
    drawing = html_of(study.get("/study/schema")).main.find("svg")

    assert drawing.a["href"] == "/study/tables/users"


def test_the_code_and_times_of_an_orm_are_shown_beside_measured_files(study, tmp_path, monkeypatch):
    asked = {
        "question": "The newest articles by whom one follows",
        "python": "session.scalars(select(Article))",
        "statements": [{"sql": "SELECT articles.id FROM articles", "ms": 1.25}],
        "ms": 3.5,
        "ours": {"files": ["articles/feed", "articles/list"], "statements": 2, "ms": 0.5},
    }
    measured = {"measured": "500 articles, SQLAlchemy 9.9", "command": "…", "files": {"articles/feed": asked}}
    (tmp_path / "orm.json").write_text(json.dumps(measured))
    monkeypatch.setattr(pages, "_ORM", tmp_path / "orm.json")

    panel = text_of(study.get("/study/sql/articles/feed")).partition("What an ORM would do")[2]

    for shown in "whom one follows", "500 articles, SQLAlchemy 9.9", "scalars", "ms", "FROM", "1.25 ms", "3.5":
        assert shown in panel
    assert "What an ORM would do" not in text_of(study.get("/study/sql/articles/newest"))


# Who may see the pages, and what they never show or do


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
    answer = asks(peer, host, **settings).client.get(path, headers={"Host": host}, status=404)

    assert answer.json == {"errors": {"route": ["not found"]}}


@pytest.mark.parametrize("origin", ["https://pages.example.org", "null"])
@pytest.mark.parametrize("path", ["/study", "/study/sql/export/account?me=1&~run=1"])
def test_pages_of_other_origins_cannot_read_the_pages(study, path, origin):
    study.get(path, headers={"Origin": origin}, status=404)


def test_no_other_module_loads_the_pages_or_pygments_at_import():
    loaded = set()
    for path in [
        *HOME.glob("*.py"),
        *(path for room in ("db", "handlers", "plugins") for path in HOME.glob(f"{room}/*")),
    ]:
        for node in ast.parse(path.read_text()).body if path.suffix == ".py" else []:
            names = [alias.name for alias in getattr(node, "names", [])]
            loaded |= {name.partition(".")[0] for name in [getattr(node, "module", None) or "", *names]}

    assert {"bottle", "handlers"} <= loaded
    assert not {"pygments", "study"} & loaded


def test_metrics_name_only_the_kind_of_page(study):
    study.get("/study/sql/articles/find")
    study.get("/study/nothing-of-ann", status=404)

    counted = set(
        re.findall(r'route="(/study[^"]*)"', study.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text)
    )

    assert counted == {"/study/sql/<resource>/<name>", "/study/<path:path>"}


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


def columns_of(db):
    """The columns of each table of ours."""
    found = sqlite(
        db,
        "SELECT tables.name, columns.name FROM pragma_table_list AS tables, pragma_table_info(tables.name) AS columns "
        "WHERE tables.type = 'table' AND tables.schema = 'main' "
        "AND tables.name NOT IN ('sqlite_schema', 'sqlite_sequence', 'schema_migrations')",
    )
    return {table: [column for each, column in found if each == table] for table, _ in found}


def test_no_select_returns_a_secret(village):
    tables = columns_of(village.database)
    hidden = [(table, name) for table in tables for name in tables[table] if running.is_hidden(table, name)]

    assert len(hidden) >= 9
    with running.guarded(village.database, set()) as connection:
        for (table, column), attack in itertools.product(hidden, ATTACKS):
            found = str(connection.execute(attack.format(table=table, column=column)).fetchall())
            for secret in village.secrets:
                for form in secret, secret.upper(), secret.encode().hex().upper():
                    assert form not in found, attack


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
def test_no_condition_confirms_a_guess_at_a_secret(village, guess):
    assert sqlite(village.database, guess)
    with running.guarded(village.database, set()) as connection:
        assert connection.execute(guess).fetchall() == []


# Every column that the pages show. study/running.py hides a column by its name; decide here for each new one.
SHOWN = {
    "article_tags": "article_id position tag_id",
    "articles": "id author_id slug title description favorites_count created_at updated_at body",
    "attempts": "level counted_at_ms waits_until_ms",
    "audit": "id created_at actor_id action user_id object_id request_id",
    "audit_horizon": "id created_at",
    "closed_accounts": "user_id",
    "comments": "id article_id author_id body created_at",
    "favorites": "user_id article_id created_at",
    "follows": "follower_id followed_id created_at",
    "hidden_authors": "user_id",
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


def test_each_column_is_listed_as_shown_or_hidden_by_its_name(db):
    shown = {
        table: " ".join(column for column in columns if not running.is_hidden(table, column))
        for table, columns in columns_of(db).items()
    }

    assert shown == SHOWN, "tests/test_study.py, SHOWN: does the new column hold a secret or an address?"
    sounds_secret = "backup_email phone api_key Password reset_token ip_address SECRET"
    assert all(running.is_hidden("bookmarks", column) for column in sounds_secret.split())


WRITES = """
DELETE FROM articles; UPDATE users SET role = 'admin'; INSERT INTO tags (name) VALUES ('x');
INSERT INTO article_search (article_search) VALUES ('optimize'); CREATE TABLE boats (name);
CREATE TEMP TABLE boats AS SELECT * FROM users; DROP TABLE comments; ATTACH ':memory:' AS other;
PRAGMA query_only = OFF; PRAGMA writable_schema = ON; PRAGMA trusted_schema = ON; BEGIN IMMEDIATE;
VACUUM INTO '/tmp/stolen.db'; REINDEX; ANALYZE; SELECT load_extension('x')
"""


@pytest.mark.parametrize("attack", [attack.strip() for attack in WRITES.split(";")])
def test_the_connection_of_the_pages_refuses_writes_and_settings(db, attack):
    with (
        running.guarded(db, set()) as connection,
        pytest.raises(Exception, match=r"not authorized|prohibited|authorization denied"),
    ):
        connection.execute(attack).fetchall()


def test_a_file_that_takes_long_is_stopped(with_file, clock, monkeypatch):
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    browser = with_file(f"-- Counts for good.\n\n{numbers} SELECT max(i) FROM n;\n")
    monkeypatch.setattr(clock, "monotonic", itertools.count(step=0.1).__next__)  # it goes on whenever it is looked at

    page = run(browser, "boats/ask")

    assert "It took more than 1 s, and was stopped" in text_of(page)


@pytest.mark.parametrize(
    "join", ["JOIN s USING (email)", "natural join s", "FULL JOIN s USING(email)", "NATURAL LEFT JOIN s"]
)
def test_a_join_that_the_authorizer_does_not_see_is_not_run(with_file, join):
    sql = f"-- Steals.\n\nWITH s (email) AS (SELECT 'ann@example.org')\nSELECT id FROM users {join};\n"

    assert "write ON" in text_of(run(with_file(sql), "boats/ask"))


def test_at_most_a_hundred_rows_are_shown(with_file):
    many = (
        "-- Many rows.\n\nWITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "SELECT i, printf('%1000d', i) AS wide FROM n;\n"
    )

    page = run(with_file(many), "boats/ask")

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


@pytest.mark.parametrize(
    ("maybe", "kind"), [({"maybe": "", "maybe~null": "on"}, "null"), ({"maybe": "7", "maybe~null": "on"}, "integer")]
)
def test_parameters_have_the_types_of_the_header(with_file, maybe, kind):
    page = run(with_file(TYPES), "boats/ask", whole="7", text="7", real="7", **maybe)

    assert result_of(page) == ["integer", "text", kind, "real", "7"]


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
        ({"text": "x" * 2001}, ":text is longer than 2,000 characters."),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_and_stays_in_the_form(with_file, wrong, message):
    page = run(with_file(TYPES), "boats/ask", **{"whole": "7", "text": "7", "real": "7"} | wrong)

    assert message in html_of(page).select_one(".problem[role=alert]").get_text()
    assert not html_of(page).select_one("section#result")
    ((name, value),) = wrong.items()
    assert page.forms[0][name].value == value


def test_parameters_are_bound_as_values(study):
    stolen = "x' UNION SELECT password_hash FROM users --"

    page = run(study, "profiles/render", username_key=stolen, **{"me~null": "on"})

    assert "No row." in text_of(page)
    assert "argon2" not in page.text
    assert "SQLite says" in text_of(run(study, "articles/search", words='"', limit="1", offset="0"))


@pytest.mark.parametrize(
    "path",
    [
        *"data/rowboat.db seed.json tests/conftest.py handlers schema/0001_users.sql .git/config etc/passwd".split(),
        *["../../etc/passwd", "handlers/../data/rowboat.db"],
    ],
)
def test_only_code_of_requests_is_shown(study, path):
    assert {name.partition("/")[0] for name in sources.readable() if "/" in name} == {"db", "handlers", "plugins"}
    assert all(name.endswith(".py") for name in sources.readable())
    assert "There is no such page" in study.get(f"/study/source/{path}", status=404).text
    assert "There is no such page" in study.get(f"/study/static/{path}", status=404).text


def test_an_empty_database_has_pages_too(asks):
    client = asks(HERE, study="on").client

    for name in "articles/find", "articles/render", "comments/render", "stats/daily":
        assert client.get(f"/study/sql/{name}").forms[0].submit("~run").status_int == 200
    assert "0 rows" in text_of(client.get("/study/tables/articles"))
    assert "answered 200 OK" in text_of(client.get("/study/journey"))


def test_the_pages_leave_no_connection_behind(study, db):
    for _ in range(3):
        study.get("/study/sql/articles/find?~run=1&tag=rowing&before=9&limit=1&offset=0")

    assert len(db._readers) == 1
