"""Nobody gets in: OWASP's API Security Top 10 (2023) as an attacker tries it, on every route that there is."""

import itertools
import json
import random
import re
import sqlite3
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from webtest import TestApp, TestResponse

import app
from config import Config
from db import Database
from db.clock import ago, now
from passwords import digest
from plugins.authentication import SESSION_LIFETIME
from plugins.validation import MAX_BODY_BYTES
from tests.conftest import HOME, JSON, PASSWORD, Api, sqlite
from tests.described import document
from tests.test_access import BODIES
from tests.test_server import serving

ROUTES = {(method, path): options for method, path, _, options in app.routes()}
WRITES = [route for route in ROUTES if route[0] != "GET"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROXY", "ANY"]

MINUTE = timedelta(minutes=1)

# Each claims to be somebody, somewhere or something else.
SPOOFS = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "localhost",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-User": "root",
    "X-Forwarded-Prefix": "/api/v1/admin",
    "X-Real-IP": "127.0.0.1",
    "X-Client-IP": "127.0.0.1",
    "True-Client-IP": "127.0.0.1",
    "Forwarded": "for=127.0.0.1;host=localhost;proto=https",
    "X-Original-URL": "/api/v1/admin/users",
    "X-Rewrite-URL": "/api/v1/admin/users",
    "X-HTTP-Method-Override": "DELETE",
    "X-HTTP-Method": "DELETE",
    "X-Method-Override": "DELETE",
    "X-Remote-User": "root",
    "Remote-User": "root",
    "X-User-Id": "1",
    "X-Script-Name": "/api/v1/admin",
}


@pytest.fixture
def people(api, db, promote):
    """Ann has written, bob and the others want it; `names` is what the places of paths stand for: all of it ann's."""
    api.client.lint = False  # it refuses methods that a server lets through
    ann, bob, sue, gone = (api.someone(name) for name in ("ann", "bob", "sue", "gone"))
    root, mod = promote(api.someone("root"), "admin"), promote(api.someone("mod"), "moderator")
    root.suspends("sue")
    sqlite(db, "UPDATE sessions SET last_used_at = ? WHERE user_id = 4", ago(SESSION_LIFETIME + MINUTE))
    slug, other = ann.writes("Dawn", "boats"), bob.writes("Night", "boats")
    comment = ann.says(slug, "It was")["id"]
    ann.likes(mod.writes("Noon"))
    ann.follows("mod")
    api.logs_in(ann.email)
    [(session,)] = sqlite(db, "SELECT max(id) FROM sessions WHERE user_id = 1")
    db.write("resets/create", user_id=1, token_hash=digest("ann's reset token"), now=now())
    names = {"username": ["ann", "ANN", "ａｎｎ"], "slug": [slug, other], "id": [comment, session]}
    everybody = {"ann": ann, "bob": bob, "sue": sue, "gone": gone, "root": root, "mod": mod, "nobody": api}
    return everybody, names


@pytest.fixture
def undo(people, db, tmp_path):
    """Put the database back as it was when the test began: the next request finds what the first one found."""
    kept = tmp_path / "kept.db"
    sqlite(db, "VACUUM INTO ?", str(kept))

    def restore() -> None:
        with closing(sqlite3.connect(kept)) as source, closing(sqlite3.connect(db.path)) as target:
            source.backup(target)

    return restore


def addresses(path: str, names: dict[str, list[Any]]) -> Iterator[str]:
    """The path of a route with each of these names in each of its places."""
    places = re.findall("<([a-z]+)>", path)
    for values in itertools.product(*(names[place] for place in places)):  # a place that nobody thought of fails here
        filled = path
        for place, value in zip(places, values, strict=True):
            filled = filled.replace(f"<{place}>", quote(str(value)))
        yield filled


def without_secrets(body: Any) -> Any:
    """A body as somebody sends it who knows neither the password nor the token."""
    text = json.dumps(body).replace(PASSWORD, "not her password")
    return json.loads(re.sub('"token": "[^"]*"', '"token": "guessed"', text))


