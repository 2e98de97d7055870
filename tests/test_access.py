"""Who may do what: every route, called by everybody."""

from datetime import timedelta

import pytest

import app
from db.clock import ago
from handlers import sql_behind
from passwords import digest
from tests.conftest import PASSWORD, sqlite

ANONYMOUS, EXPIRED, SUSPENDED, OWNER, OTHER, MODERATOR, ADMIN = CALLERS = [
    "anonymous",
    "owner, long ago",
    "suspended",
    "owner",
    "other member",
    "moderator",
    "admin",
]

# The status that each caller gets. What a path names is the owner's: ann's article "dawn", her comment on it, the
# session of her phone, her account. The bodies are good ones.
MATRIX = {
    #                                       anonymous, owner long ago, suspended, owner, other, moderator, admin
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
    ("GET", "/profiles/<username>"): (200, 401, 401, 200, 200, 200, 200),
    ("POST", "/profiles/<username>/follow"): (401, 401, 401, 200, 200, 200, 200),
    ("DELETE", "/profiles/<username>/follow"): (401, 401, 401, 200, 200, 200, 200),
    ("GET", "/articles"): (200, 401, 401, 200, 200, 200, 200),
    ("GET", "/articles/feed"): (401, 401, 401, 200, 200, 200, 200),
    ("POST", "/articles"): (401, 401, 401, 201, 201, 201, 201),
    ("GET", "/articles/<slug>"): (200, 401, 401, 200, 200, 200, 200),
    ("PUT", "/articles/<slug>"): (401, 401, 401, 200, 403, 403, 403),
    ("DELETE", "/articles/<slug>"): (401, 401, 401, 204, 403, 204, 204),
    ("POST", "/articles/<slug>/favorite"): (401, 401, 401, 200, 200, 200, 200),
    ("DELETE", "/articles/<slug>/favorite"): (401, 401, 401, 200, 200, 200, 200),
    ("GET", "/articles/<slug>/comments"): (200, 401, 401, 200, 200, 200, 200),
    ("POST", "/articles/<slug>/comments"): (401, 401, 401, 201, 201, 201, 201),
    ("DELETE", "/articles/<slug>/comments/<id>"): (401, 401, 401, 204, 403, 204, 204),
    ("GET", "/tags"): (200, 200, 200, 200, 200, 200, 200),
    ("GET", "/admin/users"): (401, 401, 401, 403, 403, 200, 200),
    ("PATCH", "/admin/users/<username>"): (401, 401, 401, 403, 403, 200, 200),
    ("GET", "/admin/audit"): (401, 401, 401, 403, 403, 403, 200),
    ("GET", "/admin/stats"): (401, 401, 401, 403, 403, 403, 200),
}

RESET_TOKEN = "a token that was mailed to ann"

BODIES = {
    ("POST", "/users"): {"user": {"username": "eve", "email": "eve@example.org", "password": PASSWORD}},
    ("POST", "/users/login"): {"user": {"email": "ann@example.org", "password": PASSWORD}},
    ("PUT", "/user"): {"user": {"bio": "Rows at dawn"}},
    ("DELETE", "/user"): {"user": {"password": PASSWORD, "content": "delete"}},
    ("POST", "/users/password-reset"): {"user": {"email": "ann@example.org"}},
    ("PUT", "/users/password-reset"): {"user": {"token": RESET_TOKEN, "password": "another horse"}},
    ("POST", "/articles"): {"article": {"title": "Dusk", "description": "About it", "body": "The text"}},
    ("PUT", "/articles/<slug>"): {"article": {"body": "Another text"}},
    ("POST", "/articles/<slug>/comments"): {"comment": {"body": "Well said"}},
    ("PATCH", "/admin/users/<username>"): {"user": {"suspended": True}},
}


@pytest.fixture
def callers(api, db):
    """Everybody who calls, by name, and what the parts of a path stand for."""
    names = {OWNER: "ann", OTHER: "bob", MODERATOR: "mod", ADMIN: "root", SUSPENDED: "sue"}
    people = {caller: api.someone(name) for caller, name in names.items()}
    people |= {ANONYMOUS: api, EXPIRED: api.logs_in("ann@example.org")}
    (phone,) = sqlite(db, "SELECT max(id) FROM sessions WHERE user_id = 1")[0]
    api.logs_in("ann@example.org")
    sqlite(db, "UPDATE sessions SET last_used_at = ? WHERE id = ?", ago(timedelta(days=31)), phone)
    sqlite(db, "UPDATE users SET role = 'moderator' WHERE username = 'mod'")
    sqlite(db, "UPDATE users SET role = 'admin' WHERE username = 'root'")
    people[ADMIN].call("PATCH", "/admin/users/sue", {"user": {"suspended": True}})
    db.write("resets/create", user_id=1, token_hash=digest(RESET_TOKEN), now=ago(timedelta(0)))
    slug = people[OWNER].writes("Dawn")
    comment = people[OWNER].says(slug, "It was")["id"]
    return people, {"username": "ann", "slug": slug, "comment": comment, "session": phone + 1}


def test_the_matrix_has_every_route_and_no_other():
    assert [(method, path) for method, path, _, _ in app.routes()] == list(MATRIX)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path"), MATRIX)
def test_every_caller_gets_what_the_matrix_says(callers, method, path, caller):
    clients, names = callers
    names["id"] = names["session" if "sessions" in path else "comment"]
    filled = path
    for name, value in names.items():
        filled = filled.replace(f"<{name}>", str(value))

    clients[caller].call(method, filled, BODIES.get((method, path)), status=MATRIX[method, path][CALLERS.index(caller)])


def test_whoever_changes_anything_is_asked_before_it_whether_they_may(db):
    guards = ["users/must_be_active", "sessions/must_be_open"]

    for method, path, handler, options in app.routes():
        files = [name for name in sql_behind(handler, db.files) if not name.startswith("attempts/")]
        writing = [name for name in files if db.files[name].writes]
        if "auth" in options and writing and path != "/user/sessions/current":  # a session that is gone may end
            guard = next((name for name in files if name in guards), "nobody")
            assert guard in files[: files.index(writing[0])], f"{method} {path} asks {guard} before {writing[0]}"
