"""Access control: every route with every caller, and attacks by OWASP's API Security Top 10 (2023)."""

import itertools
import json
import random
import re
import sqlite3
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from webtest import TestApp, TestResponse

import app
from config import Config
from db import Database
from handlers import sql_behind
from passwords import digest
from plugins.validation import MAX_BODY_BYTES
from tests.conftest import HOME, JSON, PASSWORD, Api, sqlite
from tests.described import document
from tests.soak import TIMES

ROUTES = {(method, path): options for method, path, _, options in app.routes()}
WRITES = [route for route in ROUTES if route[0] != "GET"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROXY", "ANY"]

# Nobody is anonymous, gone's session has expired, sue is suspended, bob is another member, mod a moderator, root an
# admin. What a path names is ann's: her article, her comment on it, her other session, her account.
CALLERS = ["nobody", "gone", "sue", "ann", "bob", "mod", "root"]

# The status that each caller gets, with a valid body.
MATRIX = {
    #                                       nobody, gone, sue, ann, bob, mod, root
    ("POST", "/users"): (201, 201, 201, 201, 201, 201, 201),
    ("POST", "/users/login"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", "/user"): (401, 401, 401, 200, 200, 200, 200),
    ("PUT", "/user"): (401, 401, 401, 200, 200, 200, 200),
    ("GET", "/user/sessions"): (401, 401, 401, 200, 200, 200, 200),
    ("DELETE", "/user/sessions"): (401, 401, 401, 204, 204, 204, 204),
    ("DELETE", "/user/sessions/current"): (401, 401, 401, 204, 204, 204, 204),
    ("DELETE", "/user/sessions/<id>"): (401, 401, 401, 204, 404, 404, 404),
    ("POST", "/users/password-reset"): (202, 202, 202, 202, 202, 202, 202),
    ("PUT", "/users/password-reset"): (204, 204, 204, 204, 204, 204, 204),
    ("GET", "/user/export"): (401, 401, 401, 200, 200, 200, 200),
    ("DELETE", "/user"): (401, 401, 401, 204, 204, 204, 409),
    ("POST", "/user/deletion"): (401, 401, 401, 204, 204, 204, 409),
    ("GET", "/profiles/<username>"): (200, 200, 200, 200, 200, 200, 200),
    ("POST", "/profiles/<username>/follow"): (401, 401, 401, 200, 200, 200, 200),
    ("DELETE", "/profiles/<username>/follow"): (401, 401, 401, 200, 200, 200, 200),
    ("GET", "/articles"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", "/articles/feed"): (401, 401, 401, 200, 200, 200, 200),
    ("POST", "/articles"): (401, 401, 401, 201, 201, 201, 201),
    ("GET", "/articles/<slug>"): (200, 200, 200, 200, 200, 200, 200),
    ("PUT", "/articles/<slug>"): (401, 401, 401, 200, 403, 403, 403),
    ("DELETE", "/articles/<slug>"): (401, 401, 401, 204, 403, 204, 204),
    ("POST", "/articles/<slug>/favorite"): (401, 401, 401, 200, 200, 200, 200),
    ("DELETE", "/articles/<slug>/favorite"): (401, 401, 401, 200, 200, 200, 200),
    ("GET", "/articles/<slug>/comments"): (200, 200, 200, 200, 200, 200, 200),
    ("POST", "/articles/<slug>/comments"): (401, 401, 401, 201, 201, 201, 201),
    ("DELETE", "/articles/<slug>/comments/<id>"): (401, 401, 401, 204, 403, 204, 204),
    ("GET", "/tags"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", "/admin/users"): (401, 401, 401, 403, 403, 200, 200),
    ("PATCH", "/admin/users/<username>"): (401, 401, 401, 403, 403, 200, 200),
    ("GET", "/admin/audit"): (401, 401, 401, 403, 403, 403, 200),
    ("GET", "/admin/stats"): (401, 401, 401, 403, 403, 403, 200),
}

BODIES = {
    ("POST", "/users"): {"user": {"username": "eve", "email": "eve@example.org", "password": PASSWORD}},
    ("POST", "/users/login"): {"user": {"email": "ann@example.org", "password": PASSWORD}},
    ("PUT", "/user"): {"user": {"bio": "Rows at dawn"}},
    ("DELETE", "/user"): {"user": {"password": PASSWORD, "content": "delete"}},
    ("POST", "/user/deletion"): {"user": {"password": PASSWORD, "content": "delete"}},
    ("POST", "/users/password-reset"): {"user": {"email": "ann@example.org"}},
    ("PUT", "/users/password-reset"): {"user": {"token": "ann's reset token", "password": "another horse"}},
    ("POST", "/articles"): {"article": {"title": "Dusk", "description": "About it", "body": "The text"}},
    ("PUT", "/articles/<slug>"): {"article": {"body": "Another text"}},
    ("POST", "/articles/<slug>/comments"): {"comment": {"body": "Well said"}},
    ("PATCH", "/admin/users/<username>"): {"user": {"suspended": True}},
}

# Each claims to be another client, host, path or method.
SPOOFS = {
    **dict.fromkeys(["X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP"], "127.0.0.1"),
    **dict.fromkeys(["X-Forwarded-User", "X-Remote-User", "Remote-User"], "root"),
    **dict.fromkeys(["X-Original-URL", "X-Rewrite-URL"], "/api/v1/admin/users"),
    **dict.fromkeys(["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"], "DELETE"),
    **dict.fromkeys(["X-Forwarded-Prefix", "X-Script-Name"], "/api/v1/admin"),
    "X-Forwarded-Host": "localhost",
    "X-Forwarded-Proto": "https",
    "Forwarded": "for=127.0.0.1;host=localhost;proto=https",
    "X-User-Id": "1",
}


class World(NamedTuple):
    """The callers by name, and what the parameters of a path stand for."""

    callers: dict[str, Any]
    names: dict[str, list[Any]]

    def addresses(self, path: str, **names: list[Any]) -> Iterator[str]:
        """The path of a route with each of its parameters replaced by each of the names."""
        parameters = re.findall("<([a-z]+)>", path)
        known = self.names | {"id": self.names["session" if "sessions" in path else "comment"]} | names
        for values in itertools.product(*(known[parameter] for parameter in parameters)):
            filled = path
            for parameter, value in zip(parameters, values, strict=True):
                filled = filled.replace(f"<{parameter}>", quote(str(value)))
            yield filled

    def sends(self, who: str, method: str, address: str, body: Any = None, **headers: str) -> TestResponse:
        """Any response, to any path."""
        caller = self.callers[who]
        sent, headers = json.dumps(body or {}).encode(), caller.headers | JSON | headers
        return caller.client.request(address, method=method, body=sent, headers=headers, status="*")


@pytest.fixture
def world(api, db, clock, promote):
    api.client.lint = False  # it refuses methods that a server accepts
    ann, gone = api.someone("ann"), api.someone("gone")
    clock.advance(days=30, minutes=1)
    ann = api.logs_in(ann.email)
    bob, sue, mod, root = (api.someone(name) for name in ("bob", "sue", "mod", "root"))
    promote(root, "admin").suspends("sue")
    promote(mod, "moderator")
    slug, other = ann.writes("Dawn", "boats"), bob.writes("Night", "boats")
    comment = ann.says(slug, "It was")["id"]
    ann.likes(mod.writes("Noon"))
    ann.follows("mod")
    api.logs_in(ann.email)
    [(session,)] = sqlite(db, "SELECT max(id) FROM sessions WHERE user_id = 1")
    db.write("resets/create", user_id=1, token_hash=digest("ann's reset token"), now=clock.now())
    names = {"username": ["ann", "ANN", "ａｎｎ"], "slug": [slug, other], "comment": [comment], "session": [session]}
    people = {"nobody": api, "gone": gone, "sue": sue, "ann": ann, "bob": bob, "mod": mod, "root": root}
    return World(people, names)


@pytest.fixture
def undo(world, db, tmp_path):
    """Restore the database as it was when the test began."""
    kept = tmp_path / "kept.db"
    sqlite(db, "VACUUM INTO ?", str(kept))

    def restore() -> None:
        with closing(sqlite3.connect(kept)) as source, closing(sqlite3.connect(db.path)) as target:
            target.execute("PRAGMA synchronous = OFF")  # hundreds of times
            source.backup(target)

    return restore


def rows_of(connection: sqlite3.Connection, table: str, where: str = "true", without: str = "-") -> list[Any]:
    names = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    columns = ", ".join(name for name in names if not name.endswith(without))
    return sorted(connection.execute(f"SELECT {columns} FROM {table} WHERE {where}"), key=repr)


def tables_of(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]


def test_the_matrix_has_all_routes():
    assert list(ROUTES) == list(MATRIX)


@pytest.mark.parametrize("caller", CALLERS)
def test_every_route_answers_each_caller_as_the_matrix_says(world, undo, caller):
    statuses = {}
    for method, path in ROUTES:
        response = world.sends(caller, method, f"/api/v1{next(world.addresses(path))}", BODIES.get((method, path)))
        statuses[method, path] = response.status_int
        if method != "GET":
            undo()

    assert statuses == {route: row[CALLERS.index(caller)] for route, row in MATRIX.items()}


def test_every_write_checks_the_caller_in_its_transaction_first(db):
    guards = ["users/must_be_active", "sessions/must_be_open"]

    for method, path, handler, options in app.routes():
        files = [name for name in sql_behind(handler, db.files) if not name.startswith("attempts/")]
        writing = [name for name in files if db.files[name].writes]
        if "auth" in options and writing and path != "/user/sessions/current":  # an ended session may be ended again
            guard = next((name for name in files if name in guards), "no guard")
            assert guard in files[: files.index(writing[0])], f"{method} {path} runs {guard} before {writing[0]}"


# API1, API5: objects of others, by every route that names them


def without_secrets(body: Any) -> Any:
    """The body of a caller who knows neither the password nor the reset token."""
    text = json.dumps(body).replace(PASSWORD, "not her password")
    return json.loads(re.sub('"token": "[^"]*"', '"token": "guessed"', text))


def rows_of_ann(db: Database) -> dict[str, Any]:
    """The rows of all tables that belong to ann, without counters: others may like her article."""
    with closing(sqlite3.connect(db.path)) as connection:
        rows: dict[str, Any] = {"users": rows_of(connection, "users", "id = 1", "_count")}
        for table in tables_of(connection):
            refers = {row[3]: row[2] for row in connection.execute(f"PRAGMA foreign_key_list({table})")}
            owner = next((column for column in ("follower_id", *refers) if refers.get(column) == "users"), None)
            if owner:
                rows[table] = rows_of(connection, table, f"{owner} = 1", "_count")
            elif "articles" in refers.values():
                hers = "article_id IN (SELECT id FROM articles WHERE author_id = 1)"
                rows[table] = rows_of(connection, table, hers, "_count")
        return rows


@pytest.mark.parametrize("attacker", ["bob", "sue", "gone", "nobody"])
def test_no_request_of_another_caller_changes_anything_of_ann(world, db, undo, attacker):
    before = rows_of_ann(db)
    assert {"users", "sessions", "articles", "comments", "favorites", "follows", "slugs", "article_tags"} <= {
        table for table, rows in before.items() if rows
    }

    for path in dict.fromkeys(path for _, path in ROUTES):
        bodies = [body for (_, of), body in BODIES.items() if of == path] or [{}]
        for method, address, body in itertools.product(METHODS, world.addresses(path), bodies):
            for prefix in app.PREFIXES:
                response = world.sends(attacker, method, prefix + address, without_secrets(body))
                assert response.status_int < 500
                if response.status_int < 300 and method not in ("GET", "HEAD"):
                    assert rows_of_ann(db) == before, f"{method} {address}"
                    undo()  # otherwise bob is logged out, or deleted, at the next request
        assert rows_of_ann(db) == before, path


def test_an_id_in_any_other_spelling_is_not_found(world, db):
    before = rows_of_ann(db)
    spellings = (
        "0{} +{} -{} {}.0 {}e0 0x{} %20{} {}%20 {}%0A {}%00 {};x {},{} %EF%BC%91 %D9%A1 [{}] {}%2F '{}' {}%20OR%201=1"
    )

    for method, path in WRITES:
        if "<id>" in path:
            for spelling, number in itertools.product(spellings.split(), range(1, 12)):
                address = next(world.addresses(path, id=["ID"])).replace("ID", spelling.format(number, number))
                world.callers["ann"].call(method, address, status=400 if "%00" in spelling else 404)
    assert rows_of_ann(db) == before


# API3, API8: fields, headers and methods that the contract does not name


@pytest.fixture
def effect(world, db, undo):
    """A request's response and the whole database after it, without what is random."""

    def without_chance(text: str) -> str:
        text = re.sub(r"\$argon2id\$[^'\"]+|[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])|[0-9a-f]{32}", "CHANCE", text)
        return re.sub(r"(dawn|dusk|a-title)-[a-z2-9]{8}", r"\1-CHANCE", text)

    def of(method: str, path: str, body: Any, query: str = "", who: str = "", **headers: str) -> Any:
        undo()
        caller = who or ("root" if "/admin" in path else "ann")
        response = world.sends(caller, method, f"/api/v1{next(world.addresses(path))}{query}", body, **headers)
        with closing(sqlite3.connect(db.path)) as connection:
            rows = {name: rows_of(connection, name) for name in tables_of(connection)}
        status, seen_headers, _ = seen(response)
        return status, seen_headers, without_chance(response.text), without_chance(repr(rows))

    return of


def names_of_fields() -> list[str]:
    """Every column of the schema and every field of the OpenAPI document, in snake_case and camelCase."""
    schema = (HOME / "schema/schema.sql").read_text()
    columns = re.findall(r"^    ([a-z_]+) +(?:TEXT|INTEGER|REAL)", schema, re.MULTILINE)
    fields = [name for model in document()["components"]["schemas"].values() for name in model["properties"]]
    snakes = {re.sub("([A-Z])", r"_\1", name).lower() for name in [*columns, *fields]}
    camels = {re.sub("_([a-z])", lambda found: found[1].upper(), name) for name in snakes}
    assert {"password_hash", "role", "suspendedAt", "author_id", "favoritesCount", "createdAt"} <= snakes | camels
    return sorted({*snakes, *camels, *columns, *fields, "changes", "me", "isAdmin", "__proto__", "$set"})


@pytest.mark.parametrize("value", ["admin", 2, True, "2001-02-03T04:05:06.789Z", {"role": "admin"}], ids=str)
def test_a_field_outside_the_contract_changes_nothing(effect, value):
    extra = dict.fromkeys(names_of_fields(), value)
    query = "?" + "&".join(f"{name}={quote(str(value))}" for name in extra)

    for method, path in WRITES:
        body = BODIES.get((method, path), {})
        expected = effect(method, path, body)
        assert expected[0] == MATRIX[method, path][CALLERS.index("root" if "/admin" in path else "ann")]
        key, model = ROUTES[method, path].get("body", ("user", None))
        named = {field.alias or name for name, field in model.model_fields.items()} if model else set()
        inner = {name: each for name, each in extra.items() if name not in named}
        larger = extra | dict.fromkeys(("article", "user", "comment"), extra) | {key: inner | body.get(key, {})}
        assert effect(method, path, larger, query) == expected, f"{method} {path}"


@pytest.mark.parametrize("who", ["bob", "root", "nobody"])
def test_headers_queries_and_fields_that_claim_something_change_nothing(world, effect, who):
    token = world.callers["ann"].token
    names = ["token", "access_token", "auth", "authorization", "Authorization", "jwt", "api_key", "session", "user"]
    query = "?_method=DELETE&" + "&".join(f"{name}=Token%20{token}&{name}={token}" for name in names)
    headers = SPOOFS | dict.fromkeys(["X-Auth-Token", "X-Api-Key", "X-Access-Token", "X-Authorization"], token)
    headers |= {"Cookie": "; ".join(f"{name}={token}" for name in names), "Proxy-Authorization": f"Token {token}"}

    for method, path in ROUTES:
        body = BODIES.get((method, path), {})
        claiming = {"_method": "DELETE"} | dict.fromkeys(names, token) | body
        expected = effect(method, path, body, who=who)
        assert effect(method, path, claiming, query, who, **headers) == expected, f"{method} {path}"


def test_a_client_cannot_claim_another_address(world, asks, db):
    wrong = {"user": {"email": "ann@example.org", "password": "not her password"}}

    for host in ("localhost", "127.0.0.1:8080", "[::1]", "localhost:80"):
        client = asks("203.0.113.9", host)
        assert "Server-Timing" not in client.get("/articles", headers=SPOOFS).headers
        assert "rowboat_" not in client.client.get("/metrics", headers=SPOOFS | {"Host": host}, status=404).text
    for number in range(11):
        headers = dict.fromkeys(SPOOFS, f"198.51.100.{number}")
        client.post("/users/login", wrong, headers=headers, status=429 if number == 10 else 401)

    assert not sqlite(db, "SELECT * FROM attempts WHERE subject LIKE '%198.51.100.%' OR subject LIKE '%127.0.0.1%'")


# API2: strings that resemble tokens, and tokens of ended sessions


TRICKS = """
    Token {cut}|Token {upper}|Token {token}{token}|Token {token}=|Token {first} {second}|Token \xa0{token}
    Token {token}\xa0|Token\xa0{token}|\xa0Token {token}|Token\t{token}|Token \x85{token}|Token \x1f{token}
    Token {token}\x0b|Token {token},|Token {token};|Token {token}\0|Token \0{token}|Token {token}\0{token}
    Token {token}%00|Token %20{token}|Token "{token}"|Token token={token}|Token token="{token}"|Token:{token}
    Token {token}\xc2\xad|Token Bearer {token}|Token Token {token}|Bearer Token {token}|Basic {token}, Token {token}
    Token {token}, Bearer {token}|Token nobodys, Token {token}|Authorization: Token {token}|Basic {basic}
    Basic {token}|ApiKey {token}|Negotiate {token}|OAuth {token}|{token}|Token {hash}|Token {password_hash}
    Token {session}|Token {like}|Token {reset}|Token 1|Token 0|Token ann|Token ann@example.org|Token null
    Token undefined|Token None|Token true|Token {{}}|Token []|Token *|Token %|Token _|Token ' OR 1=1 --|Token|Bearer|
     |{long}
"""


def challenge(response: TestResponse) -> list[str]:
    return response.headers.getall("WWW-Authenticate")


def test_a_string_that_resembles_a_token_is_invalid(world, db):
    nobody, token = world.callers["nobody"], world.callers["ann"].token
    [(session, token_hash)] = sqlite(db, "SELECT id, token_hash FROM sessions WHERE token_hash = ?", digest(token))
    [(password_hash,)] = sqlite(db, "SELECT password_hash FROM users WHERE id = 1")
    known = {"token": token, "cut": token[:-1], "upper": token.upper(), "first": token[:20], "second": token[20:]}
    known |= {"hash": token_hash, "password_hash": password_hash, "session": session, "like": token[:-1] + "_"}
    known |= {"basic": "YW5uOmNvcnJlY3QgaG9yc2U=", "reset": "ann's reset token", "long": "Token " + "x" * 60_000}

    assert world.callers["ann"].lists()["articlesCount"] == 3  # cached, for the valid token
    for trick in re.split(r"\n {4}|\|", TRICKS.strip()):
        bad = {"Authorization": trick.format(**known)}
        for method, path in [("GET", "/user"), ("GET", "/articles/feed"), ("POST", "/articles")]:
            assert nobody.refusal(401, method, path, headers=bad) == {"token": "is invalid"}, trick
        listing = nobody.get("/articles", headers=bad)
        assert listing.body == nobody.get("/articles").body, trick
        assert challenge(listing) == ['Token error="invalid_token"'], trick


def test_the_token_of_an_ended_session_is_invalid_even_for_cached_responses(world, db, undo, clock):
    ann, root, nobody = (world.callers[name] for name in ("ann", "root", "nobody"))
    [(session,)] = sqlite(db, "SELECT id FROM sessions WHERE token_hash = ?", digest(ann.token))

    def elsewhere() -> Any:
        return nobody.logs_in("ann@example.org")

    ways = {
        "log out": lambda: ann.delete("/user/sessions/current"),
        "end it from another session": lambda: elsewhere().delete(f"/user/sessions/{session}"),
        "end all others from another session": lambda: elsewhere().delete("/user/sessions"),
        "set a new password in another session": lambda: elsewhere().changes(password="another horse"),
        "reset the password": lambda: nobody.put("/users/password-reset", BODIES["PUT", "/users/password-reset"]),
        "delete the account": lambda: ann.leaves(),
        "delete the account and keep the content": lambda: elsewhere().leaves("keep"),
        "suspend": lambda: root.suspends("ann"),
        "suspend and restore": lambda: (root.suspends("ann"), root.restores("ann")),
        "expire": lambda: clock.advance(days=30, minutes=1),
    }
    requests = [
        (*route, next(world.addresses(route[1])), BODIES.get(route))
        for route, options in ROUTES.items()
        if "auth" in options
    ]

    for way, end in ways.items():
        undo()
        for method, path, address, _ in requests * 2:
            if method == "GET" and "admin" not in path:
                assert ann.get(address, headers={"If-None-Match": '"x"'}).status_int == 200
        end()
        for method, path, address, body in requests:
            for scheme in ("Token", " bearer "):
                headers = {"Authorization": f"{scheme} {ann.token}", "If-None-Match": "*"}
                if ROUTES[method, path]["auth"] == "required":
                    assert ann.refusal(401, method, address, body, headers=headers) == {"token": "is invalid"}, way
                    continue
                for known in "*", '"x"':
                    told = world.sends("nobody", method, nobody.prefix + address, **headers | {"If-None-Match": known})
                    anonymous = world.sends("nobody", method, nobody.prefix + address, **{"If-None-Match": known})
                    assert (told.status_int, told.body) == (anonymous.status_int, anonymous.body), way
                    assert told.headers.get("ETag") == anonymous.headers.get("ETag"), way
                    assert challenge(told) == ['Token error="invalid_token"'], way


# The response cache


def seen(response: TestResponse) -> tuple[int, dict[str, str], bytes]:
    """What a client sees, without the request id and timings."""
    headers = {name: value for name, value in response.headers.items() if name not in ("X-Request-Id", "Server-Timing")}
    return response.status_int, headers, response.body


def as_asked(response: TestResponse, method: str, sent: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """What a client sees of this response to a GET if it sends HEAD, or knows some ETags."""
    status, headers, body = seen(response)
    known = sent.get("If-None-Match", "")
    if "ETag" in headers and (known == "*" or headers["ETag"] in known.split(", ")):
        unchanged = {name: value for name, value in headers.items() if name not in ("Content-Type", "Content-Length")}
        return 304, unchanged, b""
    return status, headers, b"" if method == "HEAD" else body


def test_cached_responses_equal_those_of_an_application_without_a_cache(world, db):
    chance, rounds = random.Random(20260131), 600 * TIMES
    callers = world.callers
    paths = [
        prefix + address
        for (_, path), options in ROUTES.items()
        if options.get("cache")
        for address in world.addresses(path, slug=[*world.names["slug"], "nothing"])
        for prefix in app.PREFIXES
    ]
    queries = ["", "", "?", "?limit=1", "?tag=boats", "?author=ann", "?favorited=bob", "?q=dusk", "?limit=01", "?x=1"]
    slug = world.names["slug"][0]
    commits = [
        lambda: callers["bob"].likes(slug),
        lambda: callers["bob"].unlikes(slug),
        lambda: callers["bob"].follows("ann"),
        lambda: callers["bob"].unfollows("ann"),
        lambda: callers["ann"].changes(bio=str(chance.random())),
        lambda: callers["ann"].edits(slug, body=str(chance.random())),
        lambda: callers["root"].suspends("mod"),
        lambda: callers["root"].restores("mod"),
    ]
    bodies: dict[str, bytes] = {}
    etags, asked, hits = ['"x"'], ["/api/articles"], 0

    with closing(Database(db.path, HOME / "sql", clock=db.clock)) as uncached:
        without_cache = TestApp(app.make_app(Config(), uncached), lint=False)
        for number in range(rounds):
            if chance.random() < 0.02:
                chance.choice(commits)()
            method = chance.choice(["GET", "GET", "HEAD"])
            if chance.random() < 0.1:
                path = chance.choice(paths)
                if chance.random() < 0.2:  # with some percent-encoded letters
                    path = re.sub("[a-z]", lambda letter: f"%{ord(letter[0]):02x}", path, count=chance.randrange(9))
                asked = [*asked[-2:], path + chance.choice(queries)]
            path = chance.choice(asked)  # mostly one that was requested just before
            caller, headers = chance.choice(list(callers.values())), {}
            if token := caller.headers.get("Authorization", "").removeprefix("Token "):
                headers["Authorization"] = chance.choice(["Token ", "Token ", "Bearer ", "  token   "]) + token
            plain = dict(headers)
            if chance.random() < 0.3:
                headers["If-None-Match"] = chance.choice(["*", ", ".join(chance.choices(etags, k=8))])

            response = callers["nobody"].client.request(path, method=method, headers=headers, status="*")
            uncached.remembered().clear()
            fresh = without_cache.get(path, headers=plain, status="*")

            assert seen(response) == as_asked(fresh, method, headers), f"round {number}: {method} {path} {headers}"
            assert bodies.setdefault(fresh.headers.get("ETag"), fresh.body) == fresh.body or "ETag" not in fresh.headers
            assert "rowboat.remembered" not in fresh.request.environ
            hits += "rowboat.remembered" in response.request.environ
            etags = [*etags[-50:], response.headers.get("ETag", '"y"')]
    assert hits > rounds / 10


def test_concurrent_callers_each_get_their_own_response_while_another_writes(world):
    slug = world.names["slug"][0]
    bob, mod = world.callers["bob"], world.callers["mod"]
    bob.likes(slug)
    bob.follows("ann")
    expected = {world.callers[name]: (name == "bob", name == "bob") for name in ("bob", "ann", "root", "nobody")}

    def read(caller: Api) -> None:
        for number in range(60):
            article = caller.reads(slug) if number % 2 else caller.lists(author="ann")["articles"][0]
            assert (article["favorited"], article["author"]["following"]) == expected[caller]

    def write() -> None:
        for number in range(30):
            (mod.likes if number % 2 else mod.unlikes)(slug)

    with ThreadPoolExecutor(9) as crowd:
        tasks = [crowd.submit(write), *(crowd.submit(read, caller) for caller in [*expected, *expected])]
        for task in tasks:
            task.result()


# Secrets, and what is for one person


def secrets_of(db: Database) -> list[str]:
    columns = [("users", "password_hash"), ("sessions", "token_hash"), ("password_resets", "token_hash")]
    columns += [("reserved_usernames", "username_key_hash")]
    return [secret for table, column in columns for (secret,) in sqlite(db, f"SELECT {column} FROM {table}") if secret]


@pytest.mark.parametrize("who", ["ann", "bob", "mod", "root", "nobody"])  # the others are always refused
def test_no_response_contains_a_secret_or_the_email_of_another_user(world, db, undo, who):
    always = [PASSWORD, "not her password", "ann's reset token", "$argon2", *secrets_of(db)]
    for method, path in ROUTES:
        body = BODIES.get((method, path), {})
        bodies = [body, without_secrets(body), {key: dict.fromkeys(inner, 1) for key, inner in body.items()}]
        queries = ["", "?limit=100&q=a", "?role=admin&actor=ann&author=ann&favorited=ann", "?limit=x&cursor=x"]
        bodies, queries = ([{}], queries) if method == "GET" else (bodies, [""])
        for address, sent, query in itertools.product(world.addresses(path), bodies, queries):
            response = world.sends(who, method, f"/api/v1{address}{query}", sent)

            text, where = f"{response.headers} {response.text}", f"{method} {path}"
            assert not [secret for secret in always if secret in text], where
            if method != "GET" and response.status_int < 300:
                assert not [secret for secret in secrets_of(db) if secret in text], where
                undo()
            for other, client in world.callers.items():
                if other != "nobody":
                    is_own = other == who and path in ("/user", "/user/export")
                    is_own |= other == "ann" and path == "/users/login"  # with her password
                    assert client.token not in text or (is_own and path in ("/users", "/users/login", "/user")), where
                    is_known = is_own or (path.startswith("/admin/users") and who in ("mod", "root"))
                    assert client.email not in text or is_known, where


# API4: the size of responses


@pytest.mark.parametrize("number", ["100", "101", "1000000000", "9" * 5000, "0" * 5000 + "101", "-1", "1e9", "１００"])
def test_no_number_in_a_query_makes_a_page_longer_than_its_limit(world, number):
    root = world.callers["root"]
    for text in range(110):
        root.says(world.names["slug"][0], str(text))
    query = "&".join(f"{name}={quote(number)}" for name in ("limit", "offset", "days", "cursor"))

    for method, path in ROUTES:
        if method == "GET":
            for address in world.addresses(path):
                response = root.client.get(f"/api/v1{address}?{query}", headers=root.headers, status="*")
                assert response.status_int in (200, 404, 422)
                for rows in response.json.values() if response.status_int == 200 and path != "/user/export" else ():
                    assert not isinstance(rows, list) or len(rows) <= (1000 if "comments" in path else 366)


@pytest.mark.parametrize("value", [[f"tag{number}" for number in range(80_000)], "ﷺ" * 60_000], ids=["list", "text"])
def test_a_body_takes_little_more_memory_than_its_length(api, value):
    ann = api.someone("ann")

    for field in "title", "description", "body", "tagList":
        article = {"title": "Dawn", "description": "About it", "body": "The text"} | {field: value}
        body = json.dumps({"article": article}, ensure_ascii=False).encode()
        assert len(body) < MAX_BODY_BYTES

        tracemalloc.start()
        ann.client.post("/api/articles", body, headers=ann.headers | JSON, status="*")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 40 * len(body) + MAX_BODY_BYTES, field