def belongings(db: Database, user_id: int) -> dict[str, Any]:
    """Every row that belongs to a user, of every table that refers to users or to articles; counts aside."""
    with closing(sqlite3.connect(db.path)) as connection:
        rows: dict[str, Any] = {"users": rows_of(connection, "users", f"id = {user_id}")}
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            refers = {row[3]: row[2] for row in connection.execute(f"PRAGMA foreign_key_list({table})")}
            owner = next((column for column in ("follower_id", *refers) if refers.get(column) == "users"), None)
            if owner:
                rows[table] = rows_of(connection, table, f"{owner} = {user_id}")
            elif "articles" in refers.values():
                hers = f"article_id IN (SELECT id FROM articles WHERE author_id = {user_id})"
                rows[table] = rows_of(connection, table, hers)
    return rows


def rows_of(connection: sqlite3.Connection, table: str, where: str = "true") -> list[Any]:
    names = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    columns = ", ".join(name for name in names if not name.endswith("_count"))
    return sorted(connection.execute(f"SELECT {columns} FROM {table} WHERE {where}"), key=repr)


# API1, API5: what is others', by every route that names it


@pytest.mark.parametrize("attacker", ["bob", "sue", "gone", "nobody"])
def test_nothing_of_anns_changes_whatever_is_sent_to_whatever_route_in_her_name(people, db, undo, attacker):
    everybody, names = people
    client = everybody[attacker]
    before = belongings(db, 1)
    assert {"users", "sessions", "articles", "comments", "favorites", "follows", "slugs", "article_tags"} <= {
        table for table, rows in before.items() if rows
    }

    sent = 0
    paths = dict.fromkeys(path for _, path in ROUTES)
    for path, method in itertools.product(paths, METHODS):
        bodies = [body for (_, of), body in BODIES.items() if of == path] or [{}]
        for address, body in itertools.product(addresses(path, names), bodies):
            for prefix in app.PREFIXES:
                answer = client.client.request(
                    prefix + address,
                    method=method,
                    body=json.dumps(without_secrets(body)).encode(),
                    headers=client.headers | JSON,
                    status="*",
                )
                sent += 1
                assert answer.status_int < 500
                assert belongings(db, 1) == before, f"{method} {address}"
                if answer.status_int < 300 and method not in ("GET", "HEAD"):
                    undo()  # else bob would be logged out, or gone, at the next request
    print(f"{sent} requests")
    assert sent > 700


def test_an_id_that_is_spelled_otherwise_is_nobodys(people, db):
    everybody, names = people
    ann = everybody["ann"]
    before = belongings(db, 1)
    spellings = (
        "0{} +{} -{} {}.0 {}e0 0x{} %20{} {}%20 {}%0A {}%00 {};x {},{} %EF%BC%91 %D9%A1 [{}] {}%2F '{}' {}%20OR%201=1"
    )

    sent = 0
    for method, path in WRITES:
        if "<id>" in path:
            for spelling, number in itertools.product(spellings.split(), range(1, 12)):
                address = next(addresses(path, names | {"id": ["ID"]})).replace("ID", spelling.format(number, number))
                ann.call(method, address, status=400 if "%00" in spelling else 404)
                sent += 1
    print(f"{sent} requests")
    assert belongings(db, 1) == before


# API3: fields that nobody asked for


def names_of_fields() -> list[str]:
    """Every column of the schema and every field of every answer and body, in both spellings."""
    columns = re.findall(
        r"^    ([a-z_]+) +(?:TEXT|INTEGER|REAL)", (HOME / "schema/schema.sql").read_text(), re.MULTILINE
    )
    fields = [name for schema in document()["components"]["schemas"].values() for name in schema["properties"]]
    snakes = {re.sub("([A-Z])", r"_\1", name).lower() for name in [*columns, *fields]}
    camels = {re.sub("_([a-z])", lambda found: found[1].upper(), name) for name in snakes}
    assert {"password_hash", "role", "suspendedAt", "author_id", "favoritesCount", "createdAt"} <= snakes | camels
    return sorted({*snakes, *camels, *columns, *fields, "changes", "me", "isAdmin", "__proto__", "$set"})


@pytest.fixture
def effect(people, db, undo):
    """What a request does: its answer, and all of the database after it. What chance and the clock choose is masked."""
    everybody, names = people
    sent = itertools.count()

    def calm(text: str) -> str:
        text = re.sub(rf"(?:{now()[:10]}|{ago(timedelta(minutes=5))[:10]})T[0-9:.]+Z", "TIME", text)
        text = re.sub(r"\$argon2id\$[^'\"]+|[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])|[0-9a-f]{32}", "CHANCE", text)
        return re.sub(r"(dawn|dusk|a-title)-[a-z2-9]{8}", r"\1-CHANCE", text)

    def of(method: str, path: str, body: Any, query: str = "", who: str = "", **headers: str) -> Any:
        undo()
        next(sent)
        # The one session that is not ann's present one: else she could end her own.
        address = next(addresses(path, names | {"id": names["id"][::-1] if "sessions" in path else names["id"]}))
        caller = everybody[who or ("root" if "/admin" in path else "ann")]
        headers = caller.headers | JSON | headers
        answer = caller.client.request(
            f"/api/v1{address}{query}", method=method, body=json.dumps(body).encode(), headers=headers, status="*"
        )
        # Each attempt is counted with its milliseconds, and each request noted with its id.
        tables = sqlite(db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('attempts', 'audit')")
        with closing(sqlite3.connect(db.path)) as connection:
            rows = {name: rows_of(connection, name) for (name,) in tables}
        rows["audit"] = sqlite(db, "SELECT id, actor_id, action, user_id, object_id FROM audit")
        rows["attempts"] = sqlite(db, "SELECT subject, level > 0, waits_until_ms > 0 FROM attempts")
        status, told_headers, _ = told(answer)
        return status, told_headers, calm(answer.text), calm(repr(rows))

    yield of
    print(f"{next(sent)} requests")


@pytest.mark.parametrize(
    "value", ["admin", 2, True, "2001-02-03T04:05:06.789Z", None, {"role": "admin"}, ["x"]], ids=str
)
def test_a_field_that_the_contract_does_not_name_changes_nothing_anywhere(effect, people, value):
    extra = dict.fromkeys(names_of_fields(), value)
    query = "?" + "&".join(f"{name}={quote(str(value))}" for name in extra)

    for method, path in WRITES:
        body = BODIES.get((method, path), {})
        if (method, path) == ("PUT", "/users/password-reset"):
            body = {"user": {"token": "ann's reset token", "password": "another horse"}}
        expected = effect(method, path, body)
        assert expected[0] < 300, f"{method} {path}"
        key, model = ROUTES[method, path].get("body", ("user", None))
        named = {field.alias or name for name, field in model.model_fields.items()} if model else set()
        inner = {name: each for name, each in extra.items() if name not in named}
        larger = extra | {"article": extra, "user": extra, "comment": extra} | {key: inner | body.get(key, {})}
        assert effect(method, path, larger) == expected, f"{method} {path}"
        assert effect(method, path, body, query) == expected, f"{method} {path}?..."


# API8: headers that claim something, and methods in disguise


@pytest.mark.parametrize("who", ["ann", "root", "nobody"])
def test_headers_that_claim_to_be_somebody_or_somewhere_else_change_nothing(effect, who):
    for method, path in ROUTES:
        body = BODIES.get((method, path), {})
        expected = effect(method, path, body, who=who)
        assert effect(method, path, body, who=who, **SPOOFS) == expected, f"{method} {path}"
        assert effect(method, path, body | {"_method": "DELETE"}, "?_method=DELETE", who) == expected, (
            f"{method} {path}"
        )


def test_a_stranger_who_claims_to_come_from_this_machine_learns_nothing_more(people, asks, db):
    for host in ("localhost", "127.0.0.1:8080", "[::1]", "localhost:80"):
        stranger = asks("203.0.113.9", host)
        answer = stranger.get("/articles", headers=SPOOFS)
        metrics = stranger.client.get("/metrics", headers=SPOOFS | {"Host": host}, status=404)
        assert "Server-Timing" not in answer.headers
        assert "rowboat_" not in metrics.text


def test_whoever_claims_another_address_with_each_guess_waits_all_the_same(people, asks, db):
    stranger = asks("203.0.113.9")
    guess = {"user": {"email": "ann@example.org", "password": "not her password"}}

    statuses = [
        stranger.client.request(
            "/api/users/login",
            method="POST",
            body=json.dumps(guess).encode(),
            headers=JSON | dict.fromkeys(SPOOFS, f"198.51.100.{number}"),
            status="*",
        ).status_int
        for number in range(15)
    ]

    assert statuses == [401] * 10 + statuses[10:]
    assert 429 in statuses[10:]
    assert not sqlite(db, "SELECT * FROM attempts WHERE subject LIKE '%198.51.100.%' OR subject LIKE '%127.0.0.1%'")


def test_the_server_itself_believes_no_such_header(tmp_path):
    lines = "".join(f"{name}: {value}\r\n{name.replace('-', '_')}: {value}\r\n" for name, value in SPOOFS.items())
    with serving(tmp_path, "--workers", "1") as server:
        token = server.token("ann")

        def status(first: str, *more: str) -> int:
            head = "\r\n".join([first, *more, "Connection: close", ""])
            return server.sends(f"{head}{lines}\r\n".encode())[0]

        assert status("GET /metrics HTTP/1.1", "Host: localhost") == 404  # whom a proxy names is not at this machine
        assert status("GET /metrics HTTP/1.1", "Host: rowboat.example") == 404
        assert status("GET /api/admin/users HTTP/1.1", "Host: localhost") == 401
        assert status("GET /api/user HTTP/1.1", "Host: localhost", f"Authorization_: Token {token}") == 401
        assert status("GET /api/user HTTP/1.1", "Host: localhost", f"Proxy-Authorization: Token {token}") == 401
        assert status("DELETE /api/tags HTTP/1.1", "Host: localhost") == 405
        assert status("delete /api/user HTTP/1.1", "Host: localhost", f"Authorization: Token {token}") == 400
        assert status("GET /api/tags HTTP/1.1", "Host: localhost") == 200
        assert server.rows("SELECT count(*) FROM users WHERE role <> 'deleted'") == [(1,)]


# API2: tokens that are none, and those that were


TRICKS = [
    *("Token {cut}", "Token {upper}", "Token {token}{token}", "Token {token}=", "Token {first} {second}"),
    *("Token \xa0{token}", "Token {token}\xa0", "Token\xa0{token}", "\xa0Token {token}", "Token\t{token}"),
    *("Token \x85{token}", "Token \x1f{token}", "Token {token}\x0b", "Token {token},", "Token {token};"),
    *("Token {token}\0", "Token \0{token}", "Token {token}\0{token}", "Token {token}%00", "Token %20{token}"),
    *('Token "{token}"', "Token token={token}", 'Token token="{token}"', "Token:{token}", "Token {token}\xc2\xad"),
    *("Token Bearer {token}", "Token Token {token}", "Bearer Token {token}", "Basic {token}, Token {token}"),
    *("Token {token}, Bearer {token}", "Token nobodys, Token {token}", "Authorization: Token {token}"),
    *("Basic {basic}", "Basic {token}", "ApiKey {token}", "Negotiate {token}", "OAuth {token}", "{token}"),
    *(
        "Token {hash}",
        "Token {password_hash}",
        "Token {session}",
        "Token {like}",
        "Token {reset}",
        "Token 1",
        "Token 0",
    ),
    *("Token ann", "Token ann@example.org", "Token null", "Token undefined", "Token None", "Token true", "Token {{}}"),
    *(
        "Token []",
        "Token *",
        "Token %",
        "Token _",
        "Token ' OR 1=1 --",
        "Token",
        "Bearer",
        "",
        " ",
        "Token " + "x" * 60_000,
    ),
]


def test_what_only_looks_like_a_token_opens_nothing(people, db):
    everybody, _ = people
    nobody, token = everybody["nobody"], everybody["ann"].token
    [(session, token_hash)] = sqlite(db, "SELECT id, token_hash FROM sessions WHERE token_hash = ?", digest(token))
    [(password_hash,)] = sqlite(db, "SELECT password_hash FROM users WHERE id = 1")
    known = {"token": token, "cut": token[:-1], "upper": token.upper(), "first": token[:20], "second": token[20:]}
    known |= {"hash": token_hash, "password_hash": password_hash, "session": session, "like": token[:-1] + "_"}
    known |= {"basic": "YW5uOmNvcnJlY3QgaG9yc2U=", "reset": "ann's reset token"}

    assert everybody["ann"].lists()["articlesCount"] == 3  # remembered, with the token that opened it
    for trick in TRICKS:
        bad = {"Authorization": trick.format(**known)}
        for method, path in [("GET", "/user"), ("GET", "/articles"), ("GET", "/articles/feed"), ("POST", "/articles")]:
            assert nobody.refusal(401, method, path, headers=bad) == {"token": "is invalid"}, trick


def test_a_token_that_stands_elsewhere_is_not_looked_at(people):
    everybody, _ = people
    nobody, token = everybody["nobody"], everybody["ann"].token
    names = ["token", "access_token", "auth", "authorization", "Authorization", "jwt", "api_key", "session", "user"]
    query = "&".join(f"{name}=Token%20{token}&{name}={token}" for name in names)
    headers = dict.fromkeys(["X-Auth-Token", "X-Api-Key", "X-Access-Token", "X-Authorization", "Api-Key"], token)
    headers |= {"Cookie": "; ".join(f"{name}={token}" for name in names), "Proxy-Authorization": f"Token {token}"}
    body = dict.fromkeys(names, token) | {
        "article": {"title": "A title", "description": "x", "body": "x", "token": token}
    }

    for (method, path), options in ROUTES.items():
        if options.get("auth") == "required":
            address = next(addresses(path, people[1]))
            refused = nobody.refusal(401, method, f"{address}?{query}", body, headers=headers)
            assert refused == {"token": "is missing"}


def test_a_reset_token_must_be_that_very_one(people, db):
    everybody, _ = people
    token = "ann's reset token"
    [(reset_hash,)] = sqlite(db, "SELECT token_hash FROM password_resets")
    others = [
        token[:-1],
        token * 2,
        token.upper(),
        token + "x",
        token + "\xad",
        reset_hash,
        "1",
        "%",
        everybody["ann"].token,
    ]

    for other, who in itertools.product(others, ("bob", "nobody", "root")):
        body = {"user": {"token": other, "password": "another horse"}}
        assert everybody[who].refusal(422, "PUT", "/users/password-reset", body) == {"token": "is wrong or too old"}
    for wrong in ([token], {"token": token}, 1, True):
        body = {"user": {"token": wrong, "password": "another horse"}}
        assert everybody["bob"].refusal(422, "PUT", "/users/password-reset", body) == {"token": "must be a string"}
    assert Api.logs_in(everybody["nobody"], "ann@example.org").me()["username"] == "ann"


def endings(people: dict[str, Any], db: Database) -> dict[str, Any]:
    """How ann's session ends, by what she or others do."""
    ann, root, nobody = people["ann"], people["root"], people["nobody"]
    [(session,)] = sqlite(db, "SELECT id FROM sessions WHERE token_hash = ?", digest(ann.token))

    def elsewhere() -> Any:
        return nobody.logs_in("ann@example.org")

    reset = {"user": {"token": "ann's reset token", "password": "another horse"}}
    expired = ago(SESSION_LIFETIME + MINUTE)
    return {
        "she logs out": lambda: ann.delete("/user/sessions/current"),
        "she ends it elsewhere": lambda: elsewhere().delete(f"/user/sessions/{session}"),
        "she ends all others elsewhere": lambda: elsewhere().delete("/user/sessions"),
        "she sets a new password elsewhere": lambda: elsewhere().changes(password="another horse"),
        "she resets her password": lambda: nobody.put("/users/password-reset", reset),
        "she leaves": lambda: ann.leaves(),
        "she leaves elsewhere and keeps her texts": lambda: elsewhere().leaves("keep"),
        "she is suspended": lambda: root.suspends("ann"),
        "she is suspended and restored": lambda: (root.suspends("ann"), root.restores("ann")),
        "it expired a minute ago": lambda: sqlite(
            db, "UPDATE sessions SET last_used_at = ? WHERE id = ?", expired, session
        ),
    }


def test_a_session_that_has_ended_opens_no_route_not_even_one_that_is_remembered(people, db, undo):
    everybody, names = people
    ann = everybody["ann"]
    ways = endings(everybody, db)
    requests = [
        (method, next(addresses(path, names)), BODIES.get((method, path)))
        for (method, path), options in ROUTES.items()
        if "auth" in options
    ]

    sent = 0
    for way, end in ways.items():
        undo()
        for _ in range(2):
            for method, address, _ in requests:
                if method == "GET" and "admin" not in address:
                    assert ann.get(address, headers={"If-None-Match": '"x"'}).status_int == 200
        end()
        for method, address, body in requests:
            for spelling in ("Token", "Bearer", "token", " Token "):
                again = {"Authorization": f"{spelling} {ann.token}", "If-None-Match": "*"}
                assert ann.refusal(401, method, address, body, headers=again) == {"token": "is invalid"}, way
                sent += 1
    print(f"{sent} requests")


# The answer cache: nobody gets what another one was told


def told(answer: TestResponse) -> tuple[int, dict[str, str], bytes]:
    """What an answer tells, but for its id and what its SQL took."""
    headers = dict(answer.headers)
    headers.pop("X-Request-Id")
    headers.pop("Server-Timing", None)
    return answer.status_int, headers, answer.body


def as_asked(answer: TestResponse, method: str, sent: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """What the answer to a plain GET becomes for a HEAD, and for a client that knows some ETags."""
    status, headers, body = told(answer)
    known = sent.get("If-None-Match", "")
    if "ETag" in headers and (known == "*" or headers["ETag"] in known.split(", ")):
        unchanged = {name: value for name, value in headers.items() if name not in ("Content-Type", "Content-Length")}
        return 304, unchanged, b""
    return status, headers, b"" if method == "HEAD" else body


def spelled(path: str, chance: random.Random) -> str:
    """The path with some of its letters percent-encoded."""
    return "".join(f"%{ord(each):02x}" if each.isalpha() and chance.random() < 0.1 else each for each in path)


@pytest.mark.parametrize("rounds", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_whoever_asks_whatever_is_told_what_an_application_without_memory_says(people, db, rounds):
    everybody, names = people
    chance = random.Random(20260131)
    paths = [
        prefix + address
        for (method, path), options in ROUTES.items()
        if options.get("cache")
        for address in addresses(path, names | {"slug": [*names["slug"], "nothing"]})
        for prefix in app.PREFIXES
    ]
    queries = ["", "", "?", "?limit=1", "?tag=boats", "?author=ann", "?favorited=bob", "?q=dusk", "?limit=01", "?x=1"]
    slug = names["slug"][0]
    ann, bob, root = (everybody[name] for name in ("ann", "bob", "root"))
    commits = [
        lambda: bob.likes(slug),
        lambda: bob.unlikes(slug),
        lambda: bob.follows("ann"),
        lambda: bob.unfollows("ann"),
        lambda: ann.changes(bio=str(chance.random())),
        lambda: ann.edits(slug, body=str(chance.random())),
        lambda: root.suspends("mod"),
        lambda: root.restores("mod"),
    ]
    bodies: dict[str, bytes] = {}
    etags, asked, hits = ['"x"'], ["/api/articles"], 0

    with closing(Database(db.path, HOME / "sql")) as fresh:
        forgetful = TestApp(app.make_app(Config(), fresh), lint=False)
        for number in range(rounds):
            if chance.random() < 0.02:
                chance.choice(commits)()
            caller = chance.choice(list(everybody.values()))
            method = chance.choice(["GET", "GET", "HEAD"])
            if chance.random() < 0.1:
                path = chance.choice(paths)
                path = (spelled(path, chance) if chance.random() < 0.2 else path) + chance.choice(queries)
                asked = [*asked[-2:], path]
            path = chance.choice(asked)  # mostly what somebody has asked just now
            headers = {}
            if token := caller.headers.get("Authorization", "").removeprefix("Token "):
                scheme = chance.choice(["Token ", "Token ", "Token ", "Bearer ", "  token   "])
                headers["Authorization"] = scheme + token
            if chance.random() < 0.3:
                headers["If-None-Match"] = chance.choice(["*", ", ".join(chance.choices(etags, k=8))])

            answer = everybody["nobody"].client.request(path, method=method, headers=headers, status="*")
            fresh.remembered().clear()
            asks_plainly = {name: value for name, value in headers.items() if name == "Authorization"}
            anew = forgetful.get(path, headers=asks_plainly, status="*")
            assert told(answer) == as_asked(anew, method, headers), f"round {number}: {method} {path} {headers}"
            assert bodies.setdefault(anew.headers.get("ETag"), anew.body) == anew.body or "ETag" not in anew.headers
            assert "rowboat.remembered" not in anew.request.environ
            hits += "rowboat.remembered" in answer.request.environ
            etags = [*etags[-50:], answer.headers.get("ETag", '"y"')]
    assert hits > rounds / 8


def test_eight_callers_at_once_are_each_told_their_own_while_others_write(people, db):
    everybody, names = people
    slug = names["slug"][0]
    bob, mod, nobody = (everybody[name] for name in ("bob", "mod", "nobody"))
    bob.likes(slug)
    bob.follows("ann")
    expected = {
        bob: (True, True),
        everybody["ann"]: (False, False),
        everybody["root"]: (False, False),
        nobody: (False, False),
    }

    def looks(caller: Api) -> int:
        for number in range(250):
            article = caller.reads(slug) if number % 2 else caller.lists(author="ann")["articles"][0]
            assert (article["favorited"], article["author"]["following"]) == expected[caller]
        return number + 1

    def writes() -> None:
        for number in range(60):
            (mod.likes if number % 2 else mod.unlikes)(slug)

    with ThreadPoolExecutor(9) as crowd:
        writer = crowd.submit(writes)
        readers = [crowd.submit(looks, caller) for caller in [*expected, *expected]]
        writer.result()
        assert [reader.result() for reader in readers] == [250] * 8


# Secrets, and what is for one person


def test_no_route_tells_anybody_a_secret_or_the_email_of_another(people, db, undo):
    """Every route, asked by everybody with what is right and what is wrong: all that is answered is searched."""
    everybody, names = people
    answers = []
    for who in ("ann", "bob", "mod", "root", "nobody"):  # the others are refused everywhere
        client = everybody[who]
        for method, path in ROUTES:
            body = BODIES.get((method, path), {})
            bodies = [body, without_secrets(body), {key: dict.fromkeys(inner, 1) for key, inner in body.items()}, []]
            queries = ["", "?limit=100&q=a", "?role=admin&actor=ann&author=ann&favorited=ann", "?limit=x&cursor=x"]
            bodies, queries = ([{}], queries) if method == "GET" else (bodies, [""])
            for address, sent, query in itertools.product(addresses(path, names), bodies, queries):
                answer = client.client.request(
                    f"/api/v1{address}{query}",
                    method=method,
                    body=json.dumps(sent).encode(),
                    headers=client.headers | JSON,
                    status="*",
                )
                answers.append((who, method, path, f"{answer.headers} {answer.text}"))
                if method != "GET" and answer.status_int < 300:
                    hashes = secrets_of(db)
                    assert not [secret for secret in hashes if secret in answers[-1][3]], f"{method} {path}"
                    undo()
    print(f"{len(answers)} answers")
    assert len(answers) > 700

    secrets = [PASSWORD, "not her password", "ann's reset token", "$argon2", *secrets_of(db)]
    for who, method, path, told in answers:
        where = f"{method} {path}, asked by {who}"
        assert not [secret for secret in secrets if secret in told], where
        tells_tokens = path in ("/users", "/users/login", "/user")
        for other, client in everybody.items():
            if other != "nobody":
                is_own = other == who and path in ("/user", "/user/export")
                is_own |= other == "ann" and path == "/users/login"  # whose password was sent
                assert client.token not in told or (is_own and tells_tokens), where
                is_known = is_own or (path.startswith("/admin/users") and who in ("mod", "root"))
                assert client.email not in told or is_known, where


def secrets_of(db: Database) -> list[str]:
    """Everything in the database that nobody may learn."""
    columns = [("users", "password_hash"), ("sessions", "token_hash"), ("password_resets", "token_hash")]
    columns += [("reserved_usernames", "username_key_hash")]
    return [secret for table, column in columns for (secret,) in sqlite(db, f"SELECT {column} FROM {table}") if secret]


# API4: using up the server


WASTEFUL = {
    "half a million numbers": "[" + "1," * 500_000 + "1]",
    "a quarter of a million empty texts": "[" + '"",' * 250_000 + '""]',
    "a hundred thousand tags": json.dumps([str(number) for number in range(100_000)]),
    "80,000 objects": "[" + "{}, " * 80_000 + "{}]",
    "an object with 70,000 keys": json.dumps({str(number): None for number in range(70_000)}),
    "one text of a million letters": json.dumps("x" * 1_000_000),
    "one text of NULs": '"' + r"\u0000" * 150_000 + '"',
    "one text of ligatures": json.dumps("ﷺ" * 300_000, ensure_ascii=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("value", WASTEFUL.values(), ids=WASTEFUL)
def test_a_body_takes_little_more_memory_than_it_is_long(people, value):
    everybody, names = people

    for (method, path), options in ROUTES.items():
        if "body" in options:
            key, model = options["body"]
            for field in [field.alias or name for name, field in model.model_fields.items()]:
                fields = dict.fromkeys(BODIES[method, path][key], "x") | {field: "VALUE"}
                body = json.dumps({key: fields}).replace('"VALUE"', value).encode()
                assert len(body) < MAX_BODY_BYTES
                caller = everybody["root" if "/admin" in path else "ann"]
                tracemalloc.start()
                answer = caller.client.request(
                    f"/api{next(addresses(path, names))}",
                    method=method,
                    body=body,
                    headers=caller.headers | JSON,
                    status="*",
                )
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                assert answer.status_int < 500
                assert len(answer.body) < 2000 + 2 * len(body) * (answer.status_int < 300)
                assert peak < 40 * MAX_BODY_BYTES, f"{method} {path}: {field}"


def test_no_number_in_a_query_makes_an_answer_longer_than_its_page(people):
    everybody, names = people
    root = everybody["root"]
    for number in range(130):
        root.says(names["slug"][0], str(number))

    for number in (
        "100",
        "101",
        "1000000000",
        "9" * 5000,
        "0" * 5000 + "101",
        "-1",
        "1e9",
        "Infinity",
        "0x100",
        "１００",
    ):
        for method, path in ROUTES:
            if method == "GET":
                for address in addresses(path, names):
                    query = "&".join(f"{name}={quote(number)}" for name in ("limit", "offset", "days", "cursor"))
                    answer = root.client.get(f"/api/v1{address}?{query}", headers=root.headers, status="*")
                    assert answer.status_int in (200, 404, 422)
                    for rows in answer.json.values() if answer.status_int == 200 and path != "/user/export" else ():
                        assert not isinstance(rows, list) or len(rows) <= (1000 if "comments" in path else 366)
